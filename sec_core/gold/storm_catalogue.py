"""The storms of the whole history, kept between builds: a set is measured again only when what it rests on changed.

Hits are kept by month. Connected sets are found among all of them, since a storm may span months and months come in any
order. What was measured is kept by a digest of the set, of the hours about it that have data, and of the observations
of the months that its window touches.
"""

from bisect import bisect_left
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Final, NamedTuple

import polars as pl

from sec_core.blobs.place import Blobs
from sec_core.gold import kept, month_files
from sec_core.gold.frames import with_month
from sec_core.gold.kept import digest
from sec_core.gold.storm_curves import CURVES_SCHEMA, FULL_COVERAGE, LONGEST_HOURS, STORMS_SCHEMA
from sec_core.gold.storms import StormRules, StormSearch, find_hits
from sec_core.hours import CHILE, Month, month_range
from sec_core.reference.tables import neighbours, read_rows
from sec_core.silver.columns import HORA
from sec_core.silver.events import nearest_month
from sec_core.silver.timeline import chile_date
from sec_core.source.shapes import Shape

# Raise it when hits or storms are computed differently.
FORMAT: Final = "1"

# A storm of whose peak two comunas hold so much may be a local failure, and its note says so.
LOCAL_SHARE: Final = 0.8

HITS_SCHEMA: Final = pl.Schema({name: CURVES_SCHEMA[name] for name in ("hora", "codigo_comuna", "clientes_afectados")})
COMPANIES_SCHEMA: Final = pl.Schema(
    {"id": pl.String(), "hora": HORA, "nombre_empresa": pl.String(), "clientes_afectados": pl.Int64()}
)
KEPT: Final = {
    "storms": pl.Schema({**STORMS_SCHEMA, "conjunto": pl.String()}),
    "storm_hours": pl.Schema({**CURVES_SCHEMA, "conjunto": pl.String()}),
    "storm_companies": pl.Schema({**COMPANIES_SCHEMA, "conjunto": pl.String()}),
}


class Storms(NamedTuple):
    """All storms by `STORMS_SCHEMA`, their curves, and what each company has out in these, where it is named."""

    rows: pl.DataFrame
    curves: pl.DataFrame
    companies: pl.DataFrame


def bring_up_to_date(
    gold: Blobs, exported: Mapping[Month, str], calendar: pl.DataFrame, customers: pl.DataFrame, rules: StormRules
) -> Storms:
    """All storms and their curves, as `storms.find_storms` gives them from the whole panel at once.

    Args:
        gold: Gold's place, with current `observaciones/` and `panel/`.
        exported: Digest of each month's observations, see `month_files.digests`.
        calendar: hora, cargada, sospechosa of all expected hours.
        customers: `clientes_comunales`; each month takes the nearest figures.
        rules: What a storm is.

    Raises:
        StorageError: The place refused a file.
    """
    hits = _hits(gold, exported, customers, rules)
    loaded = calendar.filter(pl.col("cargada") & ~pl.col("sospechosa"))["hora"]
    search = StormSearch(hits, loaded, calendar["hora"], neighbours(), rules)
    about = [month_range(*map(Month.of, search.span(cells))) for cells in search.sets]
    names = [
        digest(FORMAT, search.identity(cells), *(exported.get(month, "") for month in months), repr(rules))
        for cells, months in zip(search.sets, about, strict=True)
    ]

    def make(changed: list[str]) -> dict[str, list[pl.DataFrame]]:
        new = [at for at, name in enumerate(names) if name in changed]
        needed = sorted({month for at in new for month in about[at]} & exported.keys())
        if needed:
            search.fill(month_files.panel_of(gold, needed).drop("forma").collect())
        found = [(pl.lit(names[at]).alias("conjunto"), *search.measure(search.sets[at])) for at in new]
        curves = [rows.with_columns(name) for name, _, rows in found]
        measured = pl.concat([pl.DataFrame(schema=KEPT["storm_hours"]), *curves])
        sets = measured.select("id", "conjunto").unique()
        return {
            "storms": [rows.with_columns(name) for name, rows, _ in found],
            "storm_hours": curves,
            "storm_companies": [_by_company(gold, measured).join(sets, on="id")],
        }

    wanted = dict.fromkeys(sorted(names), "")
    whole, _ = kept.bring_up_to_date(gold, KEPT, pl.col("conjunto"), wanted, make)
    rows, curves, companies = (whole[kind].drop("conjunto") for kind in KEPT)
    return Storms(rows.sort("inicio", "id"), curves, companies)


def _by_company(gold: Blobs, curves: pl.DataFrame) -> pl.DataFrame:
    """What each company has out in the hours and comunas of some storms' curves, by `COMPANIES_SCHEMA`.

    Args:
        gold: Gold's place, with current `observaciones/`; hours of the aggregated form name no company.
        curves: id, hora, codigo_comuna.
    """
    cells = curves.select("id", "hora", "codigo_comuna").lazy()
    found = [pl.DataFrame(schema=COMPANIES_SCHEMA)]
    days = with_month(curves.select("hora")).get_column("mes").unique().sort()
    for month in (Month(day.year, day.month) for day in days):
        rows = month_files.observations_of(gold, month).filter(pl.col("forma") == Shape.DETAILED.value)
        named = rows.with_columns(pl.col("codigo_comuna", "nombre_empresa").cast(pl.String))
        joined = named.join(cells, on=["hora", "codigo_comuna"])
        found.append(joined.group_by("id", "hora", "nombre_empresa").agg(pl.col("clientes_afectados").sum()).collect())
    return pl.concat(found).sort("id", "hora", "nombre_empresa")


