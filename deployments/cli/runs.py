"""Commands that run flows: the main job and its parts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli.app import app
from sec_core.clock import SystemClock
from sec_core.config import load_settings
from sec_core.hours import Month, past_or_present

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from flows.report import SyncReport

MonthOption = Annotated[
    str | None, typer.Option("--month", metavar="YYYY-MM", help="The month; without it, the one before this.")
]
WaitOption = Annotated[
    bool, typer.Option("--wait", help="If the source has to be left alone for a while, wait and go on by itself.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command()
def sync(month: MonthOption = None, wait: WaitOption = False, json: JsonOption = False) -> None:
    """Capture a month, load it, build Gold and publish it: the main job."""

    def make() -> Coroutine[Any, Any, SyncReport]:
        from flows.monthly_sync import monthly_sync  # noqa: PLC0415

        return monthly_sync(month=month, wait_for_circuit=wait)

    run_month(month, make, json=json)


@app.command()
def capture(
    month: MonthOption = None,
    wait: WaitOption = False,
    force: Annotated[bool, typer.Option("--force", help="Ask for settled hours too.")] = False,
) -> None:
    """Ask the source for a month's hours that are not settled, and keep what it says."""

    def make() -> Coroutine[Any, Any, SyncReport]:
        from flows.parts import capture as flow  # noqa: PLC0415

        return flow(month=month, wait_for_circuit=wait, force=force)

    run_month(month, make)


@app.command()
def load(month: MonthOption = None) -> None:
    """Bring PostgreSQL up to what Bronze holds of a month; the source is asked nothing."""

    def make() -> Coroutine[Any, Any, SyncReport]:
        from flows.parts import load as flow  # noqa: PLC0415

        return flow(month=month)

    run_month(month, make)


@app.command()
def gold() -> None:
    """Make Gold from what PostgreSQL holds: Parquet, payloads, local publication."""
    from deployments.cli.running import run_flow  # noqa: PLC0415

    def make() -> Coroutine[Any, Any, Any]:
        from flows.parts import gold as flow  # noqa: PLC0415

        return flow()

    report = run_flow(load_settings(), make)
    typer.echo(f"Gold holds {report.events:,} events; {len(report.payloads)} payloads lie in {report.folder}.")


@app.command()
def publish(
    force: Annotated[
        bool, typer.Option("--force", help="Publish although much of what is published would be lost.")
    ] = False,
) -> None:
    """Send Gold to Supabase, whole or not at all."""
    from deployments.cli.running import run_flow  # noqa: PLC0415

    def make() -> Coroutine[Any, Any, Any]:
        from flows.parts import publish as flow  # noqa: PLC0415

        return flow(force=force)

    typer.echo(run_flow(load_settings(), make).line())


def run_month(
    month: str | None, make: Callable[[], Coroutine[Any, Any, SyncReport]], *, json: bool = False
) -> SyncReport:
    """Run a flow about a month and show its report, also when the month stays incomplete.

    Args:
        month: What the person wrote; checked before anything starts.
        make: Imports the flow and calls it.
        json: Whether the report goes to standard output as JSON.

    Returns:
        The report.

    Raises:
        MonthIncomplete: Some hours could not be had.
        SecError: Something else that a person should know.
    """
    from deployments.cli.running import run_flow  # noqa: PLC0415

    if month is not None:
        past_or_present(Month.parse(month), SystemClock().now())
    try:
        report = run_flow(load_settings(), make)
    except Exception as error:
        partial = getattr(error, "report", None)
        if partial is not None:
            _show(partial, json=json)
        raise
    _show(report, json=json)
    return report


def _show(report: SyncReport, *, json: bool) -> None:
    if json:
        sys.stdout.write(report.model_dump_json(indent=2) + "\n")
        return
    from rich.console import Console  # noqa: PLC0415

    from deployments.cli.show import result_table  # noqa: PLC0415

    Console().print(result_table(report))
