"""What a person sees in the terminal: progress while a run works, and a short table at its end."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.progress import TaskID
from rich.table import Table
from rich.text import Text

from sec_core.bronze.calendar import MARKS, PLAIN_MARKS, calendar_of, legend
from sec_core.bronze.ledger_rules import HourState
from sec_core.bronze.ledger_table import MonthSummary
from sec_core.health.verdict import Verdict
from sec_core.hours import CHILE, Month
from sec_core.text import for_line
from sec_core.usecases.reports import IMPUTATION_TEXT, Step, SyncReport, Tally, listening

# Up to so many columns wide a cell without blanks is never folded.
_ONE_PIECE = 20

_STATES = {"captured": "green", "empty": "yellow", "failed": "red", "quarantined": "magenta", "pending": "dim"}
# For each level a mark, one in plain ASCII, and a style.
_LEVELS = {"good": ("✓", "ok", "green"), "warn": ("!", "!", "yellow"), "bad": ("✕", "x", "bold red")}

STAGE_TEXT = {
    "universe": "customers by region",
    "capture": "asking the source",
    "explain": "computing again",
    "load": "loading into PostgreSQL",
    "gold": "building Gold",
    "months": "months",
    "publish": "publishing",
    "release": "making a release",
}


class Terminal(Console):
    """Where a person reads: standard output, or standard error for what is no result."""

    def on_broken_pipe(self) -> None:
        """Work goes on where nobody reads any more what it says by the way; a result nobody reads ends the command."""
        if not self.stderr:
            super().on_broken_pipe()
        self.quiet = True

    def take(self, message: object) -> None:
        """Print a line of the log as it is."""
        self.print(str(message), end="", markup=False, highlight=False, soft_wrap=True)

    def print_table(self, table: Table) -> None:
        """Print a table in which texts fold and nothing is cut: numbers, dates and names stay in one piece.

        Where the terminal is too narrow for those, lines are longer than it is wide.
        """
        least = 0
        for column in table.columns:
            cells = [str(cell) for cell in column.cells]
            widest = max(map(cell_len, cells), default=0)
            column.overflow = "fold"
            column.no_wrap = widest <= _ONE_PIECE and not any(" " in cell.strip() for cell in cells)
            least += 3 + max(widest if column.no_wrap else min(widest, _ONE_PIECE), cell_len(str(column.header)))
        self.width = max(self.width, least)
        self.print(table)


@contextmanager
def live_progress(console: Console) -> Iterator[None]:
    """Show the steps of the runs inside the block where somebody looks; in a pipe or file, nothing."""
    if not console.is_terminal:
        yield
        return
    from rich import progress as parts

    columns = (
        parts.SpinnerColumn(),
        parts.TextColumn("{task.description}"),
        parts.BarColumn(bar_width=30),
        parts.MofNCompleteColumn(),
        parts.TextColumn("[dim]{task.fields[states]}"),
        parts.TimeElapsedColumn(),
        parts.TimeRemainingColumn(),
    )
    bars: dict[tuple[str, str], tuple[TaskID, Tally]] = {}

    def take(step: Step) -> None:
        """A bar for each stage of each month, with counts of what became of its units."""
        key = (step.stage, step.month)
        if key not in bars:
            text = f"{step.month} {STAGE_TEXT.get(step.stage, step.stage)}".strip()
            bars[key] = progress.add_task(text, total=None, states=""), Tally()
        bar, tally = bars[key]
        tally.take(step)
        progress.update(bar, total=tally.total, completed=tally.done, states=tally.text)

    with parts.Progress(*columns, console=console, transient=True) as progress, listening(take):
        yield


def cell(text: object) -> Text:
    """A cell of a table, whatever it holds: its brackets are no markup."""
    return Text(for_line(text))


def _print_month(report: SyncReport) -> None:
    """The short table at the end of a month's run."""
    table = Table(title=f"Month {report.month}", show_header=False, title_justify="left", min_width=60)
    table.add_column("what", style="bold")
    table.add_column("figure")
    table.add_row("hours expected", f"{report.expected:,}")
    table.add_row("  captured", f"{report.captured:,}")
    table.add_row("  empty at the source", f"{report.empty:,}")
    for name, count in (("failed", report.failed), ("in quarantine", report.quarantined), ("pending", report.pending)):
        table.add_row(f"  {name}", f"[red]{count:,}[/]" if count else "0")
    table.add_row("requests sent", f"{report.requests:,}")
    table.add_row("rows", f"{report.rows:,}")
    table.add_row("observations", f"{report.observations:,}")
    table.add_row("customers in those rows", f"{report.customers:,}")
    table.add_row("events", f"{report.events:,}, of which {report.events_begun:,} begin in this month")
    for rule, text in IMPUTATION_TEXT.items():
        table.add_row(f"  {text}", f"{report.imputed.get(rule, 0):,}")
    for name, place in report.outputs.items():
        # A path as seen from here is shorter.
        table.add_row(name, cell(place.removeprefix(f"{Path.cwd()}{os.sep}")))
    for note in report.notes:
        table.add_row("note", cell(note))
    Terminal().print_table(table)


