"""What a person sees in the terminal: progress while a run works, and a short table at its end."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from sec_core.usecases.progress import Step, listening
from sec_core.usecases.reports import IMPUTATION_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sec_core.usecases.reports import SyncReport

STAGE_TEXT = {
    "universe": "customers by region",
    "capture": "asking the source",
    "load": "loading into PostgreSQL",
    "gold": "building Gold",
    "months": "months",
    "publish": "publishing",
}


@contextmanager
def live_progress(console: Console) -> Iterator[None]:
    """Show the steps of the runs inside the block."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("[dim]{task.fields[states]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        board = _Board(progress)
        with listening(board.take):
            yield


class _Board:
    """A progress bar for each stage of each month, with counts of what became of its units."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[tuple[str, str], TaskID] = {}
        self._states: dict[tuple[str, str], dict[str, int]] = {}

    def take(self, step: Step) -> None:
        key = (step.stage, step.month)
        bar = self._bars.get(key)
        if bar is None:
            text = f"{step.month} {STAGE_TEXT.get(step.stage, step.stage)}".strip()
            bar = self._bars[key] = self._progress.add_task(text, total=step.total, states="")
            self._states[key] = {}
        elif step.total is not None:
            self._progress.reset(bar, total=step.total)
            self._states[key] = {}
        states = self._states[key]
        if step.label:
            states[step.label] = states.get(step.label, 0) + step.done
        self._progress.update(
            bar, advance=step.done, states=", ".join(f"{count} {name}" for name, count in sorted(states.items()))
        )


def print_month(report: SyncReport) -> None:
    """The short table at the end of a month's run."""
    table = Table(title=f"Month {report.month}", show_header=False, title_justify="left", min_width=60)
    table.add_column("what", style="bold", no_wrap=True)
    table.add_column("figure", overflow="fold")
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
        table.add_row(name, place.removeprefix(f"{Path.cwd()}{os.sep}"))
    for note in report.notes:
        table.add_row("note", note)
    Console().print(table)


def print_months(reports: list[SyncReport]) -> None:
    """A line for each month."""
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    heads = ("month", "hours", "captured", "empty", "missing", "requests", "rows", "events")
    for head in heads:
        table.add_column(head, justify="left" if head == "month" else "right", no_wrap=True)
    for report in reports:
        figures = (getattr(report, "expected" if head == "hours" else head) for head in heads[1:])
        table.add_row(report.month, *(f"{figure:,}" for figure in figures), style="bold" if report.missing else "")
    Console().print(table)
