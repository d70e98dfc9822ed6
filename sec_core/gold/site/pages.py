"""What each page of the site says, from what a build of Gold has; put into `gold/site/`.

The same frames give the same bytes; nothing tells when it was made.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, Final
from xml.sax.saxutils import escape

import orjson
import polars as pl
from loguru import logger

from sec_core.blobs.place import Blobs
from sec_core.config import Settings
from sec_core.gold import estimates, storm_curves
from sec_core.gold.customers import COUNTRY
from sec_core.gold.datasets import definitions, with_customers
from sec_core.gold.frames import GoldFrames
from sec_core.gold.payloads.basis import CITA, CITATION, LICENCE, LICENCIA
from sec_core.gold.site import charts, figures, press
from sec_core.gold.site.book import Book, by, parts
from sec_core.gold.site.figures import Rows, SiteFrames
from sec_core.gold.site.put import Held, PutReport, Site, put, standing
from sec_core.gold.site.words import ENGLISH, SPANISH
from sec_core.gold.standing import SITE
from sec_core.text import counted, for_csv

# Storms and comunas that the first page lists.
ON_START: Final = 6
# Years that a region's map offers.
ON_MAP: Final = 3


def draw(gold: Blobs, payloads: Mapping[str, Rows], collected: GoldFrames, settings: Settings) -> PutReport:
    """Make all pages and pictures and write those that changed.

    Args:
        gold: Gold's place.
        payloads: The payloads by id, JSON-ready.
        collected: What they were made from.
        settings: Where the site will stand.

    Raises:
        StorageError: A file can't be written.
    """
    with ThreadPoolExecutor(max_workers=1) as beside:
        looking = beside.submit(standing, gold, SITE)
        monthly = collected.monthly
        years = [estimates.years(each, collected.seen) for each in (monthly.region_parts, monthly.comuna_parts)]
        frames = SiteFrames(
            payloads=payloads,
            comunas=with_customers(collected),
            comunal=collected.indices.comunal,
            regional=collected.indices.regional,
            years=pl.concat(years),
            hours=collected.calendar,
            region_hours=monthly.region_hours,
            panel=collected.panel,
            events=collected.events,
            storms=collected.storms,
            curves=collected.storm_hours,
            companies=collected.storm_companies,
        )
        held = looking.result()
        pictures = Site(held)
        specs = press.specifications(frames)
        drawing = beside.submit(press.pictures, specs, pictures)
        site = build_site(frames, str(settings.site_url) if settings.site_url else None, held, specs)
        drawing.result()
    site.files.update(pictures.files)
    site.inputs.update(pictures.inputs)
    done = put(site, gold, SITE)
    count = len(done.written) + done.kept
    logger.bind(stage="gold").info("The site has {}; {:,} written.", counted(count, "file"), len(done.written))
    return done


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
    for write in (start, whole_map, lists, regions, comunas, storms, payload_pages):
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
        "tormentas": [plain(storm) for storm in book.storms[:ON_START]],
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
    context = {"map": data, "year": book.span(last) if last else "", "held": held}
    book.page("mapa/", "map.html", data, context, also=held)


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


def regions(book: Book) -> None:
    """A page for each region."""
    months, none = parts(book.frames.regional, "nombre_region")
    events = by(figures.events_by_year(book.frames.events, "nombre_region"), "serie")
    for name, place in book.regions.items():
        own = months.get(name, none)
        data = {
            "codigo_region": place.code,
            "nombre": place.name,
            "tormentas": [plain(storm) for storm in book.storms if place in storm["regiones_de"]],
            "mapa": book.map_data(list(book.spans)[-ON_MAP:], SPANISH, [each.code for each in book.groups[name]]),
            "indices_regionales": orjson.Fragment(own.write_json()),
            "anhos": book.region_years.get(name, []),
            "eventos": events.get(name, []),
            "horas": book.grid.listed(name),
        }
        book.page(place.path, "region.html", data, {"place": place, "series": name, "months": own}, table=own)


def comunas(book: Book) -> None:
    """A page for each comuna."""
    months, none = parts(book.frames.comunal, "codigo_comuna")
    cuts = by(figures.longest_cuts(book.frames.events), "codigo_comuna")
    events = by(figures.events_by_year(book.frames.events, "codigo_comuna"), "serie")
    storms: dict[str, Rows] = {}
    for storm in book.storms:
        for hit in storm["lugares"]:
            own = hit | {"titulo": storm["titulo"], "path": storm["path"]}
            storms.setdefault(hit["codigo_comuna"], []).append(own)
    for row in book.frames.comunas.to_dicts():
        code, part = row["codigo_comuna"], months.get(row["codigo_comuna"], none)
        place, region = book.comunas[code], book.regions[row["nombre_region"]]
        data = {
            "codigo_comuna": code,
            "nombre": place.name,
            "nombre_region": region.name,
            **{name: row[name] for name in ("clientes", "metodo_clientes", "fuente_clientes")},
            "cortes": cuts.get(code, []),
            "tormentas": storms.get(code, []),
            "indices_comunales": orjson.Fragment(part.write_json()),
            "anhos": book.comuna_years.get(code, []),
            "eventos": events.get(code, []),
            "horas": book.grid.listed(code),
        }
        context = {"place": place, "series": code, "months": part, "region": region}
        book.page(place.path, "comuna.html", data, context, table=part)


def storms(book: Book) -> None:
    """The list of storms, and a page for each."""
    data = {"tormentas": [plain(storm) for storm in book.storms], "comparacion": _compared(book)}
    book.page("tormentas/", "storms.html", data)
    hours = figures.usable(book.frames.hours)
    # The curve of each storm: the sum over its comunas.
    curves = book.frames.curves.group_by("id", "hora", maintain_order=True).agg(
        clientes=pl.col("clientes_afectados").sum()
    )
    own = {str(name): rows for (name,), rows in curves.partition_by("id", as_dict=True).items()}
    for storm in book.storms:
        total = own.get(storm["id"], curves.clear())
        end = storm["fin"] or total["hora"].max() or storm["inicio"]
        within = hours.filter(pl.col("hora").is_between(storm["inicio"], end))
        grid = figures.grid(within, total.select("hora", "clientes", serie=pl.lit("")))
        book.page(
            storm["path"],
            "storm.html",
            plain(storm) | {"comunas_afectadas": storm["lugares"], "curva": grid.listed("")},
            {"storm": storm, "grid": grid},
            also=[book.customers.get(hit["codigo_comuna"]) for hit in storm["lugares"]],
        )


def _compared(book: Book) -> dict[str, list[dict[str, Any]]]:
    """See `storm_curves.compared`, with names of regions."""
    found = book.frames
    regions = found.curves.group_by("id", "hora", parte=pl.col("codigo_comuna").str.head(2)).agg(
        pl.col("clientes_afectados").sum()
    )
    companies = found.companies.rename({"nombre_empresa": "parte"})
    measured = [storm_curves.restored(each, found.storms, found.hours) for each in (regions, companies)]
    rows = storm_curves.compared(found.storms, *measured)
    names = {code: book.regions[name].name for code, name in book.region_names.items()}
    return {name: frame.with_columns(pl.col("grupo").replace(names)).to_dicts() for name, frame in rows.items()}


def plain(storm: dict[str, Any]) -> dict[str, Any]:
    """A storm's row as JSON holds it."""
    return {key: value for key, value in storm.items() if key not in {"lugares", "path", "regiones_de"}}
