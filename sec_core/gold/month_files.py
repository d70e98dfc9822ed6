"""The files of the whole history, of which only months whose rows changed are read from Silver.

`observaciones/` and `panel/`, all observations and their sums by comuna, are hive-partitioned by month, and a month is
written again if its observations changed. `golden_interrupciones.parquet` holds all events, with names; what it was
made from stands beside it, so that its own bytes follow from the events alone.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import orjson
import polars as pl

from sec_core.blobs.place import BlobMissing, Blobs, at_once
from sec_core.db.arrow import ArrowConnection
from sec_core.errors import DatabaseUnavailable
from sec_core.gold import parquet
from sec_core.gold.frames import SQL, UTC_TIME, Names, name_events
from sec_core.gold.kept import digest
from sec_core.gold.panel import panel
from sec_core.gold.standing import EVENTS_FILE
from sec_core.hours import Month
from sec_core.silver.events import EVENT_SCHEMA
from sec_core.silver.tables import Archive, SilverTables, Statements

ObservationReader = Callable[[Month], pl.DataFrame]

FOLDERS = ("observaciones", "panel")
# Raise it when the columns of these or their meaning change: all months are then written again.
FORMAT = "2"
TITLE = "Customers without supply in Chile, by hour, comuna, company and start date"
PANEL_TITLE = "Customers without supply in Chile, by hour and comuna"

# Raise it when the meaning of a column of events changes: all events are then read again.
EVENTS_FORMAT = "1"
EVENTS_TITLE = "Power-outage events in Chile"
EVENTS_MADE_FROM = "kept/golden_interrupciones.json"
EVENTS_COLUMNS = [column.name for column in parquet.EVENTS]
# Months of events that are read in one query.
AT_ONCE = 12
_MONTH = pl.col("id_tiempo") // 10_000


def month_key(month: Month, folder: str = "observaciones") -> str:
    """The file of a month's observations, or of its `panel`, below Gold's place."""
    return f"{folder}/anho={month.year:04d}/mes={month.month:02d}/{folder}.parquet"


def digests(loads: pl.DataFrame, names: Names) -> dict[Month, str]:
    """What each month's file is made of, as a digest that is kept in the file itself.

    Args:
        loads: `cargas` with mes and version, ordered by hour: see `frames.read_loads`.
        names: Every name that the file spells out.
    """
    base = digest(FORMAT, names.places, names.companies)
    months = loads.partition_by("mes", as_dict=True, include_key=False).items()
    return {Month(day.year, day.month): digest(base, hours.sort("hora")) for (day,), hours in months}


def export(
    gold: Blobs, wanted: dict[Month, str], read: ObservationReader, about: Mapping[Month, tuple[datetime, str]]
) -> tuple[Month, ...]:
    """Bring both folders up to date; returns the months that were written, the others were current.

    Args:
        gold: Gold's place.
        wanted: Digest of each month that Silver has.
        read: Gives a month's observations with names.
        about: When the newest capture of each month was received, and where its captures come from.

    Raises:
        StorageError: The place refused a file; months written before it stay.
    """
    months = sorted(wanted)
    files = [month_key(month, folder) for month in months for folder in FOLDERS]
    found = list(at_once(gold.place, lambda key: parquet.metadata(gold, key).get("digest"), files))
    written = [month for at, month in enumerate(months) if {wanted[month]} != set(found[2 * at : 2 * at + 2])]
    with ThreadPoolExecutor(max_workers=1) as writer:
        # A month is written while the next one is read; at most one waits, so that memory stays bounded.
        waiting: Future[None] | None = None
        for month in written:
            frame = read(month)
            if waiting is not None:
                waiting.result()
            waiting = writer.submit(_write, frame, gold, month, about[month], wanted[month])
        if waiting is not None:
            waiting.result()
    held = [key for folder in FOLDERS for key in gold.list(f"{folder}/")]
    current, present = ({key.rpartition("/")[0] for key in keys} for keys in (files, held))
    for folder in sorted(present - current):
        gold.delete_below(f"{folder}/")
    return tuple(written)


def silver_reader(
    connection: ArrowConnection, archive: Archive, loads: pl.DataFrame, names: Names
) -> ObservationReader:
    """Read months from Silver, wherever they are: in the database or in the archive.

    `connection` is the snapshot from which `loads` was read.
    """
    store = SilverTables(connection, archive)
    shapes = loads.lazy().select("hora", "forma")
    expected = dict(loads.group_by("mes").agg(pl.col("n_observaciones").sum()).iter_rows())

    def read(month: Month) -> pl.DataFrame:
        rows = store.observations(month)
        if rows.height != expected.get(month.first_day, 0):
            raise DatabaseUnavailable(
                f"The observations of {month} were moved while they were read.", next_step="Run `sec gold` again."
            )
        ordered = rows.sort("hora", "id_geografia", "id_empresa", "fecha_inicio").lazy()
        return names.add(ordered.join(shapes, on="hora", how="left", maintain_order="left")).collect()

    return read


def _write(frame: pl.DataFrame, gold: Blobs, month: Month, about: tuple[datetime, str], digest: str) -> None:
    made, origin = about
    places = frame.select("id_geografia", pl.col("codigo_comuna").cast(pl.String)).unique()
    listed = panel(frame, places, frame.select("hora", "forma").unique())
    extra = {"digest": digest, "origin": origin}
    parquet.write(frame, gold, month_key(month), parquet.OBSERVATIONS, f"{TITLE}, {month}", made, extra)
    parquet.write(listed, gold, month_key(month, "panel"), parquet.PANEL, f"{PANEL_TITLE}, {month}", made, extra)


def observations_of(gold: Blobs, month: Month) -> pl.LazyFrame:
    """A month's observations, lazily, from its file."""
    return pl.scan_parquet(gold.source(month_key(month)), hive_partitioning=False)


