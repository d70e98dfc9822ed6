"""What estimates are made of, month by month: kept, and computed again only where observations changed.

A month's rows follow from the observations of that month, of its loaded neighbours (lines, rises and standing values
cross a month's border) and from which hours count as seen. A digest of all that is kept beside the rows.

Customers newly out, and values that stand still, are counted hour by hour as snapshots show them. A series of
observations is a comuna, company and start date; aggregated it is the comuna alone (the others are constant there).
What a loaded hour does not list is 0. Suspect hours are passed over.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import polars as pl

from sec_core.blobs.place import Blobs
from sec_core.gold import kept, month_files
from sec_core.gold.customers import COUNTRY
from sec_core.gold.estimates import PARTS_SCHEMA, parts
from sec_core.gold.frames import UTC_TIME, Names, with_month
from sec_core.gold.panel import Pattern, by_region, comuna_hours, panel, region_hours
from sec_core.hours import Month
from sec_core.silver.timeline import source_index

# Raise it when anything that is kept is computed differently.
FORMAT = "1"

# Hours over which a value that never changes counts as stale.
STANDING_HOURS = 168

# Source hours up to which two observed hours show that a value stood still between them.
NEIGHBOURS_APART = 24

# How far beyond a month's borders its rows depend on observations, with some room for clock changes.
REACH = timedelta(hours=STANDING_HOURS + 24)
KINDS: Mapping[str, pl.Schema] = {
    "region_hours": pl.Schema({"mes": pl.Date(), "hora": UTC_TIME, "serie": pl.String(), "clientes": pl.Int64()}),
    "region_parts": pl.Schema(PARTS_SCHEMA),
    "comuna_parts": pl.Schema(PARTS_SCHEMA),
    "rises": pl.Schema({"mes": pl.Date(), "dia": pl.Date(), "serie": pl.String(), "subidas": pl.Int64()}),
    "imputed": pl.Schema({"mes": pl.Date(), "serie": pl.String(), "filas": pl.Int64(), "imputadas": pl.Int64()}),
    "standing": pl.Schema({"mes": pl.Date(), "serie": pl.String(), "quietas": pl.Int64()}),
}


# Months that are computed together.
AT_ONCE = 6

_KEY = ["id_geografia", "id_empresa", "fecha_inicio"]
KEPT_COLUMNS = ["hora", "fecha_inicio", "clientes_afectados", "n_filas", "imputaciones"]


@dataclass(frozen=True, slots=True)
class Monthly:
    """All months of what is kept; `mes` is a column of each.

    Attributes:
        region_hours: hora, serie (region, UNKNOWN, `CHILE`), clientes, see `panel.region_hours`.
        region_parts: Of regions, UNKNOWN and the country, see `estimates.parts`.
        comuna_parts: Of comunas by code.
        rises: See `rises`.
        imputed: See `imputed`.
        standing: See `standing`.
        computed: Months that were computed in this build.
    """

    region_hours: pl.DataFrame
    region_parts: pl.DataFrame
    comuna_parts: pl.DataFrame
    rises: pl.DataFrame
    imputed: pl.DataFrame
    standing: pl.DataFrame
    computed: tuple[Month, ...]


def bring_up_to_date(
    gold: Blobs, exported: Mapping[Month, str], names: Names, loads: pl.DataFrame, seen: Pattern
) -> Monthly:
    """Compute what changed, keep the rest.

    Args:
        gold: Gold's place, with current `observaciones/`.
        exported: Digest of each month's observations, see `month_files.digests`.
        names: The dimensions.
        loads: hora, forma of the loaded hours.
        seen: What was seen when.

    Raises:
        StorageError: The place refused a file.
    """
    read = lru_cache(maxsize=3)(lambda month: _observations(gold, month, names))

    def make(changed: list[str]) -> dict[str, list[pl.DataFrame]]:
        return compute(list(map(Month.parse, changed)), sorted(exported), read, names, loads, seen)

    whole, changed = kept.bring_up_to_date(gold, KINDS, kept.MONTH, _digests(exported, seen), make)
    return Monthly(**whole, computed=tuple(map(Month.parse, changed)))


def _digests(exported: Mapping[Month, str], seen: Pattern) -> dict[str, str]:
    """What each month's rows follow from."""
    months = sorted(exported)
    used = seen.hours.filter(pl.col("visto") != "descubierta").select("mes", "hora", "visto")
    # A day that has not ended changes with every hour.
    hours, days = (
        {day: rows.write_csv() for (day,), rows in frame.partition_by("mes", as_dict=True).items()}
        for frame in (used, seen.days)
    )
    found = {}
    for at, month in enumerate(months):
        before = [other for other in months[:at] if other.first_day in hours]
        near = sorted({*before[-1:], *months[max(at - 1, 0) : at + 2]})
        follows = [text for other in near for text in (exported[other], hours.get(other.first_day, ""))]
        found[str(month)] = kept.digest(FORMAT, days.get(month.first_day, ""), *follows)
    return found