def print_reports(reports: list[SyncReport]) -> None:
    """The figures of a month, or of several a line each."""
    if len(reports) == 1:
        _print_month(reports[0])
        return
    heads = ("month", "hours", "captured", "empty", "missing", "requests", "rows", "events")
    names = ("month", "expected", *heads[2:])
    print_table(heads, [([getattr(each, name) for name in names], bool(each.missing)) for each in reports])


def print_table(heads: Sequence[str], rows: Iterable[tuple[Sequence[object], bool]], title: str = "") -> None:
    """A plain table; numbers stand on the right, and rows that are marked are bold."""
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE, padding=0, pad_edge=False)
    lines = [*rows]
    for place, head in enumerate(heads):
        number = bool(lines) and isinstance(lines[0][0][place], int)
        table.add_column(head, justify="right" if number else "left")
    for cells, marked in lines:
        shown = (f"{each:,}" if isinstance(each, int) else cell(each) for each in cells)
        table.add_row(*shown, style="bold" if marked else "")
    Terminal().print_table(table)


def print_months(summaries: list[MonthSummary]) -> None:
    """How far each month is captured, a line each; what is not complete is bold."""
    names = ("expected", "captured", "empty", "failed", "quarantined", "damaged", "pending", "suspect", "differing")
    heads = ("month", "hours", "captured", "empty", "failed", "quar.", "dam.", "pend.", "susp.", "differ", "last asked")
    rows = []
    for each in summaries:
        asked = f"{each.last_asked.astimezone(CHILE):%Y-%m-%d}" if each.last_asked else ""
        rows.append(([str(each.month), *(getattr(each, name) for name in names), asked], not each.complete))
    print_table(heads, rows, "Months (last asked: Chile's date)")


def print_calendar(month: Month, states: Mapping[datetime, HourState]) -> None:
    """A line a day, a column for each hour of the Chile wall clock."""
    terminal = Terminal()
    marks = PLAIN_MARKS if terminal.options.ascii_only else MARKS
    title = f"Hours of {month}, Chile wall clock"
    table = Table(title=title, caption=legend(marks), title_justify="left", box=None, padding=(0, 0, 0, 1))
    for head in ("day", *(f"{hour:02d}" for hour in range(24))):
        table.add_column(head)
    for day, line in calendar_of(month, states):
        shown = (Text(marks[state], style=_STATES[state]) if state else Text(" ") for state in line)
        table.add_row(f"{day:%a %d}", *shown)
    terminal.print_table(table)


def print_verdict(verdict: Verdict) -> None:
    """The verdict of each check, with what to do where one is not good."""
    terminal = Terminal()
    table = Table(box=None, show_header=False, padding=(0, 1))
    for check in verdict.checks:
        mark, plain, style = _LEVELS[check.level.value]
        found = cell(check.text)
        if check.next_step and check.level.value != "good":
            found.append(f"\n{for_line(check.next_step)}", style="dim")
        table.add_row(Text(plain if terminal.options.ascii_only else mark, style=style), check.name, found)
    terminal.print_table(table)
