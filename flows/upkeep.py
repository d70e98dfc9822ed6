"""Flows that keep everything in order by themselves: the monitor, daily upkeep, and health once an hour."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Annotated

from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed
from pydantic import Field

from flows.artifacts import health_table, monitor_text
from flows.telling import flow
from sec_core.clock import SystemClock
from sec_core.config import load_settings
from sec_core.errors import SecError
from sec_core.health.facts import find_facts
from sec_core.health.verdict import Check, Verdict, judge
from sec_core.usecases.circuit import close_circuit
from sec_core.usecases.monitor import STORM_UNDER_WAY, MonitorReport, storms_under_way, watch
from sec_core.usecases.upkeep import UpkeepReport, keep_up
from tasks.runtime import ensure_logging, open_run
from tasks.steps import ask_newest, load_newest

MONITOR = "monitor/monitor"
KEPT_RUNS = {"monitor": timedelta(days=3), "health": timedelta(days=7)}
"""How long runs with a tag are kept; the server forgets all others after 90 days."""


class PipelineUnhealthy(SecError):
    """Something needs a person now; `troubles` are the checks that say so."""

    code = "unhealthy"

    def __init__(self, troubles: list[Check]) -> None:
        found = " ".join(f"{check.name}: {check.text}" for check in troubles)
        super().__init__(found, next_step=" ".join(check.next_step for check in troubles if check.next_step))
        self.troubles = troubles


@flow(name="monitor", flow_run_name="monitor", persist_result=False)
async def monitor(
    closed_hours: Annotated[int, Field(ge=0, le=168, title="Closed hours to look at")] = 24,
) -> MonitorReport | State[MonitorReport]:
    """Ask for the open hour and the last closed ones, and load what is new.

    It shares the limits and the circuit with everything else, sends a handful of requests, and leaves the source alone
    when the circuit is open: that is no failure of the monitor.

    Args:
        closed_hours: How many closed hours to look at, each at most once an hour. After a pause of the machine they are
            caught up.
    """
    with open_run() as run:
        report = await watch(closed_hours, ask_newest, load_newest, lambda: storms_under_way(run))
    if report.note:
        return Completed(name="SourceAtRest", message=report.note, data=report)
    await acreate_markdown_artifact(key="monitor", markdown=monitor_text(report))
    if report.storms:
        # The stack looks for this name and tells of each storm once.
        return Completed(name=STORM_UNDER_WAY, message="\n".join(report.storms), data=report)
    return report


async def _forget_runs(now: datetime) -> None:
    """Delete old runs of what runs often, that the list of runs stays one that people read."""
    async with get_client() as client:
        for tag, age in KEPT_RUNS.items():
            ended = {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]}}
            wanted = {"tags": {"all_": [tag]}, "state": ended, "expected_start_time": {"before_": now - age}}
            while old := await client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(wanted)):
                for run in old:
                    await client.delete_flow_run(run.id)


@flow(name="maintenance", flow_run_name="maintenance", persist_result=False)
async def maintenance() -> UpkeepReport:
    """Seal complete months, archive what the retention setting says, remove old logs and old runs of the monitor."""
    with open_run() as run:
        await _forget_runs(run.clock.now())
        return await asyncio.to_thread(keep_up, run)


@flow(name="circuit-close", flow_run_name="circuit-close", persist_result=False)
async def circuit_close(
    who: Annotated[str, Field(min_length=1, max_length=200, title="Who closes it", examples=["Ana"])],
    why: Annotated[str, Field(min_length=1, max_length=1000, title="Why", examples=["The SEC says that it is back"])],
) -> str:
    """Close the circuit by hand before its time: the source is asked again at once.

    Args:
        who: Name for the log.
        why: Reason for the log.
    """
    with open_run() as run:
        return await close_circuit(run, who, why)


@flow(name="health", flow_run_name="health", persist_result=False)
async def health() -> Verdict:
    """Look at the source, the circuit, the database, the disk, the newest capture, names, quarantine and publication.

    Sends one request to the source, through the shared limits and the circuit.

    Raises:
        PipelineUnhealthy: Something is bad; the artifact and the message say what, and what to do next.
    """
    settings = load_settings()
    ensure_logging(settings)
    verdict = judge(await find_facts(settings, SystemClock(), monitored=await _monitor_is_scheduled()))
    rows, title = health_table(verdict)
    await acreate_table_artifact(key="health", table=rows, description=title)
    if verdict.troubles:
        raise PipelineUnhealthy(verdict.troubles)
    return verdict


async def _monitor_is_scheduled() -> bool:
    """Whether the monitor is meant to run: its deployment exists, is not paused, and has a schedule that is on."""
    async with get_client() as client:
        try:
            deployment = await client.read_deployment_by_name(MONITOR)
        except ObjectNotFound:
            return False
    return not deployment.paused and any(schedule.active for schedule in deployment.schedules)