def compute(
    changed: Sequence[Month],
    months: Sequence[Month],
    read: Callable[[Month], pl.DataFrame],
    names: Names,
    loads: pl.DataFrame,
    seen: Pattern,
) -> dict[str, list[pl.DataFrame]]:
    """The rows of each kind, a frame for some changed months at a time.

    `read` gives `KEPT_COLUMNS`, id_geografia and id_empresa of one of `months`, at least those within `REACH` of a
    changed one and of the observed hour before it.
    """
    made: dict[str, list[pl.DataFrame]] = {kind: [] for kind in KINDS}
    observed = seen.hours.filter(pl.col("visto") == "observada")["hora"]
    regions = sorted({*names.places["nombre_region"], COUNTRY})
    comunas = sorted(set(names.places["codigo_comuna"]) - {""})
    for group in _groups(changed):
        days = [month.first_day for month in group]
        previous = observed.filter(observed < group[0].start).max()
        first, last = group[0].start - REACH, group[-1].end + REACH
        near = pl.col("hora").is_between(first, last) | (pl.col("hora") == pl.lit(previous, UTC_TIME))
        needed = {group[0].shift(-1), *group, group[-1].shift(1)}
        if isinstance(previous, datetime):
            needed.add(Month.of(previous))
        rows = pl.concat(read(month).filter(near) for month in months if month in needed)
        listed = panel(rows, names.places, loads)
        regional = with_month(region_hours(listed, names.places))
        found = {
            "region_hours": regional,
            "region_parts": parts(regional.drop("mes"), seen, regions, days),
            "comuna_parts": parts(comuna_hours(listed), seen, comunas, days),
            "rises": rises(rows, names.places, loads, seen).with_columns(mes=pl.col("dia").dt.month_start()),
            "imputed": imputed(rows, names.places),
            "standing": standing(rows, names.places, seen),
        }
        for kind, frame in found.items():
            made[kind].append(frame.filter(pl.col("mes").is_in(days)))
    return made


def rises(observations: pl.DataFrame, places: pl.DataFrame, loads: pl.DataFrame, pattern: Pattern) -> pl.DataFrame:
    """Customers newly out: each series' first value and every rise between neighbouring observed hours.

    Where the form changes between two hours, comunas are compared, since nothing else is the same in both.

    Args:
        observations: hora, id_geografia, id_empresa, fecha_inicio, clientes_afectados. A day counts right if those of
            the observed hour before its first one are there too, however far back.
        places: id_geografia, nombre_region.
        loads: hora, forma of loaded hours.
        pattern: What was seen when.

    Returns:
        dia, serie (regions, UNKNOWN, `CHILE`), subidas (customers); days and regions with none have no row.
    """
    hours = (
        pattern.hours.filter(pl.col("visto") == "observada")
        .select("hora", "dia")
        .join(loads.select("hora", "forma"), on="hora", how="left", maintain_order="left")
        .with_columns(previa=pl.col("hora").shift(1), cambio=pl.col("forma").ne_missing(pl.col("forma").shift(1)))
    )
    values = observations.select("hora", *_KEY, "clientes_afectados")
    by_comuna = values.group_by("hora", "id_geografia").agg(pl.col("clientes_afectados").sum())
    risen = pl.concat(
        [
            _risen(values, hours.filter(~pl.col("cambio")), _KEY),
            _risen(by_comuna, hours.filter("cambio"), ["id_geografia"]),
        ]
    )
    return by_region(risen.filter(pl.col("subidas") > 0), places, "id_geografia")


