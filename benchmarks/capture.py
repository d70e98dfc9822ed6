"""Capture against the simulated SEC: how near it comes to what the limits allow, and what a request costs.

Two settings are measured:

- **limits lifted**: 50 requests in flight, answers of about 120 kB after 150 ms. Ideal: 50 / 0.15 s = 333 a second.
- **default limits**: 4 in flight, 4 a second. Ideal: the allowed rate.

Everything is real: the shared gate and the ledger in an embedded PostgreSQL with its defaults, Bronze on the disk. The
time is that of the whole capture, from the first request to the last line in the ledger.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.measuring import bench, database_cpu_s, opened, wait_for_quiet_disk
from benchmarks.results import Figure
from benchmarks.simulated_source import simulated_source
from sec_core.bronze.capture import capture_hours
from sec_core.bronze.ledger import Ledger
from sec_core.bronze.store import BronzeStore
from sec_core.clock import SystemClock
from sec_core.config import Settings
from sec_core.hours import Month
from sec_core.source.client import SourceClient
from sec_core.source.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmarks.measuring import Bench
    from benchmarks.simulated_source import Source
    from sec_core.db.database import Database

LATENCY_S: Final = 0.15
NOW: Final = datetime(2026, 9, 30, 13, 36, tzinfo=UTC)
MONTHS: Final = (Month(2025, 3), Month(2025, 5), Month(2025, 7), Month(2025, 8))
LIFTED: Final = {"max_concurrency": 50, "max_rate": 10_000.0}


@dataclass(frozen=True, slots=True)
class Run:
    """One capture.

    Attributes:
        requests: Requests sent.
        wall_s: Seconds from its beginning to its end.
        client_s: Seconds of CPU of this process, all threads.
        database_s: Seconds of CPU of PostgreSQL.
        source_s: Seconds of CPU of the simulated SEC, which shares the machine.
    """

    requests: int
    wall_s: float
    client_s: float
    database_s: float
    source_s: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.wall_s

    def cost_ms(self, cpu_s: float) -> float:
        """Milliseconds of CPU a request."""
        return cpu_s / self.requests * 1000


def measure(runs: int = 3, default_s: int = 60) -> list[Figure]:
    """Capture with the limits lifted and with the default ones.

    Args:
        runs: Runs with the limits lifted; the median counts.
        default_s: Seconds at the default limits.
    """
    with simulated_source(MONTHS, now=NOW, latency_s=LATENCY_S) as source, bench() as here:
        wait_for_quiet_disk(here.folder / "probe")
        lifted = [_measure(source, here, f"lifted_{number}", LIFTED, _all_hours) for number in range(runs + 1)][1:]
        rate = Settings.model_fields["max_rate"].default
        default = _measure(source, here, "default", {}, lambda: _all_hours()[: int(rate * default_s)])
    return [
        *_figures("lifted", "50 in flight", lifted, ideal=LIFTED["max_concurrency"] / LATENCY_S, least=0.9),
        *_figures("default", "default limits", [default], ideal=rate, least=0.95),
    ]


def _figures(name: str, label: str, runs: Sequence[Run], *, ideal: float, least: float) -> list[Figure]:
    rates = tuple(run.rate for run in runs)
    client = tuple(run.cost_ms(run.client_s) for run in runs)
    database = tuple(run.cost_ms(run.database_s) for run in runs)
    source = tuple(run.cost_ms(run.source_s) for run in runs)
    ratio = median(rates) / ideal
    return [
        Figure(f"{name}_rate", f"{label}: requests a second", median(rates), "/s", runs=rates),
        Figure(
            f"{name}_ratio", f"{label}: share of the ideal {ideal:.0f}/s", ratio, target=f"≥ {least}",
            met=ratio >= least, runs=tuple(rate / ideal for rate in rates),
        ),
        Figure(f"{name}_client_ms", f"{label}: CPU a request, capture", median(client), "ms", runs=client),
        Figure(f"{name}_database_ms", f"{label}: CPU a request, PostgreSQL", median(database), "ms", runs=database),
        Figure(f"{name}_source_ms", f"{label}: CPU a request, simulated SEC", median(source), "ms", runs=source),
    ]  # fmt: skip


def _all_hours() -> list[datetime]:
    return [hour for month in MONTHS for hour in month.hours()]


def _measure(
    source: Source, here: Bench, name: str, limits: dict[str, float], hours: Callable[[], list[datetime]]
) -> Run:
    """One capture into an empty Bronze and an empty database."""
    settings = here.settings(name, name, base_url=source.url, **limits)
    with opened(settings) as database:
        return asyncio.run(_capture(settings, database, source, here.server, hours()))


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
        wall_s=wall_s,
        client_s=client_s,
        database_s=database_cpu_s(server) - database_before,
        source_s=source.cpu_s() - source_before,
    )
