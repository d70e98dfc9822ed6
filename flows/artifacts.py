"""What a run leaves for people to see in the Prefect UI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect.artifacts import acreate_link_artifact, acreate_markdown_artifact, acreate_table_artifact

from sec_core.bronze.calendar import calendar_text
from sec_core.hours import Month

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from flows.report import SyncReport
    from sec_core.bronze.model import HourState


async def show_month(report: SyncReport, states: Mapping[datetime, HourState]) -> None:
    """A table with the figures of a month's run, and the month as a calendar of hours.

    Args:
        report: The figures.
        states: State of each hour of the month.
    """
    figures = report.model_dump(exclude={"imputed", "outputs", "notes"})
    figures |= {f"imputed: {rule}": count for rule, count in report.imputed.items()}
    figures |= report.outputs
    await acreate_table_artifact(
        key=f"month-{report.month}",
        table=[{"what": name, "figure": value} for name, value in figures.items()],
        description=f"# Month {report.month}\n\n" + "\n".join(f"- {note}" for note in report.notes),
    )
    await acreate_markdown_artifact(
        key=f"hours-{report.month}",
        markdown=f"```\n{calendar_text(Month.parse(report.month), states)}\n```",
        description=f"Hours of {report.month}, Chile wall clock",
    )


async def show_months(reports: Sequence[SyncReport]) -> None:
    """A table of several months, a line each."""
    columns = ("month", "expected", "captured", "empty", "failed", "quarantined", "pending", "rows", "events")
    await acreate_table_artifact(
        key="months",
        table=[{name: getattr(report, name) for name in columns} for report in reports],
        description=f"# {len(reports)} months",
    )


async def show_report(page: Path) -> None:
    """A link to the report page. Browsers open it from the address bar; pages of the UI may not lead to files."""
    await acreate_link_artifact(key="report", link=page.as_uri(), link_text=str(page), description="The report page")
