"""Build Gold from one snapshot of Silver: Parquet for research, payloads, local publication, the site."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import polars as pl
from loguru import logger

from sec_core.blobs.place import Blobs, open_blobs
from sec_core.bronze.store import BronzeStore
from sec_core.clock import Clock
from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.gold import frames, local, monthly, observations, storm_catalogue
from sec_core.gold.comuna_customers import comuna_customers
from sec_core.gold.datasets import DATASETS, with_customers
from sec_core.gold.estimated_hours import pattern
from sec_core.gold.events_file import Events, read_events, write_events
from sec_core.gold.frames import SQL
from sec_core.gold.index_tables import make_indices
from sec_core.gold.origin import hours_by_origin, one_word
from sec_core.gold.payloads.coverage import MINIMUM_COVERAGE
from sec_core.gold.payloads.registry import PAYLOADS, rows_of
from sec_core.gold.payloads.storms import StormRow, largest
from sec_core.gold.revisions import revisions
from sec_core.gold.site import build as site
from sec_core.gold.standing import EVENTS_FILE
from sec_core.gold.storms import StormRules
from sec_core.hours import Month
from sec_core.silver.archive import Archive
from sec_core.silver.timeline import EventRules


@dataclass(frozen=True, slots=True)
class GoldReport:
    """What a build made.

    Attributes:
        events: Events in it.
        months_written: Months of `observaciones/` and `panel/` that were written again.
        months_computed: Months whose part of the estimates was computed: these, and their neighbours.
        payloads: Rows of each payload, by id.
        new_storms: Storms that the build before did not have, at most 50, the largest first.
        seconds: Wall time of the build.
        site_seconds: Of that, the site's.
    """

    events: int
    months_written: tuple[Month, ...]
    months_computed: tuple[Month, ...]
    payloads: dict[str, int]
    new_storms: list[StormRow]
    seconds: float
    site_seconds: float


def build_gold(database: Database, settings: Settings, clock: Clock) -> GoldReport:
    """Make all of Gold from one snapshot of Silver, and publish it locally.

    The same Silver gives the same bytes, but for the time in `meta`. Besides Silver's tables and archive it reads the
    ledger, bodies of hours with several answers, settings, reference data, and the clock, which tells the hours that
    have ended.

    Raises:
        DatabaseError: Silver can't be read or `dashboard_stats` not written.
        StorageError: A file can't be written.
    """
    began = time.monotonic()
    gold = open_blobs(settings.gold)
    with ThreadPoolExecutor(max_workers=2) as beside:
        collected, events, exported = read_frames(database, gold, settings, clock)
        written = beside.submit(write_files, collected, events, gold)
        payloads = {spec.id: spec.build(collected) for spec in PAYLOADS}
        local.write_files(payloads, gold)
        drawing = time.monotonic()
        site.draw(gold, payloads, collected, with_customers(collected), settings)
        drawn = time.monotonic() - drawing
        written.result()
    local.write_table(payloads, database, collected.now)
    local.write_rows(collected.comuna_customers, database, "clientes_comunales", ("mes", "codigo_comuna"))
    new_storms = local.write_rows(collected.storms, database, "tormentas", ("id",))
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
        seconds=time.monotonic() - began,
        site_seconds=drawn,
    )


def write_files(collected: frames.GoldFrames, events: Events, gold: Blobs) -> None:
    """Write the files of the whole history; months have theirs already."""
    write_events(events, gold, collected.made, {"origin": one_word(collected.origins)})
    for dataset in DATASETS:
        if dataset.in_gold and dataset.file != EVENTS_FILE:
            dataset.write(collected, gold)


def read_frames(
    database: Database, gold: Blobs, settings: Settings, clock: Clock
) -> tuple[frames.GoldFrames, Events, observations.ExportReport]:
    """Read one snapshot of Silver, bringing the monthly files up to date from the same snapshot."""
    archive, bronze = Archive(settings.archive), BronzeStore(settings.bronze)
    now = clock.now()
    with (
        frames.snapshot(database) as connection,
        frames.same_snapshot(database, connection) as other,
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
