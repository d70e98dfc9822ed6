"""Build Gold from one snapshot of Silver: Parquet for research, payloads, local publication, the site."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import orjson
import polars as pl
from loguru import logger
from sqlalchemy import text

from sec_core.blobs.place import BlobMissing, Blobs, open_blobs
from sec_core.bronze.store import BronzeStore
from sec_core.clock import Clock
from sec_core.config import Settings
from sec_core.db.arrow import ArrowConnection
from sec_core.db.database import Database
from sec_core.gold import frames, monthly, observations, parquet, storm_catalogue
from sec_core.gold.comuna_customers import comuna_customers
from sec_core.gold.datasets import DATASETS
from sec_core.gold.estimated_hours import pattern
from sec_core.gold.frames import SQL
from sec_core.gold.index_tables import make_indices
from sec_core.gold.kept import digest, write_rows
from sec_core.gold.model import as_json, dump
from sec_core.gold.origin import hours_by_origin, one_word
from sec_core.gold.payloads.coverage import MINIMUM_COVERAGE
from sec_core.gold.payloads.registry import PAYLOADS, rows_of
from sec_core.gold.payloads.storms import StormRow, largest
from sec_core.gold.revisions import revisions
from sec_core.gold.site.pages import draw
from sec_core.gold.standing import EVENTS_FILE, PAYLOADS_FOLDER, GoldReport
from sec_core.gold.storms import StormRules
from sec_core.hours import Month
from sec_core.silver.archive import Archive
from sec_core.silver.events import EVENT_SCHEMA
from sec_core.silver.tables import Statements
from sec_core.silver.timeline import EventRules

Payloads = Mapping[str, Sequence[Mapping[str, object]]]

# `updated_at` moves only where the data did.
_UPSERT = text(
    "INSERT INTO dashboard_stats (id, data, updated_at) VALUES (:id, CAST(:data AS jsonb), :now)"
    " ON CONFLICT (id) DO UPDATE SET data = excluded.data, updated_at = excluded.updated_at"
    " WHERE dashboard_stats.data IS DISTINCT FROM excluded.data"
)
# What the file of events was made from stands beside it, so that its own bytes follow from the events alone.
_MADE_FROM = "kept/golden_interrupciones.json"
_TITLE = "Power-outage events in Chile"
_EVENT_COLUMNS = [column.name for column in parquet.EVENTS]
_MONTH = pl.col("id_tiempo") // 10_000
# Months of events that are read in one query.
_AT_ONCE = 24
# Raise it when a column's meaning changes: all events are then read again.
_FORMAT = "1"


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


def build_gold(database: Database, settings: Settings, clock: Clock) -> GoldReport:
    """Make all of Gold from one snapshot of Silver, and publish it locally.

    The same Silver gives the same bytes, but for the time in `meta`. Besides Silver's tables and archive it reads the
    ledger, bodies of hours with several answers, settings, reference data, and the clock, which tells the hours that
    have ended.

    Raises:
        DatabaseError: Silver can't be read or `dashboard_stats` not written.
        StorageError: A file can't be written.
    """
    gold = open_blobs(settings.gold)
    with ThreadPoolExecutor(max_workers=2) as beside:
        collected, events, exported = read_frames(database, gold, settings, clock)
        written = beside.submit(write_tables, collected, events, gold)
        payloads = {spec.id: as_json(spec.build(collected)) for spec in PAYLOADS}
        write_payloads(payloads, gold)
        if settings.draw_site:
            draw(gold, payloads, collected, settings)
        written.result()
    publish_payloads(payloads, database, collected.now)
    write_rows(collected.comuna_customers, database, "clientes_comunales", ("mes", "codigo_comuna"))
    new_storms = write_rows(collected.storms, database, "tormentas", ("id",))
    logger.bind(stage="gold").info(
        "Built Gold: {:,} events; {} of {} observation files rewritten; {} payloads.",
        collected.events.height,
        len(exported.written),
        len(exported.written) + exported.kept,
        len(payloads),
    )
    return GoldReport(
        events=collected.events.height,
        months_written=exported.written,
        months_computed=collected.monthly.computed,
        payloads={name: len(rows) for name, rows in payloads.items()},
        new_storms=rows_of(StormRow, largest(new_storms)),
    )


def write_tables(collected: frames.GoldFrames, events: Events, gold: Blobs) -> None:
    """Write the files of the whole history; months have theirs already."""
    write_events(events, gold, collected.made, {"origin": one_word(collected.origins)})
    for dataset in DATASETS:
        if dataset.in_gold and dataset.file != EVENTS_FILE:
            dataset.write(collected, gold)


def write_payloads(payloads: Payloads, gold: Blobs) -> None:
    """Write `dashboard_stats/<id>.json`, each whole or not at all; raises StorageError."""
    for name, rows in payloads.items():
        gold.replace(f"{PAYLOADS_FOLDER}{name}.json", dump(rows), durable=False)


def publish_payloads(payloads: Payloads, database: Database, now: datetime) -> None:
    """Write all payloads into `dashboard_stats` in one transaction, so that no reader sees half of them."""
    rows = [{"id": name, "data": orjson.dumps(payloads[name]).decode(), "now": now} for name in sorted(payloads)]
    with database.engine.begin() as connection:
        connection.execute(_UPSERT, rows)


def read_frames(
    database: Database, gold: Blobs, settings: Settings, clock: Clock
) -> tuple[frames.GoldFrames, Events, observations.ExportReport]:
    """Read one snapshot of Silver, bringing the monthly files up to date from the same snapshot."""
    archive, bronze = Archive(settings.archive), BronzeStore(settings.bronze)
    now = clock.now()
    with (
        frames.snapshot(database) as connection,
        frames.snapshot(database, connection) as other,
        ThreadPoolExecutor(max_workers=1) as beside,
    ):
        names = frames.read_names(connection)
        # Where all of them changed, events take as long to read as everything else together.
        reading = beside.submit(read_events, other, names, gold)
        loads = frames.read_loads(connection)
        wanted = observations.digests(loads, names)
        read = observations.silver_reader(connection, archive, loads, names)
        exported = observations.export(gold, wanted, read, about_months(loads))
        calendar = frames.hour_calendar(connection.query(SQL["ledger"]), loads, now)
        seen = pattern(calendar, settings.estimate_max_gap_hours)
        kept = monthly.bring_up_to_date(gold, wanted, names, loads, seen)
        customers = frames.read_customers(connection)
        by_comuna = comuna_customers(customers, frames.read_billed(connection))
        rules = StormRules.of(settings)
        storms = storm_catalogue.bring_up_to_date(gold, wanted, calendar, by_comuna, rules)
        events = reading.result()
        collected = frames.GoldFrames(
            events=events.rows,
            loads=loads,
            calendar=calendar,
            revisions=revisions(gold, connection.query(SQL["answers"]), bronze, names),
            customers=customers,
            origins=hours_by_origin(loads, frames.read_customer_origins(connection, bronze)),
            comuna_customers=by_comuna,
            imputation=connection.query(SQL["imputation"]),
            projects=connection.query(SQL["projects"]),
            names=names,
            seen=seen,
            monthly=kept,
            indices=make_indices(kept, seen, loads, events.rows, customers, by_comuna, names),
            storms=storm_catalogue.described(storms.rows, storms.curves, loads),
            storm_hours=storms.curves,
            storm_companies=storms.companies,
            panel=observations.panel_of(gold, sorted(wanted)),
            rules=EventRules.of(settings),
            thresholds={
                "umbral_evento": settings.event_threshold,
                "horas_cierre": settings.event_close_hours,
                "horas_sin_datos_max": settings.event_max_gap_hours,
                "horas_interpoladas_max": settings.estimate_max_gap_hours,
                "cobertura_minima": MINIMUM_COVERAGE,
            },
            now=now,
        )
    return collected, events, exported


def about_months(loads: pl.DataFrame) -> dict[Month, tuple[datetime, str]]:
    """Of each month, when the newest capture loaded of it was received, and where its captures come from."""
    months = loads.partition_by("mes", as_dict=True).items()
    return {
        Month(day.year, day.month): (hours["capturado_en"].max(), one_word(hours_by_origin(hours)))  # type: ignore[misc]
        for (day,), hours in months
    }


def read_events(connection: ArrowConnection, names: frames.Names, gold: Blobs) -> Events:
    """All events of Silver: those of unchanged months come from the file of the build before.

    Raises:
        DatabaseError: Silver can't be read.
        StorageUnavailable: Gold's place did not answer.
    """
    # Of equally many rows, transaction numbers add up differently.
    base = digest(_FORMAT, ",".join(_EVENT_COLUMNS), names.places, names.companies)
    months = connection.query(SQL["event_versions"]).sort("mes").iter_rows()
    versions = {str(month): f"{base} {count} {written}" for month, count, written in months}
    held, known = _held_events(gold, versions)
    changed = tuple(month for month, version in versions.items() if known.get(month) != version)
    fresh = _read_events(connection, names, changed)
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
    wanted = parquet.schema(parquet.EVENTS, _TITLE, made, extra).metadata
    if events.current and parquet.metadata(gold, EVENTS_FILE) == parquet.as_text(wanted):
        return
    body = parquet.write(events.rows, gold, EVENTS_FILE, parquet.EVENTS, _TITLE, made, extra)
    note = {"file": digest(body), "months": events.versions}
    gold.replace(_MADE_FROM, orjson.dumps(note, option=orjson.OPT_SORT_KEYS), durable=False)


def _held_events(gold: Blobs, versions: Mapping[str, str]) -> tuple[pl.DataFrame, dict[str, str]]:
    """The file's rows and the version of each month in it; nothing where none of it can be used."""
    try:
        note = orjson.loads(gold.read(_MADE_FROM))
        if note["months"].items() & versions.items():
            body = gold.read(EVENTS_FILE)
            if digest(body) == note["file"]:
                return pl.read_parquet(body), note["months"]
    except (BlobMissing, orjson.JSONDecodeError, KeyError, TypeError, pl.exceptions.PolarsError):
        pass
    return pl.DataFrame(), {}


def _read_events(connection: ArrowConnection, names: frames.Names, months: Sequence[str]) -> pl.DataFrame:
    """The events of some months from Silver, so many at a time that memory stays bounded."""
    statements, numbers = Statements(connection), pl.Series(map(int, months), dtype=pl.Int32)
    parts = [numbers[at : at + _AT_ONCE] for at in range(0, max(len(months), 1), _AT_ONCE)]
    read = (statements.query(SQL["events"], EVENT_SCHEMA, part) for part in parts)
    return pl.concat(frames.name_events(events, names).select(_EVENT_COLUMNS) for events in read)