def _hits(gold: Blobs, exported: Mapping[Month, str], customers: pl.DataFrame, rules: StormRules) -> pl.DataFrame:
    """The hits of all months; of the months that changed, from the panel."""
    each = served(pl.Series([month.first_day for month in exported], dtype=pl.Date), customers)
    spelled = pl.concat_str("codigo_comuna", "clientes", separator=" ")
    figures = dict(each.sort("codigo_comuna").group_by("mes").agg(spelled.str.join(",")).iter_rows())
    wanted = {
        str(month): digest(FORMAT, exported[month], repr(rules), figures.get(month.first_day, ""))
        for month in sorted(exported)
    }

    def make(changed: list[str]) -> dict[str, list[pl.DataFrame]]:
        months = map(Month.parse, changed)
        return {
            "storm_hits": [find_hits(month_files.panel_of(gold, [month]).collect(), each, rules) for month in months]
        }

    month = chile_date(pl.col("hora")).dt.strftime("%Y-%m")
    return kept.bring_up_to_date(gold, {"storm_hits": HITS_SCHEMA}, month, wanted, make)[0]["storm_hits"]


def served(months: pl.Series, customers: pl.DataFrame) -> pl.DataFrame:
    """mes, codigo_comuna, clientes of each month: the nearest figures of `clientes_comunales`."""
    figures = customers.select("mes", "codigo_comuna", "clientes")
    pairs = pl.DataFrame({"mes": months}).join(customers.select("codigo_comuna").unique(), how="cross")
    return nearest_month(pairs, figures, "codigo_comuna").select(figures.columns)


def described(storms: pl.DataFrame, curves: pl.DataFrame, loads: pl.DataFrame) -> pl.DataFrame:
    """Add nombre and nota (Spanish, null where there is nothing to say) to storms by `STORMS_SCHEMA`.

    Args:
        storms: The storms.
        curves: Their curves, by `CURVES_SCHEMA`.
        loads: hora, forma of the loaded hours.
    """
    at_peak = curves.join(storms.select("id", hora="hora_punta"), on=["id", "hora"]).group_by("id")
    two = dict(at_peak.agg(pl.col("clientes_afectados").top_k(2).sum()).iter_rows())
    known = read_rows("tormentas.csv")
    ordered = loads.select("hora", detallada=pl.col("forma") == "detailed").sort("hora")
    hours, detailed = ordered["hora"].to_list(), [0, *ordered["detallada"].cum_sum()]
    names, notes = [], []
    for row in storms.iter_rows(named=True):
        name = _known(known, row["hora_punta"].astimezone(CHILE).date(), row["regiones"])
        first = bisect_left(hours, row["inicio"])
        last = bisect_left(hours, row["fin"]) if row["fin"] else len(hours)
        both = 0 < detailed[last] - detailed[first] < last - first
        local = two.get(row["id"], 0) >= LOCAL_SHARE * row["punta"]
        names.append(name.get("nombre"))
        notes.append(" ".join(filter(None, [*_notes(row, both_forms=both, local=local), name.get("nota")])) or None)
    texts = pl.Series("nombre", names, pl.String), pl.Series("nota", notes, pl.String)
    return storms.with_columns(*texts).select("id", "nombre", pl.exclude("id", "nombre"))


def _known(known: list[dict[str, str]], day: date, regions: str) -> dict[str, str]:
    """The reviewed entry whose days hold the peak's and whose regions the storm touches."""
    touched = set(regions.split(","))
    for row in known:
        inside = date.fromisoformat(row["desde"]) <= day <= date.fromisoformat(row["hasta"])
        if inside and touched & set(row["regiones"].split(" ")):
            return row
    return {}


def _notes(row: dict[str, Any], *, both_forms: bool, local: bool) -> list[str]:
    """What to beware of in a storm's figures."""
    found = (
        ["Casi toda su punta está en una o dos comunas: puede ser una falla local y no un temporal."] if local else []
    )
    share = row["cobertura"]
    if share < FULL_COVERAGE:
        found.append(
            f"Se vio el {100 * share:.0f} % de sus horas: la punta es la mayor vista, y lo que los vacíos ocultan queda"
            " sin valor."
        )
    elif row["horas_hasta_punta"] is None:
        found.append("Un vacío oculta su comienzo.")
    if row["abierta"]:
        found.append("Sigue abierta.")
    elif row["fin"] - row["inicio"] >= timedelta(hours=LONGEST_HOURS):
        found.append("Cortada a los 30 días, aún sin volver al nivel usual.")
    if both_forms:
        found.append("La fuente cambió de forma mientras duraba.")
    return found
