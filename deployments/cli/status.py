"""`sec status`: what is known of every hour."""

from __future__ import annotations

import json as jsonlib
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli.app import app
from sec_core.config import load_settings
from sec_core.hours import Month

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from rich.console import RenderableType

    from sec_core.bronze.ledger import MonthSummary
    from sec_core.bronze.ledger_rules import HourState

_STYLES = {"captured": "green", "empty": "yellow", "failed": "red", "quarantined": "magenta", "pending": "dim"}


@app.command()
def status(
    month: Annotated[str | None, typer.Option("--month", metavar="YYYY-MM", help="Show the month's hours.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Hours expected, captured, empty, failed and in quarantine: all months, or the hours of one."""
    from rich.console import Console

    from sec_core.usecases.adapters import open_adapters

    chosen = Month.parse(month) if month else None
    with open_adapters(load_settings()) as adapters:
        ledger = adapters.ledger
        months = [chosen] if chosen else ledger.months()
        summaries = ledger.month_summary(months, adapters.clock.now())
        states = ledger.states(chosen) if chosen else {}
    if json:
        answer: dict[str, object] = {"months": [_as_json(summary) for summary in summaries]}
        if chosen:
            answer["hours"] = {hour.isoformat(): state.value for hour, state in states.items()}
        sys.stdout.write(jsonlib.dumps(answer, indent=2) + "\n")
        return
    console = Console()
    _print_months(summaries)
    if chosen:
        console.print(_calendar(chosen, states))
    elif not summaries:
        console.print("Nothing is captured yet. `sec sync --month YYYY-MM` captures a month.")


def _as_json(summary: MonthSummary) -> dict[str, object]:
    fields = asdict(summary) | {"month": str(summary.month), "complete": summary.complete}
    fields["last_asked"] = summary.last_asked.isoformat() if summary.last_asked else None
    return fields


def _print_months(summaries: list[MonthSummary]) -> None:
    from deployments.cli.show import print_table

    names = ("expected", "captured", "empty", "failed", "quarantined", "damaged", "pending", "suspect", "differing")
    heads = ("month", "hours", "captured", "empty", "failed", "quar.", "dam.", "pend.", "susp.", "differ", "last asked")
    rows = []
    for each in summaries:
        asked = f"{each.last_asked:%Y-%m-%d}" if each.last_asked else ""
        rows.append(([str(each.month), *(getattr(each, name) for name in names), asked], not each.complete))
    print_table(heads, rows, "Months (last asked: UTC)")


def _calendar(month: Month, states: Mapping[datetime, HourState]) -> RenderableType:
    """A line a day, a column for each hour of the Chile wall clock."""
    from rich.table import Table
    from rich.text import Text

    from sec_core.bronze.calendar import MARKS, calendar_of, legend

    title = f"Hours of {month}, Chile wall clock"
    table = Table(title=title, caption=legend(), title_justify="left", box=None, padding=(0, 0, 0, 1))
    table.add_column("day")
    for hour in range(24):
        table.add_column(f"{hour:02d}")
    for day, line in calendar_of(month, states):
        table.add_row(
            f"{day:%a %d}", *(Text(MARKS[state], style=_STYLES[state]) if state else Text(" ") for state in line)
        )
    return table
