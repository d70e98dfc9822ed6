"""`sec doctor`: what is well, what is not, and what to do next."""

from __future__ import annotations

import asyncio
import json as jsonlib
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli.app import app, say
from deployments.cli.ending import stoppable
from sec_core.config import load_settings

if TYPE_CHECKING:
    from sec_core.health.verdict import Verdict

_STYLES = {"good": ("✓", "ok", "green"), "warn": ("!", "!", "yellow"), "bad": ("✕", "x", "bold red")}
"""For each level a mark, one in plain ASCII, and a style."""


@app.command()
def doctor(json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False) -> None:
    """Look at source, circuit, database, disk, captures, names, quarantine, publication; exit code 1 if any is bad."""
    from deployments.stack.health import look_at_services
    from sec_core.clock import SystemClock
    from sec_core.health.facts import find_facts
    from sec_core.health.verdict import judge
    from sec_core.log import setup_logging

    settings = load_settings()
    setup_logging(settings.logs_dir, level="WARNING")
    services = look_at_services(settings)
    facts = asyncio.run(
        stoppable(find_facts(settings, SystemClock(), monitored=services.monitored, services=services.checks))
    )
    verdict = judge(facts)
    if json:
        sys.stdout.write(jsonlib.dumps(_as_json(verdict), indent=2) + "\n")
    else:
        _show(verdict)
    if verdict.troubles:
        names = ", ".join(check.name for check in verdict.troubles)
        say(f"sec: not well: {names}. {verdict.troubles[0].next_step}", err=True)
        raise typer.Exit(1)


def _as_json(verdict: Verdict) -> dict[str, object]:
    checks = [asdict(check) for check in verdict.checks]
    return {"at": verdict.at.isoformat(), "verdict": verdict.level.value, "checks": checks}


def _show(verdict: Verdict) -> None:
    from rich.table import Table
    from rich.text import Text

    from deployments.cli.show import Terminal
    from sec_core.text import for_line

    terminal = Terminal()
    table = Table(box=None, show_header=False, padding=(0, 1))
    for check in verdict.checks:
        mark, plain, style = _STYLES[check.level.value]
        found = Text(for_line(check.text))
        if check.next_step and check.level.value != "good":
            found.append(f"\n{for_line(check.next_step)}", style="dim")
        table.add_row(Text(plain if terminal.options.ascii_only else mark, style=style), check.name, found)
    terminal.print_table(table)
