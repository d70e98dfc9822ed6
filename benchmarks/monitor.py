"""What a run of the monitor costs, in the process that a worker starts for it; the stack starts 144 a day."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from benchmarks.measuring import apart
from benchmarks.overhead import environment_of
from benchmarks.results import Figure
from benchmarks.simulated_source import simulated_source
from sec_core.hours import Month
from sec_core.usecases.adapters import open_adapters
from sec_core.usecases.months import rerun

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.measuring import Bench
    from sec_core.config import Settings

NOW: Final = datetime(2026, 9, 2, 5, 36, tzinfo=UTC)
"""The month before is known, and Gold has customers by comuna of it: storms are looked for over three weeks."""

USUAL_RUNS: Final = 5
MOST_MB: Final = 300
MOST_CPU_S: Final = 5


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one process: seconds of CPU, and the peak of its memory."""

    cpu_s: float
    peak_mb: float


def measure(here: Bench) -> list[Figure]:
    """A run after a pause, which catches up on 25 hours, usual ones, and Prefect alone."""
    before, now = Month.of(NOW).shift(-1), Month.of(NOW)
    with simulated_source((before, now), now=NOW, latency_s=0.0) as source:
        settings = here.settings("monitor", "monitor", base_url=source.url, max_rate=10_000.0)
        apart(here, know, settings, str(before))
        caught_up, usual, prefect = apart(here, runs, settings).result
    return [
        _memory("monitor_first_mb", "The monitor catches up on 25 hours: peak memory", [caught_up]),
        _memory("monitor_mb", "A usual run of the monitor: peak memory", usual),
        _memory("monitor_prefect_mb", "of it: an empty flow, Prefect alone", prefect, target=False),
        _cpu("monitor_first_cpu_s", "The monitor catches up on 25 hours: CPU", [caught_up]),
        _cpu("monitor_cpu_s", "A usual run of the monitor: CPU", usual),
        _cpu("monitor_prefect_cpu_s", "of it: an empty flow, Prefect alone", prefect, target=False),
    ]


def know(settings: Settings, month: str) -> None:
    """Do a month with all that follows from it."""
    with open_adapters(settings) as adapters:
        asyncio.run(rerun(adapters, month))


def runs(settings: Settings) -> tuple[Cost, list[Cost], list[Cost]]:
    """The cost of the first look, of usual ones, and of a flow that does nothing."""
    from deployments.stack.api import api_client, prepare_environment  # noqa: PLC0415
    from deployments.stack.server import prefect_api  # noqa: PLC0415

    os.environ |= environment_of(settings)
    prepare_environment(settings)
    with prefect_api(settings), api_client(os.environ["PREFECT_API_URL"]) as client:

        def post(path: str, **body: object) -> dict[str, Any]:
            made: dict[str, Any] = client.post(path, json=body).raise_for_status().json()
            return made

        def cost(name: str, entrypoint: str) -> Cost:
            flow = post("/flows/", name=name)["id"]
            deployment = post("/deployments/", name=name, flow_id=flow, entrypoint=entrypoint)["id"]
            run = post(f"/deployments/{deployment}/create_flow_run", state={"type": "PENDING"})["id"]
            found = _cost([sys.executable, "-m", "prefect.engine", run], os.environ)
            ended = client.get(f"/flow_runs/{run}").raise_for_status().json()["state"]
            if ended["type"] != "COMPLETED":
                raise RuntimeError(f"A run of {name} ended as {ended['name']}: {ended['message']}")
            return found

        looks = [cost("monitor", "flows.upkeep.monitor") for _ in range(1 + USUAL_RUNS)]
        return looks[0], looks[1:], [cost("nothing", "benchmarks.nothing.nothing") for _ in range(USUAL_RUNS)]


def _cost(command: list[str], environment: Mapping[str, str]) -> Cost:
    process = subprocess.Popen(command, env=environment)  # noqa: S603  (ourselves)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss * unit / 1e6)


def _memory(name: str, label: str, costs: list[Cost], *, target: bool = True) -> Figure:
    return _figure(name, label, [cost.peak_mb for cost in costs], "MB", MOST_MB if target else None)


def _cpu(name: str, label: str, costs: list[Cost], *, target: bool = True) -> Figure:
    return _figure(name, label, [cost.cpu_s for cost in costs], "s", MOST_CPU_S if target else None)


def _figure(name: str, label: str, values: list[float], unit: str, most: int | None) -> Figure:
    middle = median(values)
    target, met = (f"< {most}", middle < most) if most is not None else ("", None)
    return Figure(name, label, middle, unit, target=target, met=met, runs=tuple(values))
