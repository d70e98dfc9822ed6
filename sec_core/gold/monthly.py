"""What estimates are made of, month by month: kept, and computed again only where observations changed.

A month's rows follow from the observations of that month, of its loaded neighbours (lines, rises and standing values
cross a month's border) and from which hours count as seen. A digest of all that is kept beside the rows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import polars as pl

from sec_core.blobs.place import Blobs
from sec_core.gold import kept, observations
from sec_core.gold.estimated_hours import Pattern
from sec_core.gold.estimates import PARTS_SCHEMA, parts
from sec_core.gold.frames import UTC_TIME, Names, with_month
from sec_core.gold.panel import comuna_hours, panel, region_hours
from sec_core.gold.rises import STANDING_HOURS, imputed, rises, standing
from sec_core.gold.universe import COUNTRY
from sec_core.hours import Month

# Raise it when anything that is kept is computed differently.
FORMAT = "1"

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

KEPT_COLUMNS = ["hora", "fecha_inicio", "clientes_afectados", "n_filas", "imputaciones"]


@dataclass(frozen=True, slots=True)
class Monthly:
    """All months of what is kept; `mes` is a column of each.

    Attributes:
        region_hours: hora, serie (region, UNKNOWN, `CHILE`), clientes, see `panel.region_hours`.
        region_parts: Of regions, UNKNOWN and the country, see `estimates.parts`.
        comuna_parts: Of comunas by code.
        rises: See `rises.rises`.
        imputed: See `rises.imputed`.
        standing: See `rises.standing`.
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
        exported: Digest of each month's observations, see `observations.digests`.
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
        by_region = with_month(region_hours(listed, names.places))
        made["region_hours"].append(by_region.filter(pl.col("mes").is_in(days)))
        made["region_parts"].append(parts(by_region.drop("mes"), seen, regions, days))
        made["comuna_parts"].append(parts(comuna_hours(listed), seen, comunas, days))
        risen = rises(rows, names.places, loads, seen, days)
        made["rises"].append(risen.with_columns(mes=pl.col("dia").dt.month_start()))
        made["imputed"].append(imputed(rows, names.places, days))
        made["standing"].append(standing(rows, names.places, seen, days))
    return made


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
        pl.read_parquet(gold.source(observations.month_key(month)), columns=columns, hive_partitioning=False)
        .join(names.places.select("codigo_comuna", "id_geografia"), on="codigo_comuna", how="left")
        .join(names.companies, on="nombre_empresa", how="left")
        .drop("codigo_comuna", "nombre_empresa")
    )
