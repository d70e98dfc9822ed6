"""A day of the stack at rest: a look of the monitor every ten minutes, a health check every hour, nobody there.

Ten minutes with one look in them are measured and scaled to the 144 looks of a day. Prefect's share is told apart by a
flow that does nothing, in a process of its own against the same server.
"""

import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psutil
import psycopg

from benchmarks.measuring import Bench, database_cpu_s, size_of
from benchmarks.overhead import environment
from benchmarks.results import Figure
from deployments.stack.api import api_client
from deployments.stack.processes import RunFolder, StackState
from sec_core.config import Settings
from sec_core.simulator.server import Simulator

WINDOW_S: Final = 600
WINDOWS_A_DAY: Final = 144
CHECKS_A_DAY: Final = 24
# No health check (minute 7) and no other schedule falls into ten minutes that begin here; one look does.
FIRST_MINUTES: Final = (13, 23, 33, 43)
EMPTY_FLOW: Final = "from prefect import flow\n@flow\ndef nothing() -> None: ...\nnothing()"
LOOK_EVERY_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Used:
    """What a stack used while something ran.

    Attributes:
        cpu_s: Seconds of CPU: "runs", each part of the stack that stays, "PostgreSQL".
        peak_bytes: Most memory that the process of a run held.
        grown_bytes: How much both databases and the data folder grew.
    """

    cpu_s: dict[str, float]
    peak_bytes: int
    grown_bytes: dict[str, int]


def measure(here: Bench) -> list[Figure]:
    """Start a stack against a simulated SEC, let the monitor catch up, then leave it alone for ten minutes."""
    with Simulator() as source, _stack(settings := here.settings("rest", "rest", base_url=source.url)) as (stack, ours):
        catch_up = _watch(here, settings, stack, lambda: _run(stack, "monitor"))
        while datetime.now(UTC).minute not in FIRST_MINUTES:
            time.sleep(1)
        rest = _watch(here, settings, stack, lambda: time.sleep(WINDOW_S))
        check = _watch(here, settings, stack, lambda: _run(stack, "health"))
        empty_s, empty_bytes = _empty_flow(ours | {"PREFECT_API_URL": stack.api})
    look_s, check_s = rest.cpu_s["runs"], check.cpu_s["runs"]
    day_s = sum(rest.cpu_s.values()) * WINDOWS_A_DAY + check_s * CHECKS_A_DAY
    figures = [
        Figure("look_cpu_s", "A look of the monitor: CPU of its run", look_s, "s", "≤ 5", look_s <= 5),
        _megabytes("look_mb", "its peak memory", rest.peak_bytes, most=300),
        Figure("catch_up_cpu_s", "The first look, 25 hours: CPU of its run", catch_up.cpu_s["runs"], "s"),
        _megabytes("catch_up_mb", "its peak memory", catch_up.peak_bytes, most=300),
        Figure("empty_cpu_s", "Prefect's share of each: CPU of a flow that does nothing", empty_s, "s"),
        _megabytes("empty_mb", "its peak memory", empty_bytes),
        Figure("check_cpu_s", "A health check: CPU of its run", check_s, "s"),
        Figure("day_cpu_s", "A day at rest: CPU of everything", day_s, "s"),
        Figure("day_cores", "the same, in cores", day_s / 86_400),
    ]
    figures += [
        Figure(f"day_{part}_cpu_s", f"of it: {part}", used_s * WINDOWS_A_DAY, "s")
        for part, used_s in rest.cpu_s.items()
    ]
    figures += [
        _megabytes(f"day_{what}_mb", f"A day at rest, growth of {what}", grown * WINDOWS_A_DAY)
        for what, grown in rest.grown_bytes.items()
    ]
    return figures


def _megabytes(name: str, label: str, value: int, *, most: int | None = None) -> Figure:
    size = value / 1e6
    if most is None:
        return Figure(name, label, size, "MB")
    return Figure(name, label, size, "MB", f"≤ {most}", size <= most)


