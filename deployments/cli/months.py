"""Commands over several months: backfill, rerun, reprocess."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli.app import app
from sec_core.config import load_settings
from sec_core.hours import Month, month_range

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from flows.report import SyncReport

FromOption = Annotated[str, typer.Option("--from", metavar="YYYY-MM", help="The earliest month.")]
ToOption = Annotated[str, typer.Option("--to", metavar="YYYY-MM", help="The latest month.")]
NoWaitOption = Annotated[
    bool, typer.Option("--no-wait", help="End when the source has to be left alone, instead of going on by itself.")
]


@app.command()
def backfill(
    first: FromOption,
    last: ToOption,
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="Begin with the earliest month.")] = False,
    no_wait: NoWaitOption = False,
) -> None:
    """Capture and load many months, newest first. Stop it at any time; run again, it goes on where it was."""
    month_range(Month.parse(first), Month.parse(last))

    def make() -> Coroutine[Any, Any, list[SyncReport]]:
        from flows.many_months import backfill as flow  # noqa: PLC0415
        from flows.parameters import Order  # noqa: PLC0415

        order = Order.OLDEST_FIRST if oldest_first else Order.NEWEST_FIRST
        return flow(first=first, last=last, order=order, wait_for_circuit=not no_wait)

    _run(make)


@app.command()
def rerun(
    month: Annotated[
        list[str] | None,
        typer.Option("--month", metavar="YYYY-MM", help="A month; repeatable. Without: all that miss hours."),
    ] = None,
    no_wait: NoWaitOption = False,
) -> None:
    """Mend months: ask only for what is missing or unsettled, then load, build and publish again."""
    for text in month or []:
        Month.parse(text)

    def make() -> Coroutine[Any, Any, list[SyncReport]]:
        from flows.many_months import ALL_FAILED, rerun_month  # noqa: PLC0415

        return rerun_month(months=month or ALL_FAILED, wait_for_circuit=not no_wait)

    _run(make)


@app.command()
def reprocess(first: FromOption, last: ToOption) -> None:
    """Silver and Gold again from Bronze, asking the SEC nothing; bodies of a shape learned since leave quarantine."""
    month_range(Month.parse(first), Month.parse(last))

    def make() -> Coroutine[Any, Any, list[SyncReport]]:
        from flows.many_months import reprocess as flow  # noqa: PLC0415

        return flow(first=first, last=last)

    _run(make)


def _run(make: Callable[[], Coroutine[Any, Any, list[SyncReport]]]) -> None:
    """Run a flow over months and show a line for each, also when some stay incomplete."""
    from rich.console import Console  # noqa: PLC0415

    from deployments.cli.running import run_flow  # noqa: PLC0415

    try:
        reports = run_flow(load_settings(), make)
    except Exception as error:
        partial = getattr(error, "reports", None)
        if partial:
            Console().print(_table(partial))
        raise
    Console().print(_table(reports))


def _table(reports: list[SyncReport]) -> object:
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("month", "hours", "captured", "empty", "missing", "requests", "rows", "events"):
        table.add_column(name, justify="left" if name == "month" else "right", no_wrap=True)
    for report in reports:
        figures = (
            report.expected,
            report.captured,
            report.empty,
            report.missing,
            report.requests,
            report.rows,
            report.events,
        )
        table.add_row(report.month, *(f"{figure:,}" for figure in figures), style="bold" if report.missing else "")
    return table
