"""The site: frames in, files by path out. The same frames give the same bytes; nothing tells when it was made."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Final
from xml.sax.saxutils import escape

from sec_core.gold.customers import COUNTRY
from sec_core.gold.datasets import definitions
from sec_core.gold.payloads.basis import CITA, CITATION, LICENCE, LICENCIA
from sec_core.gold.site import charts, figures, places
from sec_core.gold.site.book import Book
from sec_core.gold.site.figures import SiteFrames
from sec_core.gold.site.put import Held, Site
from sec_core.gold.site.words import ENGLISH, SPANISH
from sec_core.text import for_csv

# Storms and comunas that the first page lists.
ON_START: Final = 6


def build_site(
    frames: SiteFrames, address: str | None = None, held: Held | None = None, pictures: Iterable[str] = ()
) -> Site:
    """All files of the site by their path; those that stand are not made again.

    Args:
        frames: What it is made from.
        address: Where the site will stand, for canonical addresses and the sitemap; None leaves them out.
        held: What stands of the site before, see `put.standing`.
        pictures: Names of the figures for the press.
    """
    site = Site(held or {})
    book = Book(frames, f"{address.rstrip('/')}/" if address else None, site)
    for write in (start, whole_map, lists, places.regions, places.comunas, places.storms, payload_pages):
        write(book)
    method_and_data(book, list(pictures))
    if book.address:
        site.files["sitemap.xml"] = sitemap(site, book.address)
    return site


def start(book: Book) -> None:
    """The first page, in both languages."""
    country = book.region_years.get(COUNTRY, [])
    out = book.grid.newest(COUNTRY)
    served = next((d["universo"] for d in book.meta["denominadores"] if d["nombre_region"] == COUNTRY), None)
    now = [(code, out, share) for code, (out, share) in book.out_now.items() if out]
    top = sorted(now, key=lambda row: -row[1])[:ON_START]
    data = {
        "ultima_hora": book.meta["ultima_hora"],
        "horas_con_datos": book.meta["totales"]["horas_cargadas"],
        "clientes_sin_suministro": out,
        "clientes": served,
        "comunas_con_mas": [{"codigo_comuna": code, "clientes": n, "parte": part} for code, n, part in top],
        "tormentas": [places.plain(storm) for storm in book.storms[:ON_START]],
        "anhos": country,
        "maximos_diarios": figures.daily_peaks(book.frames).to_dicts(),
        "horas": book.grid.listed(COUNTRY),
    }
    for path, lang in (("", SPANISH), ("en/", ENGLISH)):
        shown = book.map_data(book.whole_years[-1:], lang)
        book.page(path, "start.html", data, {"map": shown}, also=shown)


def whole_map(book: Book) -> None:
    """The map by measure and year, with its table."""
    years = list(book.spans)
    data = book.map_data(years, SPANISH)
    last = (book.whole_years or years or [0])[-1]
    held = book.of_year(last)
    book.page(
        "mapa/", "map.html", data, {"map": data, "year": book.span(last) if last else "", "held": held}, also=held
    )


def lists(book: Book) -> None:
    """All comunas by region: what the search leads to without scripts."""
    listed = [{"codigo_comuna": p.code, "nombre": p.name, "pagina": p.path} for p in book.comunas.values()]
    book.page("comunas/", "comunas.html", {"comunas": listed})


def payload_pages(book: Book) -> None:
    """Companies, investments, quality: what some payloads hold."""
    states = figures.day_states(book.frames.hours).select("dia", "estado").rows()

    label = SPANISH.gettext("Which hours are there: a tile for each day")
    chart, paths = charts.calendar(label, states, SPANISH)
    calendar = {"chart": chart, "paths": paths, "states": figures.DAY_STATES}
    _of_payloads(book, "empresas", "company_ranking", "meses_con_empresa")
    _of_payloads(book, "inversiones", "investment_roi investment_validation eda_projects_dist")
    parts = "coverage quality eda_quality_stats sensitivity official_comparison"
    _of_payloads(book, "calidad", parts, "origenes denominadores", calendar, also=states)


def _of_payloads(
    book: Book, page: str, names: str, of_meta: str = "", more: dict[str, object] | None = None, also: object = None
) -> None:
    data = {name: book.frames.payloads[name] for name in names.split()}
    data |= {name: book.meta[name] for name in of_meta.split()}
    book.page(f"{page}/", f"{page}.html", data, more, also=also)


def method_and_data(book: Book, pictures: list[str]) -> None:
    """Method and data, in both languages."""
    tables = {
        "indices_comunales": book.frames.comunal,
        "indices_regionales": book.frames.regional,
        "comunas": book.frames.comunas,
        "tormentas": book.frames.storms,
        "horas": book.frames.hours.select("hora", "estado", "cargada", "sospechosa", "forma"),
    }
    sizes = []
    for name, table in tables.items():
        body = for_csv(table)
        book.file(f"datos/{name}.csv", body)
        sizes.append({"nombre": name, "filas": table.height, "bytes": len(body)})
    versions = {name: book.meta[name] for name in ("version_metodo", "version")}
    for path, data_path, lang in (("metodo/", "datos/", SPANISH), ("en/method/", "en/data/", ENGLISH)):
        held = {"definiciones": [asdict(one) for one in definitions(lang.code)], **versions}
        book.page(path, "method.html", held)
        cite, licence = (CITATION, LICENCE) if lang is ENGLISH else (CITA, LICENCIA)
        data = {"tablas": sizes, "imagenes": pictures, "cita": cite, "licencia": licence, **versions}
        book.page(data_path, "data.html", data)


def sitemap(site: Site, address: str) -> bytes:
    """All pages; a sitemap holds whole addresses, so that there is none where the address is not known."""
    paths = sorted(path.removesuffix("index.html") for path in site.inputs if path.endswith("index.html"))
    places = "".join(f"<url><loc>{escape(address + path)}</loc></url>\n" for path in paths)
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
    return f"{head}{places}</urlset>\n".encode()
