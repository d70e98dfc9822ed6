"""What a run leaves for people to see in the Prefect UI."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import httpx
from loguru import logger
from prefect.artifacts import (
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)

from flows.report import IMPUTATION_TEXT
from sec_core.bronze.calendar import PLAIN_MARKS, calendar_text
from sec_core.hours import Month
from tasks.progress import Step, listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from flows.report import SyncReport
    from sec_core.blobs.place import Place
    from sec_core.bronze.ledger_rules import HourState

_SHOW_EVERY_S = 5


async def show_month(report: SyncReport, states: Mapping[datetime, HourState]) -> None:
    """A table of a month's figures, one of the quality of its data, and the month as a calendar of hours.

    Args:
        report: The figures.
        states: State of each hour of the month.
    """
    figures = report.model_dump(exclude={"imputed", "outputs", "notes"}) | report.outputs
    await acreate_table_artifact(
        key=f"month-{report.month}",
        table=[{"what": name.replace("_", " "), "figure": value} for name, value in figures.items()],
        description=f"# Month {report.month}\n\n" + "\n".join(f"- {note}" for note in report.notes),
    )
    await acreate_table_artifact(
        key=f"quality-{report.month}",
        table=quality_table(report),
        description=f"# Quality of the data of {report.month}\n\nNo row is dropped: what is imputed is counted.",
    )
    await acreate_markdown_artifact(
        key=f"hours-{report.month}",
        markdown=f"```\n{calendar_text(Month.parse(report.month), states, PLAIN_MARKS)}\n```",
        description=f"# Hours of {report.month}\n\nA line for each day, a mark for each hour of the Chile wall clock.",
    )


def quality_table(report: SyncReport) -> list[dict[str, str | int]]:
    """How much of a month was imputed by each rule, as a count and a share. Pure."""
    rows: list[dict[str, str | int]] = []
    for rule, what in IMPUTATION_TEXT.items():
        count, whole = report.imputed.get(rule, 0), report.events if rule == "tope" else report.rows
        rows.append({"what": what, "count": count, "of": whole, "share": f"{count / whole:.2%}" if whole else ""})
    return rows


async def show_months(reports: Sequence[SyncReport]) -> None:
    """A table of several months, a line each; a single month has its own already."""
    if len(reports) == 1:
        return
    columns = ("month", "expected", "captured", "empty", "failed", "quarantined", "pending", "rows", "events")
    await acreate_table_artifact(
        key="months",
        table=[{name: getattr(report, name) for name in columns} for report in reports],
        description=f"# {len(reports)} months",
    )


async def show_report(page: Place) -> None:
    """A link to the report page. Browsers open it from the address bar; pages of the UI may not lead to files."""
    await acreate_link_artifact(key="report", link=page.as_uri(), link_text=str(page), description="The report page")


@asynccontextmanager
async def progress_of_capture(month: str, hours: int) -> AsyncIterator[None]:
    """A bar that grows in the UI while the hours of a month are asked for.

    Args:
        month: The month as `YYYY-MM`.
        hours: Hours to ask for; none, no bar.
    """
    if not hours:
        yield
        return
    head = f"# {hours} hours of {month} to ask for"
    artifact = await acreate_progress_artifact(progress=0, key=f"capture-{month}", description=head)
    states: Counter[str] = Counter()

    def count(step: Step) -> None:
        if step.stage == "capture" and step.month == month and step.done:
            states[step.label] += step.done

    async def show() -> None:
        text = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
        await _update(artifact, 100 * min(states.total() / hours, 1), f"{head}\n\n{text}")

    async def keep_showing() -> None:
        shown = 0
        while True:
            await asyncio.sleep(_SHOW_EVERY_S)
            if states.total() > shown:
                shown = states.total()
                await show()

    with listening(count):
        showing = asyncio.create_task(keep_showing())
        try:
            yield
        finally:
            showing.cancel()
            with suppress(asyncio.CancelledError):
                await showing
            await show()


async def _update(artifact: UUID, percent: float, text: str) -> None:
    try:
        await aupdate_progress_artifact(artifact, percent, text)
    except httpx.HTTPError as error:
        # The hours matter, not the bar.
        logger.bind(stage="capture").debug("the bar in the UI stands still: {error}", error=repr(error))
