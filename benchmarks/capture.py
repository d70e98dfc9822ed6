"""Capture against the simulated SEC: how near it comes to the rate that is allowed, and what a request costs.

Two settings are measured, answers of about 120 kB coming after 150 ms: the default limits (4 in flight, 4 a second),
and 8 in flight with 20 a second. The ideal is the allowed rate.

Everything is real: the shared throttle and the ledger in an embedded PostgreSQL with its defaults, Bronze on the disk.
The time is that of the whole capture, from the first request to the last line in the ledger.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.measuring import Bench, bench, database_cpu_s, opened, wait_for_quiet_disk
from benchmarks.results import Figure
from benchmarks.simulated_source import Source, simulated_source
from sec_core.bronze.capture import capture_hours
from sec_core.bronze.ledger import Ledger
from sec_core.bronze.store import BronzeStore
from sec_core.clock import SystemClock
from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.hours import Month
from sec_core.source.client import SourceClient
from sec_core.source.throttle import Throttle

LATENCY_S: Final = 0.15
LEAST: Final = 0.95
NOW: Final = datetime(2026, 9, 30, 13, 36, tzinfo=UTC)
MONTHS: Final = (Month(2025, 3), Month(2025, 5), Month(2025, 7), Month(2025, 8))
FASTER: Final = {"max_concurrency": 8, "max_rate": 20.0}


@dataclass(frozen=True, slots=True)
class Run:
    """One capture.

    Attributes:
        requests: Requests sent.
        ideal: Requests a second that the limits allow.
        wall_s: Seconds from its beginning to its end.
        client_s: Seconds of CPU of this process, all threads.
        database_s: Seconds of CPU of PostgreSQL.
        source_s: Seconds of CPU of the simulated SEC, which shares the machine.
    """

    requests: int
    ideal: float
    wall_s: float
    client_s: float
    database_s: float
    source_s: float

    def cost_ms(self, cpu_s: float) -> float:
        """Milliseconds of CPU a request."""
        return cpu_s / self.requests * 1000


def measure(seconds: int = 60) -> list[Figure]:
    """Capture at the default limits and at faster ones.

    Args:
        seconds: Seconds of each.
    """
    with simulated_source(MONTHS, now=NOW, latency_s=LATENCY_S) as source, bench() as here:
        wait_for_quiet_disk(here.folder / "probe")
        return [
            *_figures("default", "default limits", _measure(source, here, "default", {}, seconds)),
            *_figures("faster", "8 in flight, 20/s", _measure(source, here, "faster", FASTER, seconds)),
        ]


def _figures(name: str, label: str, run: Run) -> list[Figure]:
    ratio = run.requests / run.wall_s / run.ideal
    return [
        Figure(f"{name}_rate", f"{label}: requests a second", run.requests / run.wall_s, "/s"),
        Figure(
            f"{name}_ratio", f"{label}: share of the ideal {run.ideal:.0f}/s", ratio, target="≥ 0.95",
            met=ratio >= LEAST,
        ),
        Figure(f"{name}_client_ms", f"{label}: CPU a request, capture", run.cost_ms(run.client_s), "ms"),
        Figure(f"{name}_database_ms", f"{label}: CPU a request, PostgreSQL", run.cost_ms(run.database_s), "ms"),
        Figure(f"{name}_source_ms", f"{label}: CPU a request, simulated SEC", run.cost_ms(run.source_s), "ms"),
    ]  # fmt: skip


def _measure(source: Source, here: Bench, name: str, limits: dict[str, float], seconds: int) -> Run:
    """One capture into an empty Bronze and an empty database."""
    settings = here.settings(name, name, base_url=source.url, **limits)
    hours = [hour for month in MONTHS for hour in month.hours()][: int(settings.max_rate * seconds)]
    with opened(settings) as database:
        return asyncio.run(_capture(settings, database, source, here.server, hours))


async def _capture(settings: Settings, database: Database, source: Source, server: Path, hours: list[datetime]) -> Run:
    clock = SystemClock()
    ledger = Ledger(database, BronzeStore(settings.bronze))
    database_before = database_cpu_s(server)
    source_before = source.cpu_s()
    client_before, begun = time.process_time(), time.perf_counter()
    async with Throttle.open(database, settings, clock) as throttle, SourceClient(settings, throttle, clock) as client:
        report = await capture_hours(hours, client=client, ledger=ledger, clock=clock)
    wall_s, client_s = time.perf_counter() - begun, time.process_time() - client_before
    assert report.captured == len(hours)  # noqa: S101  (anything else measures nothing)
    return Run(
        requests=report.requests,
        ideal=settings.max_rate,
        wall_s=wall_s,
        client_s=client_s,
        database_s=database_cpu_s(server) - database_before,
        source_s=source.cpu_s() - source_before,
    )
