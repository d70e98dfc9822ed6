"""`golden_interrupciones.parquet`: all events, with names. Only months whose events changed are read from Silver.

What the file was made from stands beside it, so that its own bytes follow from the events alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import orjson
import polars as pl

from sec_core.blobs.model import BlobMissing
from sec_core.gold import parquet
from sec_core.gold.frames import name_events
from sec_core.silver.events import EVENT_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sec_core.blobs.model import Blobs
    from sec_core.db.arrow import ArrowConnection
    from sec_core.gold.frames import Names

EVENTS_FILE = "golden_interrupciones.parquet"
MADE_FROM = "kept/golden_interrupciones.json"
TITLE = "Power-outage events in Chile"

COLUMNS = [column.name for column in parquet.EVENTS]
_MONTH = pl.col("id_tiempo") // 10_000
AT_ONCE = 24
"""Months of events that are read in one query."""
FORMAT = "1"
"""Raise it when a column's meaning changes: all events are then read again."""


@dataclass(frozen=True, slots=True)
class Events:
    """All events.

    Attributes:
        rows: `parquet.EVENTS` and `mes` (Date, the first day of the month of `inicio`, Chile wall clock), ordered by
            inicio, place and company.
        versions: What the rows of each month, `YYYYMM`, follow from.
        file: SHA-256 of the file that holds all but `changed`; empty where none can be used.
        changed: Months that were read from Silver.
    """

    rows: pl.DataFrame
    versions: dict[str, str]
    file: str
    changed: tuple[str, ...]


def read_events(connection: ArrowConnection, names: Names, gold: Blobs) -> Events:
    """All events of Silver: those of unchanged months come from the file of the build before.

    Raises:
        DatabaseError: Silver can't be read.
        StorageUnavailable: Gold's place did not answer.
    """
    versions = _versions(connection, names)
    held, known, file = _held(gold, versions)
    changed = tuple(sorted(month for month, version in versions.items() if known.get(month) != version))
    fresh = _read(connection, names, changed)
    # A month's events are together, and in order, in either: slices of both need no sorting.
    by_month = _by_month(held.cast(fresh.schema) if held.width else fresh.clear()) | _by_month(fresh)
    rows = pl.concat(
        [fresh.clear(), *(rows for name, rows in sorted(by_month.items()) if name in versions)], rechunk=True
    )
    return Events(
        rows.with_columns(mes=pl.date(pl.col("id_tiempo") // 1_000_000, _MONTH % 100, 1)),
        versions,
        file if known.keys() <= versions.keys() else "",
        changed,
    )


def _by_month(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Slices of events that are in order of their months, by month `YYYYMM`."""
    months = rows.select(_MONTH).to_series()
    starts = [*months.ne_missing(months.shift()).arg_true(), rows.height]
    return {str(months[at]): rows[at:end] for at, end in pairwise(starts)}


def write_events(events: Events, gold: Blobs, made: datetime | None, extra: Mapping[str, str]) -> None:
    """Write the file, unless it is the one that all events were read from.

    Args:
        events: The events.
        gold: Where it is written.
        made: When the newest capture was received.
        extra: Further metadata of the file.

    Raises:
        StorageError: The place refused a file.
    """
    wanted = parquet.schema(parquet.EVENTS, TITLE, made, extra).metadata
    if events.file and not events.changed:
        about = parquet.metadata(gold, EVENTS_FILE)
        if about == parquet.as_text(wanted):
            return
    body = parquet.write(events.rows, gold, EVENTS_FILE, parquet.EVENTS, TITLE, made, extra)
    note = {"file": hashlib.sha256(body).hexdigest(), "months": events.versions}
    gold.replace(MADE_FROM, orjson.dumps(note, option=orjson.OPT_SORT_KEYS), durable=False)


def _versions(connection: ArrowConnection, names: Names) -> dict[str, str]:
    """By month a text that differs when its events do: of equally many rows, transaction numbers add up differently."""
    base = hashlib.sha256(orjson.dumps([FORMAT, COLUMNS]))
    for frame in (names.places, names.companies):
        base.update(frame.write_csv().encode())
    months = connection.query(
        "SELECT id_tiempo / 10000 AS mes, count(*) AS n, sum(xmin::text::bigint)::text AS escrito"
        " FROM fact_interrupciones GROUP BY 1",
    )
    return {str(month): f"{base.hexdigest()} {count} {written}" for month, count, written in months.iter_rows()}


def _held(gold: Blobs, versions: Mapping[str, str]) -> tuple[pl.DataFrame, dict[str, str], str]:
    """The file's rows, the version of each month in it and its digest; nothing where none of it can be used."""
    try:
        note = orjson.loads(gold.read(MADE_FROM))
        if note["months"].items() & versions.items():
            body = gold.read(EVENTS_FILE)
            if hashlib.sha256(body).hexdigest() == note["file"]:
                return pl.read_parquet(body), note["months"], note["file"]
    except (BlobMissing, orjson.JSONDecodeError, KeyError, TypeError, pl.exceptions.PolarsError):
        pass
    return pl.DataFrame(), {}, ""


def _read(connection: ArrowConnection, names: Names, months: tuple[str, ...]) -> pl.DataFrame:
    """The events of some months from Silver, so many at a time that memory stays bounded."""

    def read(some: Sequence[str]) -> pl.DataFrame:
        where = f"id_tiempo / 10000 = ANY ('{{{','.join(some)}}}'::int[])"
        events = connection.query(f"SELECT {', '.join(EVENT_SCHEMA)} FROM fact_interrupciones WHERE {where}")
        return name_events(events, names).select(COLUMNS)

    return pl.concat([read(months[at : at + AT_ONCE]) for at in range(0, max(len(months), 1), AT_ONCE)])
