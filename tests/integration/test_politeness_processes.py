"""Limits and circuit over several processes that share a database.

`SEC_TEST_SECONDS` sets for how long four of them capture at once at least (default 5).
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from support.capture_process import start_capture

from sec_core.bronze.ledger_rules import HourState
from sec_core.bronze.ledger_table import LedgerTables
from sec_core.db.database import Database
from sec_core.hours import Month
from sec_core.simulator.faults import Ban, FaultKind, FaultOptions, FaultRule, Request
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.server import Simulator

NOW = datetime(2026, 9, 30, 13, 36, tzinfo=UTC)
MONTHS = ["2026-05", "2026-06", "2026-07", "2026-08"]
SECONDS = float(os.environ.get("SEC_TEST_SECONDS", "5"))


class Processes:
    """Starts capturing processes and sees to their end."""

    def __init__(self, url: str, database: Database, folder: Path) -> None:
        self._options = {"url": url, "database_url": database.url, "data_dir": str(folder), "now": NOW.isoformat()}
        self._running: list[BaseProcess] = []

    def start(self, **options: object) -> BaseProcess:
        self._running.append(process := start_capture(**self._options, **options))
        return process

    def kill(self) -> None:
        for process in self._running:
            process.kill()
            process.join()


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(world=WorldOptions.tiny(), now=NOW) as running:
        yield running


@pytest.fixture
def processes(sim: Simulator, database: Database, tmp_path: Path) -> Iterator[Processes]:
    started = Processes(sim.url, database, tmp_path)
    yield started
    started.kill()


def wait_for(condition: Callable[[], bool], limit_s: float = 60) -> None:
    """Wait until something is so; a deadline far above what it takes."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def most_in_a_window(requests: list[Request], seconds: float) -> int:
    arrivals = sorted(request.arrived for request in requests)
    most = first = 0
    for last, arrival in enumerate(arrivals):
        while arrivals[first] <= arrival - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def test_four_processes_keep_to_both_limits_and_a_killed_one_costs_nothing(
    sim: Simulator, processes: Processes, database: Database
) -> None:
    sim.set_faults(FaultOptions(latency_s=0.12, ban=Ban(max_rate=22, window_s=5, duration_s=600)))
    limits = {"max_rate": 20, "max_concurrency": 3}
    for month in MONTHS:
        processes.start(months=[month], settings=limits)
    doomed = processes.start(months=["2026-04"], settings=limits)
    wait_for(lambda: len(sim.requests) > 60)
    doomed.kill()
    doomed.join()
    killed_at = time.monotonic()
    killed_after = len(sim.requests)
    wait_for(lambda: len(sim.requests) > killed_after + 100)
    wait_for(lambda: sim.requests[-1].arrived - sim.requests[0].arrived > SECONDS, SECONDS + 60)
    requests = sim.requests
    assert "ban" not in {request.fault for request in requests}
    # One more than the rate for a window that begins right at a request; jitter on the way is within the spare.
    assert most_in_a_window(requests, 1) <= 21
    before = [request.in_flight for request in requests[:killed_after]]
    # Just after the kill the server still works on what nobody waits for any more.
    after = [request.in_flight for request in requests if request.arrived > killed_at + 1]
    assert max(before) == 3
    assert max(after) == 3, "the killed one's place is free again"
    captured = [hour for month in MONTHS for hour in LedgerTables(database).states(Month.parse(month)).items()]
    assert sum(state is HourState.CAPTURED for _, state in captured) > 100


def test_circuit_over_three_processes(sim: Simulator, processes: Processes, database: Database) -> None:
    sim.set_faults(FaultOptions(rules=(FaultRule(kind=FaultKind.STATUS, status=500),)))
    cooldown = 4.0
    settings = {
        "max_rate": 200, "max_concurrency": 4, "circuit_cooldown_s": cooldown, "circuit_failures": 5, "retries": 2,
    }  # fmt: skip
    started = [processes.start(months=[month], hours=48, settings=settings, wait=True) for month in MONTHS[:3]]
    wait_for(lambda: opened_at(database) is not None)
    wait_for(lambda: len(openings(sim.requests, cooldown)) >= 2)
    sim.set_faults(FaultOptions())
    for process in started:
        process.join(120)
    assert [process.exitcode for process in started] == [0, 0, 0]
    first, *probes = openings(sim.requests, cooldown)
    # What was in flight when the fifth failure was counted comes on top, and nothing else.
    assert 5 <= len(first) <= 5 + 4
    # Each failed probe leaves alone; the one that succeeds is followed by everything else.
    assert all(len(group) == 1 for group in probes[:-1])
    closing = probes[-1]
    assert closing[1].arrived >= (closing[0].ended or 0), "nothing left before the probe was answered"
    for month in MONTHS[:3]:
        states = list(LedgerTables(database).states(Month.parse(month)).values())[:48]
        assert states == [HourState.CAPTURED] * 48


def openings(requests: list[Request], cooldown: float) -> list[list[Request]]:
    """Requests in groups that a cooldown separates."""
    groups: list[list[Request]] = []
    for request in sorted(requests, key=lambda item: item.arrived):
        if not groups or request.arrived - groups[-1][-1].arrived > cooldown - 0.5:
            groups.append([])
        groups[-1].append(request)
    return groups


def opened_at(database: Database) -> datetime | None:
    with database.engine.connect() as connection:
        return connection.exec_driver_sql("select abierto_en from circuito_fuente").scalar()


async def test_a_place_taken_by_a_cancelled_request_comes_back(
    sim: Simulator, database: Database, tmp_path: Path
) -> None:
    from support.capturing import HastyClock, capturing  # noqa: PLC0415

    from sec_core.config import load_settings  # noqa: PLC0415

    sim.set_faults(FaultOptions(latency_s=0.3))
    settings = load_settings(
        _env_file=None, base_url=sim.url, database_url=database.url, data_dir=tmp_path, max_concurrency=2, max_rate=500
    )
    hours = Month.parse("2026-08").hours()
    async with capturing(settings, HastyClock(NOW)) as capture:
        for count in (1, 3, 6):
            asking = [asyncio.create_task(capture.client.hour(hour)) for hour in hours[:count]]
            await asyncio.sleep(0.05)
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        answers = await asyncio.gather(*(capture.client.hour(hour) for hour in hours[:4]))
        assert len(answers) == 4
        with database.engine.connect() as connection:
            held = "select count(*) from pg_locks where locktype = 'advisory' and classid = 24258 and database = "
            held += "(select oid from pg_database where datname = current_database())"
            assert connection.exec_driver_sql(held).scalar() == 0
