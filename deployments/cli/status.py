"""`sec status`: what is known of every hour."""

from __future__ import annotations

import json as jsonlib
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli.app import app, say
from sec_core.config import load_settings
from sec_core.hours import CHILE, Month

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sec_core.bronze.ledger import MonthSummary
    from sec_core.bronze.ledger_rules import HourState

_STYLES = {"captured": "green", "empty": "yellow", "failed": "red", "quarantined": "magenta", "pending": "dim"}


@app.command()
def status(
    month: Annotated[str | None, typer.Option("--month", metavar="YYYY-MM", help="Show the month's hours.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Hours expected, captured, empty, failed and in quarantine: all months, or the hours of one."""
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
    _print_months(summaries)
    if chosen:
        _print_calendar(chosen, states)
    elif not summaries:
        say("Nothing is captured yet. `sec sync --month YYYY-MM` captures a month.")


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
        asked = f"{each.last_asked.astimezone(CHILE):%Y-%m-%d}" if each.last_asked else ""
        rows.append(([str(each.month), *(getattr(each, name) for name in names), asked], not each.complete))
    print_table(heads, rows, "Months (last asked: Chile's date)")


def _print_calendar(month: Month, states: Mapping[datetime, HourState]) -> None:
    """A line a day, a column for each hour of the Chile wall clock."""
    from rich.table import Table
    from rich.text import Text

    from deployments.cli.show import Terminal
    from sec_core.bronze.calendar import MARKS, PLAIN_MARKS, calendar_of, legend

    terminal = Terminal()
    marks = PLAIN_MARKS if terminal.options.ascii_only else MARKS
    title = f"Hours of {month}, Chile wall clock"
    table = Table(title=title, caption=legend(marks), title_justify="left", box=None, padding=(0, 0, 0, 1))
    table.add_column("day")
    for hour in range(24):
        table.add_column(f"{hour:02d}")
    for day, line in calendar_of(month, states):
        table.add_row(
            f"{day:%a %d}", *(Text(marks[state], style=_STYLES[state]) if state else Text(" ") for state in line)
        )
    terminal.print_table(table)
