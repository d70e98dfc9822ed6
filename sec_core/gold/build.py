"""Build Gold from Silver: Parquet for research, payloads for the dashboard, local publication."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loguru import logger

from sec_core.blobs.place import open_blobs
from sec_core.gold import frames, local, observations, parquet
from sec_core.gold.payloads.coverage import MINIMUM_COVERAGE
from sec_core.gold.payloads.registry import PAYLOADS
from sec_core.silver.archive import Archive

if TYPE_CHECKING:
    from sec_core.blobs.model import Blobs
    from sec_core.blobs.place import Place
    from sec_core.clock import Clock
    from sec_core.config import Settings
    from sec_core.db.database import Database
    from sec_core.hours import Month

EVENTS_FILE = "golden_interrupciones.parquet"
EVENTS_TITLE = "Power-outage events in Chile"


@dataclass(frozen=True, slots=True)
class PayloadSize:
    """Rows and bytes of a payload."""

    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class GoldReport:
    """What a build made.

    Attributes:
        folder: `gold/` under the place of data.
        events_file: `golden_interrupciones.parquet`.
        events: Events in it.
        events_bytes: Its size.
        observations: What was done to `observaciones/`.
        payloads: Size of each payload, by id.
        seconds: Wall time of the build.
    """

    folder: Place
    events_file: Place
    events: int
    events_bytes: int
    observations: observations.ExportReport
    payloads: dict[str, PayloadSize]
    seconds: float

    @property
    def months_written(self) -> tuple[Month, ...]:
        """Months of `observaciones/` that were written again."""
        return self.observations.written


def build_gold(database: Database, settings: Settings, clock: Clock) -> GoldReport:
    """Make all of Gold from what Silver holds, and publish it locally.

    The same Silver gives the same bytes, but for the time in `meta`. Nothing is asked of the source.

    Args:
        database: Silver.
        settings: `gold`, `archive` and the thresholds that `meta` repeats.
        clock: Tells which hours have ended.

    Returns:
        Files, counts and sizes.

    Raises:
        DatabaseError: Silver can't be read or `dashboard_stats` not written.
        StorageError: A file can't be written.
    """
    began = time.monotonic()
    gold = open_blobs(settings.gold)
    collected, exported = read_frames(database, gold, settings, clock)
    with ThreadPoolExecutor(max_workers=1) as writer:
        size = writer.submit(parquet.write, collected.events, gold, EVENTS_FILE, parquet.EVENTS, EVENTS_TITLE)
        payloads = {spec.id: spec.build(collected) for spec in PAYLOADS}
    sizes = local.write_files(payloads, gold)
    local.write_table(payloads, database, collected.now)
    report = GoldReport(
        folder=settings.gold,
        events_file=settings.gold / EVENTS_FILE,
        events=collected.events.height,
        events_bytes=size.result(),
        observations=exported,
        payloads={name: PayloadSize(len(rows), sizes[name]) for name, rows in payloads.items()},
        seconds=time.monotonic() - began,
    )
    logger.bind(stage="gold").info(
        "Gold holds {} events; {} months of observations written, {} kept; {} payloads.",
        report.events,
        len(exported.written),
        exported.kept,
        len(payloads),
    )
    return report


def read_frames(
    database: Database, gold: Blobs, settings: Settings, clock: Clock
) -> tuple[frames.GoldFrames, observations.ExportReport]:
    """Read one snapshot of Silver, bringing `gold/observaciones/` up to date from the same snapshot."""
    archive = Archive(settings.archive)
    now = clock.now()
    with (
        frames.snapshot(database) as connection,
        frames.same_snapshot(database, connection) as other,
        ThreadPoolExecutor(max_workers=1) as beside,
    ):
        names = frames.read_names(connection)
        # All events take as long to read as everything else together.
        events = beside.submit(frames.read_events, other, names)
        loads = frames.read_loads(connection)
        wanted = observations.digests(loads, names)
        exported = observations.export(gold, wanted, observations.silver_reader(connection, archive, loads, names))
        collected = frames.GoldFrames(
            loads=loads,
            calendar=frames.hour_calendar(frames.read_ledger(connection), loads, now),
            customers=frames.read_customers(connection),
            imputation=frames.read_imputation(connection),
            regions=frames.read_regions(connection),
            projects=frames.read_projects(connection),
            hourly=observations.hourly(gold, sorted(wanted)),
            thresholds={
                "umbral_evento": settings.event_threshold,
                "horas_cierre": settings.event_close_hours,
                "horas_sin_datos_max": settings.event_max_gap_hours,
                "cobertura_minima": MINIMUM_COVERAGE,
            },
            now=now,
            events=events.result(),
        )
    return collected, exported
