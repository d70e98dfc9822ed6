"""What estimates are made of, month by month: kept in `gold/kept/`, computed again only where observations changed.

A month's rows follow from the observations of that month, of its loaded neighbours (lines, rises and standing values
cross a month's border) and from which hours count as seen. A digest of all that is kept beside the rows.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING

import orjson
import polars as pl
import pyarrow.parquet as pq

from sec_core.blobs.model import BlobMissing
from sec_core.gold import observations
from sec_core.gold.estimates import PARTS_SCHEMA, parts
from sec_core.gold.frames import UTC_TIME, with_month
from sec_core.gold.panel import comuna_hours, panel, region_hours
from sec_core.gold.rises import STANDING_HOURS, imputed, rises, standing
from sec_core.gold.universe import COUNTRY
from sec_core.hours import Month

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sec_core.blobs.model import Blobs
    from sec_core.gold.estimated_hours import Pattern
    from sec_core.gold.frames import Names

FORMAT = "1"
"""Raise it when anything that is kept is computed differently."""

FOLDER = "kept/"
REACH = timedelta(hours=STANDING_HOURS + 24)
"""How far beyond a month's borders its rows depend on observations, with some room for clock changes."""
KINDS: Mapping[str, pl.Schema] = {
    "region_hours": pl.Schema({"mes": pl.Date(), "hora": UTC_TIME, "serie": pl.String(), "clientes": pl.Int64()}),
    "region_parts": pl.Schema(PARTS_SCHEMA),
    "comuna_parts": pl.Schema(PARTS_SCHEMA),
    "rises": pl.Schema({"mes": pl.Date(), "dia": pl.Date(), "serie": pl.String(), "subidas": pl.Int64()}),
    "imputed": pl.Schema({"mes": pl.Date(), "serie": pl.String(), "filas": pl.Int64(), "imputadas": pl.Int64()}),
    "standing": pl.Schema({"mes": pl.Date(), "serie": pl.String(), "quietas": pl.Int64()}),
}


AT_ONCE = 6
"""Months that are computed together."""

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
    wanted = _digests(exported, seen)
    kept = {kind: read_kept(gold, kind, schema) for kind, schema in KINDS.items()}
    changed = [month for month in wanted if any(known.get(month) != wanted[month] for _, known in kept.values())]
    read = lru_cache(maxsize=3)(lambda month: _observations(gold, month, names))
    made = compute([Month.parse(month) for month in changed], sorted(exported), read, names, loads, seen)
    stay = pl.col("mes").is_in([Month.parse(month).first_day for month in wanted.keys() - set(changed)])
    whole = {}
    for kind, (frame, known) in kept.items():
        schema = KINDS[kind]
        new = [part.select(schema.names()).cast(schema) for part in made[kind]]
        whole[kind] = pl.concat([frame.filter(stay), *new]).sort(schema.names()[:3])
        if known != wanted:
            write_kept(gold, kind, whole[kind], wanted)
    return Monthly(**whole, computed=tuple(map(Month.parse, changed)))


def _digests(exported: Mapping[Month, str], seen: Pattern) -> dict[str, str]:
    """What each month's rows follow from."""
    months = sorted(exported)
    used = seen.hours.filter(pl.col("visto") != "descubierta").select("mes", "hora", "visto")
    hours = {day: frame.write_csv().encode() for (day,), frame in used.partition_by("mes", as_dict=True).items()}
    # A day that has not ended changes with every hour.
    days = {day: frame.write_csv().encode() for (day,), frame in seen.days.partition_by("mes", as_dict=True).items()}
    found = {}
    for at, month in enumerate(months):
        before = [other for other in months[:at] if other.first_day in hours]
        content = hashlib.sha256(FORMAT.encode() + days.get(month.first_day, b""))
        for other in sorted({*before[-1:], *months[max(at - 1, 0) : at + 2]}):
            content.update(exported[other].encode())
            content.update(hours.get(other.first_day, b""))
        found[str(month)] = content.hexdigest()
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


def read_kept(gold: Blobs, kind: str, schema: pl.Schema) -> tuple[pl.DataFrame, dict[str, str]]:
    """The rows that are kept and the digest of each part; nothing where there is no readable file of this schema."""
    try:
        body = gold.read(f"{FOLDER}{kind}.parquet")
        frame = pl.read_parquet(body)
        digests: dict[str, str] = orjson.loads((pq.read_schema(BytesIO(body)).metadata or {})[b"digests"])
    except (BlobMissing, pl.exceptions.PolarsError, OSError, KeyError, orjson.JSONDecodeError):
        return pl.DataFrame(schema=schema), {}
    return (frame, digests) if frame.schema == schema else (pl.DataFrame(schema=schema), {})


def write_kept(gold: Blobs, kind: str, frame: pl.DataFrame, digests: Mapping[str, str]) -> None:
    """Keep rows, and the digest of what each part of them follows from."""
    out = BytesIO()
    table = frame.to_arrow().replace_schema_metadata({"digests": orjson.dumps(digests, option=orjson.OPT_SORT_KEYS)})
    pq.write_table(table, out, compression="zstd")
    gold.replace(f"{FOLDER}{kind}.parquet", out.getbuffer(), durable=False)
