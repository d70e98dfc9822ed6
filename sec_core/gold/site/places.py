"""A page for each region, each comuna and each storm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from sec_core.gold.site import charts, figures
from sec_core.gold.site.book import breaks, by, map_words, partitions, rounded
from sec_core.text import for_csv

if TYPE_CHECKING:
    from sec_core.gold.site.book import Book


def regions(book: Book) -> None:
    """A page for each region."""
    monthly = partitions(book.frames.regional, "nombre_region")
    events = by(figures.events_by_year(book.frames.events, "nombre_region"), "serie")
    shares = {name: rows[-1] for name, rows in book.region_years.items()}
    for name, place in book.regions.items():
        months = monthly.get(name, book.frames.regional.clear())
        rows = months.to_dicts()
        years = book.region_years.get(name, [])
        storms = [s for s in book.storms.values() if place.code in (s["regiones"] or "").split(",")]
        book.site[f"{place.path}datos.csv"] = for_csv(months)
        book.page(
            place.path,
            "region.html",
            place.name,
            f"{place.name}: {book.lang.gettext('outages by month and year, with coverage and intervals')}.",
            {
                "codigo_region": place.code,
                "nombre": place.name,
                "indices_regionales": rows,
                "anhos": years,
                "eventos": events.get(name, []),
                "horas": book.hours_json(name),
            },
            place=place,
            key=name,
            rows=rows[::-1],
            years=years[::-1],
            spans={row["anho"]: book.span(row["anho"]) for row in years},
            seen={row["anho"]: row for row in events.get(name, [])},
            served=shares[name]["clientes"] if name in shares else None,
            out=int(book.grid.of(name)[book.newest]) if book.newest is not None else None,
            storms=storms,
            members=[(p, book.customers.get(p.code)) for p in book.groups[name]],
            year_chart=book.year_chart(book.lang.gettext("SAIDI by year"), years, book.lang),
            month_chart=book.month_chart(book.lang.gettext("SAIDI by month"), rows, book.lang),
            hour_chart=book.hour_chart(book.lang.gettext("Customers out, last 60 days"), name, book.lang),
        )


def comunas(book: Book) -> None:
    """A page for each comuna."""
    monthly = partitions(book.frames.comunal, "codigo_comuna")
    cuts = by(figures.longest_cuts(book.frames.events), "codigo_comuna")
    events = by(figures.events_by_year(book.frames.events, "codigo_comuna"), "serie")
    storms: dict[str, list[dict[str, Any]]] = {}
    for storm in book.storms.values():
        for place in storm["lugares"]:
            storms.setdefault(place["codigo_comuna"], []).append({**place, "storm": storm})
    known = {row["codigo_comuna"]: row for row in book.frames.comunas.to_dicts()}
    for code, place in book.comunas.items():
        about = known[code]
        months = monthly.get(code, book.frames.comunal.clear())
        rows = months.to_dicts()
        years = book.comuna_years.get(code, [])
        region = book.regions[about["nombre_region"]]
        own = storms.get(code, [])
        book.site[f"{place.path}datos.csv"] = for_csv(months)
        book.page(
            place.path,
            "comuna.html",
            f"{place.name}, {region.name}",
            f"{place.name}: {book.lang.gettext('power outages by hour and year, its storms and longest cuts')}.",
            {
                "codigo_comuna": code,
                "nombre": place.name,
                "region": region.name,
                "clientes": about["clientes"],
                "metodo_clientes": about["metodo_clientes"],
                "fuente_clientes": about["fuente_clientes"],
                "indices_comunales": rows,
                "anhos": years,
                "eventos": events.get(code, []),
                "cortes": cuts.get(code, []),
                "tormentas": [{"id": s["id"], "punta": s["punta"], "hora_punta": s["hora_punta"]} for s in own],
                "horas": book.hours_json(code),
            },
            place=place,
            region=region,
            about_customers=about,
            rows=rows[::-1],
            years=years[::-1],
            spans={row["anho"]: book.span(row["anho"]) for row in years},
            seen={row["anho"]: row for row in events.get(code, [])},
            out=int(book.grid.of(code)[book.newest]) if book.newest is not None else None,
            storms=own,
            cuts=cuts.get(code, []),
            year_chart=book.year_chart(book.lang.gettext("SAIDI by year"), years, book.lang),
            month_chart=book.month_chart(book.lang.gettext("SAIDI by month"), rows, book.lang),
            hour_chart=book.hour_chart(book.lang.gettext("Customers out, last 60 days"), code, book.lang),
        )


def storms(book: Book) -> None:
    """The list of storms, and a page for each."""
    plain = [{k: v for k, v in storm.items() if k not in {"lugares", "path"}} for storm in book.storms.values()]
    book.page(
        "tormentas/",
        "storms.html",
        book.lang.gettext("Storms and large outages"),
        book.lang.gettext("The largest outages by weather or collapse: peak, duration and how power came back."),
        {"tormentas": plain},
        storms=list(book.storms.values()),
    )
    curves = partitions(book.frames.curves, "id")
    hours = figures.usable(book.frames.hours)
    for storm in book.storms.values():
        own = curves.get(storm["id"], book.frames.curves.clear())
        end = storm["fin"] or own["hora"].max() or storm["inicio"]
        total = own.group_by("hora").agg(clientes=pl.col("clientes_afectados").sum()).with_columns(serie=pl.lit("x"))
        grid = figures.grid(
            hours.filter(pl.col("hora").is_between(storm["inicio"], end)), total.select("hora", "serie", "clientes")
        )
        chart = charts.hourly(
            book.lang.gettext("Customers out above the usual level, by hour"),
            grid.hours,
            grid.of("x"),
            grid.known,
            book.lang,
        )
        if storm["hora_punta"] in grid.hours:
            at = grid.hours.index(storm["hora_punta"])
            chart.marks = [(round(100 * (at + 0.5) / len(grid.hours), 2), book.lang.gettext("peak"))]
        codes = list(book.comunas)
        peaks = {row["codigo_comuna"]: row["punta"] for row in storm["lugares"]}
        values = [
            rounded(peaks[code] / served if code in peaks and (served := book.customers.get(code)) else None, 4)
            for code in codes
        ]
        book.page(
            storm["path"],
            "storm.html",
            storm["titulo"],
            f"{storm['titulo']}: {book.lang.number(storm['punta'])} {book.lang.gettext('customers at the peak')}.",
            {
                **{key: value for key, value in storm.items() if key not in {"path", "lugares"}},
                "comunas_afectadas": storm["lugares"],
                "curva": {"horas": grid.hours, "clientes": grid.listed("x")},
            },
            storm=storm,
            chart=chart,
            map={
                **map_words(book.lang),
                "sin_datos": book.lang.gettext("not hit, or customers unknown"),
                "medidas": [
                    {
                        "id": "tormenta",
                        "nombre": book.lang.gettext("Most customers out in the storm"),
                        "unidad": "%",
                        "periodos": [
                            {
                                "nombre": book.lang.moment(storm["inicio"]),
                                "nota": "",
                                "valores": values,
                                "clientes": [peaks.get(code) for code in codes],
                            }
                        ],
                        "cortes": breaks(value for value in values if value is not None),
                    }
                ],
            },
            customers=book.customers,
        )