def _risen(values: pl.DataFrame, hours: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    before = values.select(*key, previa="hora", antes="clientes_afectados")
    return (
        values.join(hours, on="hora")
        .join(before, on=["previa", *key], how="left", nulls_equal=True)
        .select("dia", "id_geografia", subidas=pl.col("clientes_afectados") - pl.col("antes").fill_null(0))
    )


def standing(observations: pl.DataFrame, places: pl.DataFrame, pattern: Pattern) -> pl.DataFrame:
    """Customer-hours of a month that come from values which stood still for `STANDING_HOURS` or more.

    Args:
        observations: As `rises` takes them. A month counts right with those of `STANDING_HOURS` before and after it.
        places: id_geografia, nombre_region.
        pattern: What was seen when.

    Returns:
        mes, serie (regions, UNKNOWN, `CHILE`), quietas (customer-hours of observed hours); those with none have no row.
    """
    observed = pattern.hours.filter(pl.col("visto") == "observada")["hora"]
    hours = pl.DataFrame({"hora": observed, "orden": range(observed.len()), "indice": source_index(observed)})
    same = [pl.col(name).eq_missing(pl.col(name).shift(1)) for name in [*_KEY, "clientes_afectados"]]
    follows = (pl.col("orden").diff() == 1) & (pl.col("indice").diff() <= NEIGHBOURS_APART)
    rows = observations.select("hora", *_KEY, "clientes_afectados").join(hours, on="hora")
    long = rows.group_by(_KEY).agg(pl.col("indice").max() - pl.col("indice").min())
    runs = (
        rows.join(long.filter(pl.col("indice") >= STANDING_HOURS - 1), on=_KEY, how="semi", nulls_equal=True)
        .sort(*_KEY, "hora")
        .with_columns(tramo=(~pl.all_horizontal(*same, follows).fill_null(value=False)).cum_sum())
    )
    length = (pl.col("indice").max() - pl.col("indice").min() + 1).over("tramo")
    still = with_month(runs.filter(length >= STANDING_HOURS))
    return by_region(still.select("mes", "id_geografia", quietas="clientes_afectados"), places, "id_geografia")


def imputed(observations: pl.DataFrame, places: pl.DataFrame) -> pl.DataFrame:
    """Source rows of a month, and those in observations that an imputation rule touched (an upper bound).

    Args:
        observations: hora, id_geografia, n_filas, imputaciones.
        places: id_geografia, nombre_region.

    Returns:
        mes, serie (regions, UNKNOWN, `CHILE`), filas, imputadas.
    """
    touched = pl.when(pl.col("imputaciones") != 0).then("n_filas").otherwise(0)
    own = with_month(observations)
    return by_region(own.select("mes", "id_geografia", filas="n_filas", imputadas=touched), places, "id_geografia")


def _groups(months: Sequence[Month]) -> Iterator[list[Month]]:
    """Months that follow each other, so many at a time that memory stays bounded."""
    group: list[Month] = []
    for month in months:
        if group and (month != group[-1].shift(1) or len(group) == AT_ONCE):
            yield group
            group = []
        group.append(month)
    if group:
        yield group


def _observations(gold: Blobs, month: Month, names: Names) -> pl.DataFrame:
    """`KEPT_COLUMNS`, id_geografia and id_empresa of an exported month."""
    columns = [*KEPT_COLUMNS, "codigo_comuna", "nombre_empresa"]
    return (
        pl.read_parquet(gold.source(month_files.month_key(month)), columns=columns, hive_partitioning=False)
        .join(names.places.select("codigo_comuna", "id_geografia"), on="codigo_comuna", how="left")
        .join(names.companies, on="nombre_empresa", how="left")
        .drop("codigo_comuna", "nombre_empresa")
    )
