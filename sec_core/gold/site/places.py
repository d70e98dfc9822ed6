"""A page for each region, each comuna and each storm."""

from typing import Any

import orjson
import polars as pl

from sec_core.gold import storm_curves
from sec_core.gold.site import figures
from sec_core.gold.site.book import Book, by, parts
from sec_core.gold.site.figures import Rows
from sec_core.gold.site.words import SPANISH

# Years that a region's map offers.
ON_MAP = 3


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
