"""`golden_interrupciones.parquet`: all events, with names. Only months whose events changed are read from Silver.

What the file was made from stands beside it, so that its own bytes follow from the events alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
import polars as pl

from sec_core.blobs.place import BlobMissing, Blobs
from sec_core.db.arrow import ArrowConnection
from sec_core.gold import parquet
from sec_core.gold.frames import SQL, Names, name_events
from sec_core.gold.kept import digest
from sec_core.gold.standing import EVENTS_FILE
from sec_core.silver.events import EVENT_SCHEMA
from sec_core.silver.statements import Statements

MADE_FROM = "kept/golden_interrupciones.json"
TITLE = "Power-outage events in Chile"

COLUMNS = [column.name for column in parquet.EVENTS]
_MONTH = pl.col("id_tiempo") // 10_000
# Months of events that are read in one query.
AT_ONCE = 24
# Raise it when a column's meaning changes: all events are then read again.
FORMAT = "1"


@dataclass(frozen=True, slots=True)
class Events:
    """All events.

    Attributes:
        rows: `parquet.EVENTS` and `mes` (Date, the first day of the month of `inicio`, Chile wall clock), ordered by
            inicio, place and company.
        versions: What the rows of each month, `YYYYMM`, follow from.
        changed: Months that were read from Silver.
        current: Whether the file of the build before holds just these rows.
    """

    rows: pl.DataFrame
    versions: dict[str, str]
    changed: tuple[str, ...]
    current: bool


def read_events(connection: ArrowConnection, names: Names, gold: Blobs) -> Events:
    """All events of Silver: those of unchanged months come from the file of the build before.

    Raises:
        DatabaseError: Silver can't be read.
        StorageUnavailable: Gold's place did not answer.
    """
    # Of equally many rows, transaction numbers add up differently.
    base = digest(FORMAT, ",".join(COLUMNS), names.places, names.companies)
    months = connection.query(SQL["event_versions"]).sort("mes").iter_rows()
    versions = {str(month): f"{base} {count} {written}" for month, count, written in months}
    held, known = _held(gold, versions)
    changed = tuple(month for month, version in versions.items() if known.get(month) != version)
    fresh = _read(connection, names, changed)
    stay = [int(month) for month in versions if month not in changed]
    rows = [held.filter(_MONTH.is_in(stay)).cast(fresh.schema), fresh] if stay else [fresh]
    # A month's events are together, and in order, in either.
    ordered = pl.concat(rows, rechunk=True).sort(_MONTH, maintain_order=True)
    month = pl.date(pl.col("id_tiempo") // 1_000_000, _MONTH % 100, 1)
    return Events(ordered.with_columns(mes=month), versions, changed, bool(known) and known == versions)


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
    if events.current and parquet.metadata(gold, EVENTS_FILE) == parquet.as_text(wanted):
        return
    body = parquet.write(events.rows, gold, EVENTS_FILE, parquet.EVENTS, TITLE, made, extra)
    note = {"file": digest(body), "months": events.versions}
    gold.replace(MADE_FROM, orjson.dumps(note, option=orjson.OPT_SORT_KEYS), durable=False)


def _held(gold: Blobs, versions: Mapping[str, str]) -> tuple[pl.DataFrame, dict[str, str]]:
    """The file's rows and the version of each month in it; nothing where none of it can be used."""
    try:
        note = orjson.loads(gold.read(MADE_FROM))
        if note["months"].items() & versions.items():
            body = gold.read(EVENTS_FILE)
            if digest(body) == note["file"]:
                return pl.read_parquet(body), note["months"]
    except (BlobMissing, orjson.JSONDecodeError, KeyError, TypeError, pl.exceptions.PolarsError):
        pass
    return pl.DataFrame(), {}


def _read(connection: ArrowConnection, names: Names, months: Sequence[str]) -> pl.DataFrame:
    """The events of some months from Silver, so many at a time that memory stays bounded."""
    statements, numbers = Statements(connection), pl.Series(map(int, months), dtype=pl.Int32)
    parts = [numbers[at : at + AT_ONCE] for at in range(0, max(len(months), 1), AT_ONCE)]
    read = (statements.query(SQL["events"], EVENT_SCHEMA, part) for part in parts)
    return pl.concat(name_events(events, names).select(COLUMNS) for events in read)
