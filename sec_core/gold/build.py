"""Build Gold from one snapshot of Silver: Parquet for research, payloads, local publication, the site."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import orjson
import polars as pl
from loguru import logger
from sqlalchemy import text

from sec_core.blobs.place import Blobs, open_blobs
from sec_core.bronze.store import BronzeStore
from sec_core.clock import Clock
from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.gold import frames, month_files, monthly, storm_catalogue
from sec_core.gold.customers import comuna_customers
from sec_core.gold.datasets import DATASETS
from sec_core.gold.indices import make_indices
from sec_core.gold.kept import write_rows
from sec_core.gold.model import as_json, dump
from sec_core.gold.panel import pattern
from sec_core.gold.payloads.basis import MINIMUM_COVERAGE
from sec_core.gold.payloads.registry import PAYLOADS, rows_of
from sec_core.gold.payloads.storms import StormRow, largest
from sec_core.gold.revisions import revisions
from sec_core.gold.site.pages import draw
from sec_core.gold.standing import EVENTS_FILE, PAYLOADS_FOLDER, GoldReport
from sec_core.gold.storms import StormRules
from sec_core.hours import Month
from sec_core.silver.tables import Archive
from sec_core.silver.timeline import EventRules
from sec_core.text import counted

Payloads = Mapping[str, Sequence[Mapping[str, object]]]


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
        collected, events, written = read_frames(database, gold, settings, clock)
        writing = beside.submit(write_tables, collected, events, gold)
        payloads = {spec.id: as_json(spec.build(collected)) for spec in PAYLOADS}
        write_payloads(payloads, gold)
        if settings.draw_site:
            draw(gold, payloads, collected, settings)
        writing.result()
    publish_payloads(payloads, database, collected.now)
    by_comuna = collected.comuna_customers.rename(lambda name: name.removesuffix("_clientes"))
    write_rows(by_comuna, database, "clientes_comunales", ("mes", "codigo_comuna"))
    new_storms = write_rows(collected.storms, database, "tormentas", ("id",))
    said = "Built Gold: {}; {} of {} rewritten; {}."
    files = counted(collected.loads["mes"].n_unique(), "observation file")
    counts = counted(collected.events.height, "event"), len(written), files, counted(len(payloads), "payload")
    logger.bind(stage="gold").info(said, *counts)
    return GoldReport(
        events=collected.events.height,
        months_written=written,
        months_computed=collected.monthly.computed,
        payloads={name: len(rows) for name, rows in payloads.items()},
        new_storms=rows_of(StormRow, largest(new_storms)),
    )


def write_tables(collected: frames.GoldFrames, events: month_files.Events, gold: Blobs) -> None:
    """Write the files of the whole history; months have theirs already."""
    month_files.write_events(events, gold, collected.made, {"origin": frames.one_word(collected.origins)})
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
        connection.execute(text(frames.SQL["publish"]), rows)


def read_frames(
    database: Database, gold: Blobs, settings: Settings, clock: Clock
) -> tuple[frames.GoldFrames, month_files.Events, tuple[Month, ...]]:
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
        reading = beside.submit(month_files.read_events, other, names, gold)
        loads = frames.read_loads(connection)
        wanted = month_files.digests(loads, names)
        read = month_files.silver_reader(connection, archive, loads, names)
        written = month_files.export(gold, wanted, read, about_months(loads))
        calendar = frames.hour_calendar(connection.query(frames.SQL["ledger"]), loads, now)
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
            revisions=revisions(gold, connection.query(frames.SQL["answers"]), bronze, names),
            customers=customers,
            origins=frames.hours_by_origin(loads, frames.read_customer_origins(connection, bronze)),
            comuna_customers=by_comuna,
            imputation=connection.query(frames.SQL["imputation"]),
            projects=connection.query(frames.SQL["projects"]),
            names=names,
            seen=seen,
            monthly=kept,
            indices=make_indices(kept, seen, loads, events.rows, customers, by_comuna, names),
            storms=storm_catalogue.described(storms.rows, storms.curves, loads),
            storm_hours=storms.curves,
            storm_companies=storms.companies,
            panel=month_files.panel_of(gold, sorted(wanted)),
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
    return collected, events, written


def about_months(loads: pl.DataFrame) -> dict[Month, tuple[datetime, str]]:
    """Of each month, when the newest capture loaded of it was received, and where its captures come from."""
    months = loads.partition_by("mes", as_dict=True).items()
    return {
        Month(day.year, day.month): (hours["capturado_en"].max(), frames.one_word(frames.hours_by_origin(hours)))  # type: ignore[misc]
        for (day,), hours in months
    }
