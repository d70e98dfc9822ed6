"""The site: frames in, files by path out. The same frames give the same bytes; nothing tells when it was made."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from sec_core.gold.definitions import definitions
from sec_core.gold.payloads.meta import CITA, CITATION, LICENCE, LICENCIA
from sec_core.gold.site import charts, figures, places
from sec_core.gold.site.book import ENGLISH, SPANISH, Book, Site
from sec_core.gold.site.words import Language
from sec_core.gold.universe import COUNTRY
from sec_core.text import for_csv

if TYPE_CHECKING:
    from sec_core.gold.site.figures import SiteFrames

ON_START: Final = 6
"""Storms and comunas that the first page lists."""
DOWNLOADS: Final = ("indices_comunales", "indices_regionales", "comunas", "tormentas", "horas")
"""Tables of the data page, as CSV."""


def build_site(frames: SiteFrames, address: str | None = None) -> Site:
    """All files of the site by their path.

    Args:
        frames: What it is made from.
        address: Where the site will stand, for canonical addresses; None leaves them out.
    """
    book = Book(frames, f"{address.rstrip('/')}/" if address else None)
    for write in (
        start,
        whole_map,
        lists,
        places.regions,
        places.comunas,
        places.storms,
        payload_pages,
        method_and_data,
    ):
        write(book)
    book.site["sitemap.xml"] = sitemap(book)
    return book.site


def start(book: Book) -> None:
    """The first page, in both languages."""
    whole = book.whole_years()
    country = book.region_years.get(COUNTRY, [])
    peaks = figures.daily_peaks(book.frames)
    out = book.grid.newest(COUNTRY)
    served = next((d["universo"] for d in book.meta["denominadores"] if d["nombre_region"] == COUNTRY), None)
    now = [(book.comunas[code], out, share) for code, (out, share) in book.out_now.items() if out]
    top = sorted(now, key=lambda row: -row[1])[:ON_START]
    data = {
        "ultima_hora": book.meta["ultima_hora"],
        "clientes_sin_suministro": out,
        "clientes": served,
        "anhos": country,
        "maximos_diarios": peaks.to_dicts(),
        "horas": book.grid.listed(COUNTRY),
    }
    for path, code in (("", SPANISH), ("en/", ENGLISH)):
        lang = Language(code)
        book.page(
            path,
            "start.html",
            lang.gettext("Power outages in Chile"),
            lang.gettext("How many are without power, where and for how long: every comuna and every storm."),
            data,
            out=out,
            share=out / served if out is not None and served else None,
            year=next((row for row in reversed(country) if row["anho"] in whole and row["saidi"] is not None), None),
            spans=book.spans,
            top=top,
            storms=list(book.storms.values())[:ON_START],
            map=book.map_data(whole[-1:], lang),
            years=book.year_chart(country, lang),
            recent=book.hour_chart(COUNTRY, lang),
            days=charts.daily(
                lang.gettext("Most customers out at once, by day"),
                peaks["dia"].to_list(),
                peaks["clientes"].to_list(),
                lang,
            ),
        )


def whole_map(book: Book) -> None:
    """The map by measure and year, with its table."""
    years = list(book.spans)
    data = book.map_data(years, book.lang)
    last = next((year for year in reversed(book.whole_years())), years[-1] if years else None)
    held = {(code, row["anho"]): row for code, rows in book.comuna_years.items() for row in rows}
    book.page(
        "mapa/",
        "map.html",
        book.lang.gettext("Map by comuna"),
        book.lang.gettext("Hours without power and outages in each of the 346 comunas of Chile, by year."),
        {"codigos": list(book.comunas), **data},
        map=data,
        year=book.span(last) if last else "",
        rows=[(place, held.get((code, last))) for code, place in book.comunas.items()],
    )


def lists(book: Book) -> None:
    """All comunas by region: what the search leads to without scripts."""
    book.page(
        "comunas/",
        "comunas.html",
        book.lang.gettext("Comunas and regions"),
        book.lang.gettext("All comunas of Chile, by region."),
        {"comunas": [{"codigo_comuna": p.code, "nombre": p.name, "pagina": p.path} for p in book.comunas.values()]},
        groups=book.groups,
    )


def payload_pages(book: Book) -> None:
    """Companies, investments, quality."""
    rows, lang = book.frames.payloads, book.lang
    book.page(
        "empresas/",
        "companies.html",
        lang.gettext("Companies"),
        lang.gettext("Distribution companies by customers affected, in the months in which the source names them."),
        {"company_ranking": rows["company_ranking"], "meses_con_empresa": book.meta["meses_con_empresa"]},
        ranking=rows["company_ranking"],
        months=book.meta["meses_con_empresa"],
    )
    names = ("investment_roi", "investment_validation", "eda_projects_dist")
    book.page(
        "inversiones/",
        "investments.html",
        lang.gettext("Investments"),
        lang.gettext("Did outages become fewer where works went into service?"),
        {name: rows[name] for name in names},
        **{name: rows[name] for name in names},
    )
    states = figures.day_states(book.frames.hours)
    chart, paths = charts.calendar(
        lang.gettext("Which hours are there: a tile for each day"),
        list(states.select("dia", "estado").iter_rows()),
        lang,
    )
    parts = ("coverage", "quality", "eda_quality_stats", "sensitivity", "official_comparison")
    country = [row for row in rows["quality"] if row["nombre_region"] == COUNTRY]
    book.page(
        "calidad/",
        "quality.html",
        lang.gettext("Data quality and coverage"),
        lang.gettext("Which hours have data, what had to be mended, and how far the official index is from this one."),
        {"origenes": book.meta["origenes"], **{name: rows[name] for name in parts}},
        chart=chart,
        paths=paths,
        coverage=rows["coverage"][::-1],
        country=country[::-1],
        imputed=rows["eda_quality_stats"],
        sensitivity=rows["sensitivity"],
        official=rows["official_comparison"],
        denominators=book.meta["denominadores"],
    )


def method_and_data(book: Book) -> None:
    """Method and data, in both languages."""
    tables = {
        "indices_comunales": book.frames.comunal,
        "indices_regionales": book.frames.regional,
        "comunas": book.frames.comunas,
        "tormentas": book.frames.storms,
        "horas": book.frames.hours.select("hora", "estado", "cargada", "sospechosa", "forma"),
    }
    for name in DOWNLOADS:
        book.site[f"datos/{name}.csv"] = for_csv(tables[name])
    sizes = [(name, tables[name].height, len(book.site[f"datos/{name}.csv"])) for name in DOWNLOADS]
    for path, data_path, code in (("metodo/", "datos/", SPANISH), ("en/method/", "en/data/", ENGLISH)):
        lang = Language(code)
        written = definitions(code)
        book.page(
            path,
            "method.html",
            lang.gettext("Method and definitions"),
            lang.gettext("What each figure means, how it is computed, and what it does not say."),
            {"definiciones": [asdict(one) for one in written]},
            definitions=written,
        )
        book.page(
            data_path,
            "data.html",
            lang.gettext("Data and citation"),
            lang.gettext("Downloads, what each file holds, licence and how to cite."),
            {"tablas": [{"nombre": name, "filas": rows, "bytes": size} for name, rows, size in sizes]},
            tables=sizes,
            citation=CITATION if code == ENGLISH else CITA,
            licence=LICENCE if code == ENGLISH else LICENCIA,
        )


def sitemap(book: Book) -> bytes:
    """All pages; without a known address their paths, which are no valid sitemap until the address is set."""
    paths = sorted(path.removesuffix("index.html") for path in book.site if path.endswith("index.html"))
    places = "".join(f"<url><loc>{escape((book.address or '/') + path)}</loc></url>\n" for path in paths)
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
    return f"{head}{places}</urlset>\n".encode()