def panel_of(gold: Blobs, months: list[Month]) -> pl.LazyFrame:
    """The panel of these months, lazily, from its files.

    Files of an object store are fetched at once, since Polars does not know how to ask for them.
    """
    if not months:
        empty = {"hora": UTC_TIME, "codigo_comuna": pl.String(), "clientes_afectados": pl.Int64(), "forma": pl.String()}
        return pl.LazyFrame(schema=empty)
    files = list(at_once(gold.place, gold.source, (month_key(month, "panel") for month in months)))
    return pl.scan_parquet(files, hive_partitioning=False)  # type: ignore[arg-type]


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
    base = digest(EVENTS_FORMAT, ",".join(EVENTS_COLUMNS), names.places, names.companies)
    months = connection.query(SQL["event_versions"]).sort("mes").iter_rows()
    versions = {str(month): f"{base} {count} {written}" for month, count, written in months}
    held, known = _held(gold, versions)
    changed = tuple(month for month, version in versions.items() if known.get(month) != version)
    fresh = _read(connection, names, changed)
    stay = [int(month) for month in versions if month not in changed]
    rows = [held.filter(_MONTH.is_in(stay)).cast(fresh.schema), fresh] if stay else [fresh]
    # A month's events are together, and in order, in either.
    ordered = pl.concat(rows).sort(_MONTH, maintain_order=True).rechunk()
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
    wanted = parquet.schema(parquet.EVENTS, EVENTS_TITLE, made, extra).metadata
    if events.current and parquet.metadata(gold, EVENTS_FILE) == parquet.as_text(wanted):
        return
    body = parquet.write(events.rows, gold, EVENTS_FILE, parquet.EVENTS, EVENTS_TITLE, made, extra)
    note = {"file": digest(body), "months": events.versions}
    gold.replace(EVENTS_MADE_FROM, orjson.dumps(note, option=orjson.OPT_SORT_KEYS), durable=False)


def _held(gold: Blobs, versions: Mapping[str, str]) -> tuple[pl.DataFrame, dict[str, str]]:
    """The file's rows and the version of each month in it; nothing where none of it can be used."""
    try:
        note = orjson.loads(gold.read(EVENTS_MADE_FROM))
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
    return pl.concat(name_events(events, names).select(EVENTS_COLUMNS) for events in read)
