"""A page for each region, each comuna and each storm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from sec_core.gold.site import charts, figures
from sec_core.gold.site.book import by, map_words, measure, partitions, rounded
from sec_core.text import without_formulas

if TYPE_CHECKING:
    from sec_core.gold.site.book import Book, Place
    from sec_core.gold.site.figures import Rows


def regions(book: Book) -> None:
    """A page for each region."""
    monthly = partitions(without_formulas(book.frames.regional), "nombre_region")
    events = by(figures.events_by_year(book.frames.events, "nombre_region"), "serie")
    about = f"{book.lang.gettext('outages by month and year, with coverage and intervals')}."
    for name, place in book.regions.items():
        years = book.region_years.get(name, [])
        _page(
            book,
            place,
            name,
            ("region.html", place.name, f"{place.name}: {about}"),
            {"codigo_region": place.code, "nombre": place.name},
            {"indices_regionales": monthly.get(name, book.frames.regional.clear())},
            years,
            events.get(name, []),
            served=years[-1]["clientes"] if years else None,
            storms=[storm for storm in book.storms.values() if place.code in (storm["regiones"] or "").split(",")],
            members=book.groups[name],
        )


def comunas(book: Book) -> None:
    """A page for each comuna."""
    monthly = partitions(without_formulas(book.frames.comunal), "codigo_comuna")
    cuts = by(figures.longest_cuts(book.frames.events), "codigo_comuna")
    events = by(figures.events_by_year(book.frames.events, "codigo_comuna"), "serie")
    storms: dict[str, list[dict[str, Any]]] = {}
    for storm in book.storms.values():
        for hit in storm["lugares"]:
            storms.setdefault(hit["codigo_comuna"], []).append(
                {**hit, "titulo": storm["titulo"], "path": storm["path"]}
            )
    known = {row["codigo_comuna"]: row for row in book.frames.comunas.to_dicts()}
    about = f"{book.lang.gettext('power outages by hour and year, its storms and longest cuts')}."
    for code, place in book.comunas.items():
        row, own = known[code], cuts.get(code, [])
        region = book.regions[row["nombre_region"]]
        customers = {name: row[name] for name in ("clientes", "metodo_clientes", "fuente_clientes")}
        _page(
            book,
            place,
            code,
            ("comuna.html", f"{place.name}, {region.name}", f"{place.name}: {about}"),
            {"codigo_comuna": code, "nombre": place.name, "region": region.name, **customers, "cortes": own}
            | {"tormentas": storms.get(code, [])},
            {"indices_comunales": monthly.get(code, book.frames.comunal.clear())},
            book.comuna_years.get(code, []),
            events.get(code, []),
            region=region,
            served=customers,
            storms=storms.get(code, []),
            cuts=own,
        )


def _page(
    book: Book,
    place: Place,
    series: str,
    texts: tuple[str, str, str],
    data: dict[str, Any],
    months: dict[str, pl.DataFrame],
    years: Rows,
    events: Rows,
    **context: object,
) -> None:
    """The page of a comuna or region: template, title and description; its months by the name of their table."""
    ((table, frame),) = months.items()
    rows = frame.to_dicts()
    book.site[f"{place.path}datos.csv"] = frame.write_csv().encode()
    book.page(
        place.path,
        *texts,
        {**data, table: rows, "anhos": years, "eventos": events, "horas": book.grid.listed(series)},
        place=place,
        series=series,
        rows=rows[::-1],
        years=years[::-1],
        spans={row["anho"]: book.span(row["anho"]) for row in years},
        seen={row["anho"]: row for row in events},
        out=book.grid.newest(series),
        year_chart=book.year_chart(years, book.lang),
        month_chart=book.month_chart(rows, book.lang),
        hour_chart=book.hour_chart(series, book.lang),
        **context,
    )


def storms(book: Book) -> None:
    """The list of storms, and a page for each."""
    lang = book.lang
    plain = [{k: v for k, v in storm.items() if k not in {"lugares", "path"}} for storm in book.storms.values()]
    book.page(
        "tormentas/",
        "storms.html",
        lang.gettext("Storms and large outages"),
        lang.gettext("The largest outages by weather or collapse: peak, duration and how power came back."),
        {"tormentas": plain},
        storms=list(book.storms.values()),
    )
    curves = partitions(book.frames.curves, "id")
    hours = figures.usable(book.frames.hours)
    for storm in book.storms.values():
        own = curves.get(storm["id"], book.frames.curves.clear())
        end = storm["fin"] or own["hora"].max() or storm["inicio"]
        total = own.select("hora", serie=pl.lit(""), clientes="clientes_afectados").group_by("hora", "serie").sum()
        grid = figures.grid(hours.filter(pl.col("hora").is_between(storm["inicio"], end)), total)
        chart = charts.hourly(lang.gettext("Customers out above the usual level, by hour"), grid, "", lang)
        if storm["hora_punta"] in grid.hours:
            at = grid.hours.index(storm["hora_punta"])
            chart.marks = [(round(100 * (at + 0.5) / len(grid.hours), 2), lang.gettext("peak"))]
        book.page(
            storm["path"],
            "storm.html",
            storm["titulo"],
            f"{storm['titulo']}: {lang.number(storm['punta'])} {lang.gettext('customers at the peak')}.",
            {key: value for key, value in storm.items() if key not in {"path", "lugares"}}
            | {"comunas_afectadas": storm["lugares"], "curva": grid.listed("")},
            storm=storm,
            chart=chart,
            map=_storm_map(book, storm),
            customers=book.customers,
        )


def _storm_map(book: Book, storm: dict[str, Any]) -> dict[str, Any]:
    """The comunas hit by the highest share of their customers that was out."""
    peaks = {row["codigo_comuna"]: row["punta"] for row in storm["lugares"]}
    shares = {code: peaks[code] / served for code, served in book.customers.items() if code in peaks and served}
    period = {
        "nombre": book.lang.moment(storm["inicio"]),
        "nota": "",
        "valores": [rounded(shares.get(code), 4) for code in book.comunas],
        "clientes": [peaks.get(code) for code in book.comunas],
    }
    made = measure("tormenta", book.lang.gettext("Most customers out in the storm"), "%", [period])
    return map_words(book.lang) | {"medidas": [made], "sin_datos": book.lang.gettext("not hit, or customers unknown")}
