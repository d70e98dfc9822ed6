"""The monitor: the hour under way and the last closed ones, into PostgreSQL and its 30-day views within seconds."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import BaseModel, Field

from sec_core.config import load_settings
from sec_core.errors import CircuitOpen
from sec_core.hours import CHILE
from sec_core.silver.load import LoadReport
from tasks.monitor import Watched, load_watched_hours, watch_hours
from tasks.run_log import ensure_logging
from tasks.runtime import open_runtime


class MonitorReport(BaseModel):
    """What a look at the newest hours came to.

    Attributes:
        open_hour: The hour under way at the source, UTC; None if it was not asked.
        asked: Hours asked for.
        captured: Hours with a new body.
        unchanged: Hours whose answer was held already.
        empty: Hours for which the source says that it has no data.
        failed: Hours without an answer.
        loaded: Hours written to Silver.
        events_changed: Events that this made, changed or removed.
        differing: Closed hours whose sum differs from the national series.
        note: Why the source was not asked.
    """

    open_hour: datetime | None = None
    asked: int = 0
    captured: int = 0
    unchanged: int = 0
    empty: int = 0
    failed: int = 0
    loaded: int = 0
    events_changed: int = 0
    differing: int = 0
    note: str = ""


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

    Returns:
        What it came to.

    Raises:
        SourceUnavailable: The source does not answer.
        UnexpectedBody: The source's answers have changed.
        DatabaseUnavailable: The database can't be reached.
    """
    settings = load_settings()
    ensure_logging(settings)
    async with open_runtime(settings):
        try:
            watched = await watch_hours(closed_hours)
        except CircuitOpen as error:
            report = MonitorReport(note=str(error))
            return Completed(name="SourceAtRest", message=str(error), data=report)
        loads = await load_watched_hours(watched.hours)
    report = _report(watched, loads)
    await acreate_markdown_artifact(key="monitor", markdown=_markdown(report))
    return report


def _report(watched: Watched, loads: list[LoadReport]) -> MonitorReport:
    asked = watched.report
    return MonitorReport(
        open_hour=watched.open_hour,
        asked=asked.asked,
        captured=asked.captured,
        unchanged=asked.unchanged,
        empty=asked.empty,
        failed=asked.failed,
        loaded=sum(load.hours_loaded for load in loads),
        events_changed=sum(load.events_new + load.events_changed + load.events_removed for load in loads),
        differing=watched.differing,
    )


def _markdown(report: MonitorReport) -> str:
    under_way = report.open_hour.astimezone(CHILE) if report.open_hour else None
    head = f"# The hour under way: {under_way:%Y-%m-%d %Hh} in Chile" if under_way else "# The source was not asked"
    figures = report.model_dump(exclude={"open_hour", "note"})
    rows = "\n".join(f"| {name.replace('_', ' ')} | {figure} |" for name, figure in figures.items())
    return f"{head}\n\n| hours | |\n|---|---|\n{rows}\n"
