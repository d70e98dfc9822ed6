"""Flows that keep everything in order by themselves: the monitor, daily upkeep, and health once an hour."""

import asyncio
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Annotated

from prefect.artifacts import acreate_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, DeploymentFilter, FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import TERMINAL_STATES, State
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Completed, Failed
from pydantic import Field

from flows.telling import flow
from sec_core.clock import SystemClock, in_chile
from sec_core.config import load_settings
from sec_core.errors import SecError
from sec_core.health.facts import find_facts
from sec_core.health.verdict import MONITOR_LATE, Check, Level, Verdict, judge
from sec_core.hours import CHILE
from sec_core.text import for_markdown
from sec_core.usecases.upkeep import MonitorReport, UpkeepReport, close_circuit, keep_up, watch
from tasks.limits import AT_REST, STORM_UNDER_WAY
from tasks.runtime import adapters, ensure_logging

MONITOR = "monitor"
# Ended runs of the flows that run all day: two days of the monitor's, a week of health's.
RUNS_KEPT = {"monitor": 288, "health": 168}
# Signs that servers without fonts for pictures have too.
_MARKS = {Level.GOOD: "✓ good", Level.WARN: "⚠ look", Level.BAD: "✗ bad"}
_FIGURES = {
    "asked": "hours asked for",
    "captured": "hours with a new answer",
    "unchanged": "hours answered as before",
    "empty": "hours without data",
    "failed": "hours that failed",
    "loaded": "hours loaded",
    "events_changed": "events made, changed or removed",
    "differing": "hours that differ from the national series",
}


class PipelineUnhealthy(SecError):
    """Something needs a person now; `troubles` are the checks that say so."""

    code = "unhealthy"

    def __init__(self, troubles: list[Check]) -> None:
        found = " ".join(f"{check.name}: {check.text}" for check in troubles)
        super().__init__(found, next_step=" ".join(check.next_step for check in troubles if check.next_step))
        self.troubles = troubles


@flow(name="monitor")
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
    report = await watch(adapters(), closed_hours)
    await _leave("monitor", monitor_text(report))
    if report.note:
        return Completed(name=AT_REST, message=report.note, data=report)
    if report.storms:
        # The stack looks for this name and tells of each storm once.
        return Completed(name=STORM_UNDER_WAY, message="\n".join(report.storms), data=report)
    return report


@flow(name="maintenance")
async def maintenance() -> UpkeepReport:
    """Seal closed and settled months, archive what retention says, remove old logs and runs of what runs all day."""
    await _forget_runs()
    return await asyncio.to_thread(keep_up, adapters())


@flow(name="circuit-close")
async def circuit_close(
    who: Annotated[str, Field(min_length=1, max_length=200, title="Who closes it", examples=["Ana"])],
    why: Annotated[str, Field(min_length=1, max_length=1000, title="Why", examples=["The SEC says that it is back"])],
) -> str:
    """Close the circuit by hand before its time: the source is asked again at once.

    Args:
        who: Name for the log.
        why: Reason for the log.
    """
    return await close_circuit(adapters(), who, why)


@flow(name="health", around=nullcontext)
async def health() -> Verdict | State[Verdict]:
    """Look at the source, the circuit, the database, the disk, the newest capture, names, quarantine and publication.

    Sends one request to the source, through the shared limits and the circuit.

    Raises:
        PipelineUnhealthy: Something is bad; the artifact and the message say what, and what to do next.
    """
    settings = load_settings()
    ensure_logging(settings)
    verdict = judge(await find_facts(settings, SystemClock(), monitored=await _monitor_is_expected()))
    await _leave("health", health_text(verdict))
    if verdict.troubles:
        error = PipelineUnhealthy(verdict.troubles)
        # Notices tell of what this name lists.
        names = ", ".join(check.name for check in verdict.troubles)
        return Failed(name=f"Bad: {names}", message=str(error), data=error)
    return verdict


def monitor_text(report: MonitorReport) -> str:
    """A table of what the monitor found. Pure."""
    if report.note:
        return f"# The source is left alone\n\n{for_markdown(report.note)}\n"
    under_way = report.open_hour.astimezone(CHILE) if report.open_hour else None
    head = f"# The hour under way: {under_way:%Y-%m-%d %Hh} in Chile\n\n" if under_way else ""
    head += "".join(f"{for_markdown(storm)}\n\n" for storm in report.storms)
    rows = "\n".join(f"| {what} | {getattr(report, name)} |" for name, what in _FIGURES.items())
    return f"{head}| what | count |\n|---|---|\n{rows}\n"


def health_text(verdict: Verdict) -> str:
    """What needs a person, in paragraphs, as the UI cuts long cells off; a table of all, the worst first. Pure."""
    levels = list(Level)
    checks = sorted(verdict.checks, key=lambda check: -levels.index(check.level))
    head = f"# Health: {_MARKS[verdict.level]}\n\nAs of {in_chile(verdict.at)}\n\n"
    for check in checks:
        if check.level is not Level.GOOD:
            step = f" **What to do:** {for_markdown(check.next_step)}" if check.next_step else ""
            head += f"**{_MARKS[check.level]}: {check.name}.** {for_markdown(check.text)}{step}\n\n"
    lines = [f"| {_MARKS[check.level]} | {check.name} | {for_markdown(check.text)} |" for check in checks]
    return head + "\n".join(["| verdict | what | found |", "|---|---|---|", *lines, ""])


async def _forget_runs() -> None:
    """Remove the oldest runs of the flows that run all day, so that the list of runs stays one that people read."""
    ended = FlowRunFilter.model_validate({"state": {"type": {"any_": sorted(TERMINAL_STATES)}}})
    newest = FlowRunSort.END_TIME_DESC
    async with get_client() as client:
        for name, kept in RUNS_KEPT.items():
            flows = FlowFilter.model_validate({"name": {"any_": [name]}})
            while old := await client.read_flow_runs(
                flow_filter=flows, flow_run_filter=ended, sort=newest, offset=kept
            ):
                for run in old:
                    await client.delete_flow_run(run.id)


async def _leave(key: str, markdown: str) -> None:
    """Leave an artifact, and remove its older versions."""
    newest = await acreate_markdown_artifact(key=key, markdown=markdown)
    wanted = ArtifactFilter.model_validate({"key": {"any_": [key]}})
    async with get_client() as client:
        for each in await client.read_artifacts(artifact_filter=wanted):
            if each.id != newest:
                await client.delete_artifact(each.id)


async def _monitor_is_expected() -> bool:
    """Whether the newest hour must be young: the monitor's schedule is on, and it has had a turn lately."""
    named = DeploymentFilter.model_validate({"name": {"any_": [MONITOR]}})
    lately = FlowRunFilter.model_validate({"end_time": {"after_": datetime.now(UTC) - MONITOR_LATE}})
    async with get_client() as client:
        found = await client.read_deployments(deployment_filter=named)
        turns = await client.read_flow_runs(deployment_filter=named, flow_run_filter=lately, limit=1)
    return bool(turns) and any(not each.paused and any(plan.active for plan in each.schedules) for each in found)
