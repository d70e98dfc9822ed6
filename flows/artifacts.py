"""What a run leaves for people to see in the Prefect UI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect.artifacts import acreate_table_artifact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flows.report import SyncReport


async def show_month(report: SyncReport) -> None:
    """A table with the figures of a month's run."""
    figures = report.model_dump(exclude={"imputed", "outputs", "notes"})
    figures |= {f"imputed: {rule}": count for rule, count in report.imputed.items()}
    figures |= report.outputs
    await acreate_table_artifact(
        key=f"month-{report.month}",
        table=[{"what": name, "figure": value} for name, value in figures.items()],
        description=f"# Month {report.month}\n\n" + "\n".join(f"- {note}" for note in report.notes),
    )


async def show_months(reports: Sequence[SyncReport]) -> None:
    """A table of several months, a line each."""
    columns = ("month", "expected", "captured", "empty", "failed", "quarantined", "pending", "rows", "events")
    await acreate_table_artifact(
        key="months",
        table=[{name: getattr(report, name) for name in columns} for report in reports],
        description=f"# {len(reports)} months",
    )
