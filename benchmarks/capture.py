"""Capture against the simulated SEC: how near it comes to what the limits allow, and what a request costs.

`python -m benchmarks.capture` measures two settings:

- **limits lifted**: 50 requests in flight, answers of about 120 kB after 150 ms. Ideal: 50 / 0.15 s = 333 a second.
- **default limits**: 4 in flight, 4 a second. Ideal: the allowed rate.

Everything is real: the shared gate and the ledger in an embedded PostgreSQL with its defaults, Bronze on the disk. The
time is that of the whole capture, from the first request to the last line in the ledger.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Final

import psutil
import typer

from benchmarks.results import Figure, give_out
from benchmarks.simulated_source import simulated_source
from sec_core.bronze.capture import capture_hours
from sec_core.bronze.ledger import Ledger
from sec_core.bronze.store import BronzeStore
from sec_core.clock import SystemClock
from sec_core.config import Settings, load_settings
from sec_core.db import embedded
from sec_core.db.database import Database, open_database
from sec_core.errors import DatabaseUnavailable
from sec_core.hours import Month
from sec_core.source.client import SourceClient
from sec_core.source.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.simulated_source import Source

LATENCY_S: Final = 0.15
NOW: Final = datetime(2026, 9, 30, 13, 36, tzinfo=UTC)
MONTHS: Final = (Month(2025, 3), Month(2025, 5))
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


def main(
    runs: Annotated[int, typer.Option(min=1, help="Runs with the limits lifted; the median counts.")] = 3,
    default_s: Annotated[int, typer.Option(min=0, help="Seconds at the default limits; 0 leaves it out.")] = 60,
) -> None:
    """Measure capture against the simulated SEC."""
    with simulated_source(MONTHS, now=NOW, latency_s=LATENCY_S) as source, _scratch() as (folder, server):
        lifted = [
            _measure(source, server, folder / f"lifted-{number}", LIFTED, _all_hours) for number in range(runs + 1)
        ][1:]  # the first one warms everything up
        default = []
        if default_s:
            rate = Settings.model_fields["max_rate"].default
            default = [_measure(source, server, folder / "default", {}, lambda: _all_hours()[: int(rate * default_s)])]
    figures = [
        *_figures("lifted", "50 in flight", lifted, ideal=LIFTED["max_concurrency"] / LATENCY_S, least=0.9),
        *(_figures("default", "default limits", default, ideal=rate, least=0.95) if default else ()),
    ]
    give_out("capture", "Capture against the simulated SEC", figures)


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


@contextmanager
def _scratch() -> Iterator[tuple[Path, Path]]:
    """A folder for the runs and the folder of a PostgreSQL server, both gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="sec-bench-") as name:
        server = Path(name) / "postgres"
        try:
            yield Path(name), server
        finally:
            embedded.stop(server)


def _measure(
    source: Source, server: Path, folder: Path, limits: dict[str, float], hours: Callable[[], list[datetime]]
) -> Run:
    """One capture into an empty Bronze and an empty database."""
    address = embedded.ensure_database(embedded.ensure_running(server), folder.name.replace("-", "_"))
    settings = load_settings(_env_file=None, base_url=source.url, data_dir=folder, database_url=address, **limits)
    database = open_database(settings)
    try:
        return asyncio.run(_capture(settings, database, source, server, hours()))
    finally:
        database.dispose()


async def _capture(settings: Settings, database: Database, source: Source, server: Path, hours: list[datetime]) -> Run:
    clock = SystemClock()
    ledger = Ledger(database, BronzeStore(settings.bronze_dir))
    database_before = _database_cpu_s(server)
    source_before = source.cpu_s()
    client_before, begun = time.process_time(), time.perf_counter()
    async with Gate.open(database, settings, clock) as gate, SourceClient(settings, gate, clock) as client:
        report = await capture_hours(hours, client=client, ledger=ledger, clock=clock)
    wall_s, client_s = time.perf_counter() - begun, time.process_time() - client_before
    assert report.captured == len(hours)  # noqa: S101  (anything else measures nothing)
    return Run(
        requests=report.requests,
        wall_s=wall_s,
        client_s=client_s,
        database_s=_database_cpu_s(server) - database_before,
        source_s=source.cpu_s() - source_before,
    )


def _database_cpu_s(server: Path) -> float:
    """CPU of the server's processes, those that have ended included."""
    pid = embedded.status(server).pid
    if pid is None:
        raise DatabaseUnavailable("The benchmark's PostgreSQL does not run.")
    postmaster = psutil.Process(pid)
    total = sum(postmaster.cpu_times()[:4])
    for child in postmaster.children():
        try:
            total += sum(child.cpu_times()[:2])
        except psutil.NoSuchProcess:
            continue
    return float(total)


if __name__ == "__main__":
    typer.run(main)