@contextmanager
def _stack(settings: Settings) -> Iterator[tuple[StackState, dict[str, str]]]:
    """A stack for the length of a block, with the environment of its commands."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("SEC_", "PREFECT_", "SUPABASE_"))}
    ours |= environment(settings)
    command = [str(Path(sys.executable).with_name("sec"))]
    try:
        subprocess.run([*command, "up", "--detach"], check=True, env=ours, capture_output=True)  # noqa: S603  (ourselves)
        state = RunFolder(settings.run_dir).running()
        assert state is not None  # noqa: S101  (it came up)
        yield state, ours
    finally:
        subprocess.run([*command, "down"], check=True, env=ours, capture_output=True)  # noqa: S603  (ourselves)


def _watch(here: Bench, settings: Settings, stack: StackState, work: Callable[[], object]) -> Used:
    """Do something, and look at the stack's processes ten times a second meanwhile."""
    stays = {
        process: name
        for name, known in {"the supervisor": stack.supervisor, **stack.parts}.items()
        if (head := known.process()) is not None
        # A part is all that runs below it: what is there before anything runs.
        for process in (head, *(head.children(recursive=True) if name != "the supervisor" else []))
    }
    begun = {process: sum(process.cpu_times()[:2]) for process in stays}
    database_before, sizes_before = database_cpu_s(here.server), _sizes(settings)
    last_s: dict[psutil.Process, float] = {}
    peak, ended = 0, threading.Event()

    def look() -> None:
        nonlocal peak
        supervisor = psutil.Process(stack.supervisor.pid)
        while not ended.wait(LOOK_EVERY_S):
            for process in set(supervisor.children(recursive=True)) - stays.keys():
                with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    last_s[process] = sum(process.cpu_times()[:2])
                    peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        work()
    finally:
        ended.set()
        watcher.join()
    cpu_s: dict[str, float] = defaultdict(float, {"runs": sum(last_s.values())})
    for process, name in stays.items():
        # A run that had just ended may still have been there.
        with suppress(psutil.NoSuchProcess):
            cpu_s[name] += sum(process.cpu_times()[:2]) - begun[process]
    cpu_s["PostgreSQL"] = database_cpu_s(here.server) - database_before
    grown = {what: size - sizes_before[what] for what, size in _sizes(settings).items()}
    return Used(dict(cpu_s), peak, grown)


def _sizes(settings: Settings) -> dict[str, int]:
    assert settings.database_url is not None  # noqa: S101  (a bench gives one)
    with psycopg.connect(settings.database_url.get_secret_value()) as connection:
        databases = connection.execute(
            """select case when datname like '%\\_prefect' then 'Prefect''s database' else 'our database' end,
                pg_database_size(datname) from pg_database where datname like 'rest%'"""
        ).fetchall()
    return {**dict(databases), "the data folder": size_of(Path(str(settings.data_dir)))}


def _run(stack: StackState, deployment: str) -> None:
    """Trigger a deployment and wait for the end of its run."""
    with api_client(stack.api) as client:
        found = client.get(f"/deployments/name/{deployment}/{deployment}").raise_for_status().json()
        run = client.post(f"/deployments/{found['id']}/create_flow_run", json={}).raise_for_status().json()
        while run["state_type"] not in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}:
            time.sleep(0.5)
            run = client.get(f"/flow_runs/{run['id']}").raise_for_status().json()
    if run["state_type"] != "COMPLETED":
        raise RuntimeError(f"The run of {deployment} ended as {run['state_name']}: {run['state']['message']}")


def _empty_flow(variables: dict[str, str]) -> tuple[float, int]:
    """CPU and peak memory of a process that runs a flow which does nothing."""
    process = psutil.Popen([sys.executable, "-c", EMPTY_FLOW], env=variables, stderr=subprocess.DEVNULL)
    used_s, peak = 0.0, 0
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            used_s, peak = sum(process.cpu_times()[:2]), max(peak, process.memory_info().rss)
        time.sleep(LOOK_EVERY_S / 2)
    return used_s, peak
