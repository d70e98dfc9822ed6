"""Commands that say what is known and keep it: every hour, the whole installation, the circuit, cold storage, names."""

import asyncio
import getpass
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from deployments.cli.app import JsonOption, app, logged_settings, opened, say, say_json
from deployments.cli.ending import stoppable
from sec_core.config import load_settings
from sec_core.errors import IncompleteError
from sec_core.hours import CHILE, Month
from sec_core.text import counted

circuit_app = typer.Typer(help="Whether the source is left alone, and until when.", invoke_without_command=True)
app.add_typer(circuit_app, name="circuit")
ledger_app = typer.Typer(help="The ledger of hours.", no_args_is_help=True)
app.add_typer(ledger_app, name="ledger")


@app.command()
def status(
    month: Annotated[str | None, typer.Option(metavar="YYYY-MM", help="Show the month's hours.")] = None,
    json: JsonOption = False,
) -> None:
    """Hours expected, captured, empty, failed and in quarantine: all months, or the hours of one."""
    from sec_core.usecases.adapters import open_adapters

    chosen = Month.parse(month) if month else None
    with open_adapters(load_settings()) as adapters:
        ledger = adapters.ledger
        summaries = ledger.month_summary([chosen] if chosen else ledger.months(), adapters.clock.now())
        states = ledger.states(chosen) if chosen else {}
    if json:
        months = [asdict(each) | {"month": str(each.month), "complete": each.complete} for each in summaries]
        answer: dict[str, object] = {"months": months}
        if chosen:
            answer["hours"] = {hour.isoformat(): state.value for hour, state in states.items()}
        say_json(answer)
        return
    from deployments.cli.show import print_calendar, print_months

    print_months(summaries)
    if chosen:
        print_calendar(chosen, states)
    elif not summaries:
        say("Nothing is captured yet. `sec sync --month YYYY-MM` captures a month.")


@app.command()
def doctor(json: JsonOption = False) -> None:
    """Look at source, circuit, database, disk, captures, names, quarantine, publication; exit code 1 if any is bad."""
    from deployments.stack.api import look_at_services
    from sec_core.clock import SystemClock
    from sec_core.health.facts import find_facts
    from sec_core.health.verdict import judge

    settings = logged_settings("WARNING")
    services, monitored = look_at_services(settings)
    facts = find_facts(settings, SystemClock(), monitored=monitored, services=(services,))
    verdict = judge(asyncio.run(stoppable(facts)))
    if json:
        say_json({"at": verdict.at, "verdict": verdict.level, "checks": [asdict(check) for check in verdict.checks]})
    else:
        from deployments.cli.show import print_verdict

        print_verdict(verdict)
    if verdict.troubles:
        names = ", ".join(check.name for check in verdict.troubles)
        say(f"sec: not well: {names}. {verdict.troubles[0].next_step}", err=True)
        raise typer.Exit(1)


@circuit_app.callback()
def circuit(context: typer.Context) -> None:
    """Show the circuit: its state, failures in a row, when it reopens."""
    if context.invoked_subcommand is None:
        from sec_core.usecases.upkeep import describe_circuit

        with opened() as adapters:
            say(asyncio.run(describe_circuit(adapters)))


@circuit_app.command("close")
def close(
    why: Annotated[str, typer.Option(metavar="TEXT", help="The reason, for the log.")],
    who: Annotated[str | None, typer.Option(help="Who closes it; else the system's user.")] = None,
) -> None:
    """Close the circuit before its time, for instance because the SEC says that it is back."""
    from sec_core.usecases.upkeep import close_circuit

    with opened() as adapters:
        say(asyncio.run(close_circuit(adapters, who or getpass.getuser(), why)))


@ledger_app.command("rebuild")
def ledger_rebuild() -> None:
    """Make the ledger anew from the files of Bronze."""
    with opened() as adapters:
        report = adapters.ledger.rebuild()
    say(f"The ledger knows {counted(sum(report.hours.values()), 'hour')} of {counted(len(report.hours), 'month')}.")
    if report.moved:
        say(
            f"{report.moved:,} journal lines had instants of another time zone database and follow their wall clock "
            "now: run `sec reprocess` for their months."
        )
    for problem in report.passed_over:
        say(f"Passed over: {problem}", err=True)


@app.command("import-legacy")
def import_legacy(
    file: Annotated[Path, typer.Argument(help="The older scraper's JSON, of all years or of one.", dir_okay=False)],
) -> None:
    """Take the team's older dataset into Bronze as detailed captures; stop it at any time and run it again."""
    from rich.progress import Progress

    from deployments.cli.show import Terminal
    from sec_core.bronze.legacy import import_legacy as take_in

    size = file.stat().st_size if file.is_file() else 0
    with opened() as adapters, Progress(console=Terminal(stderr=True)) as progress:
        bar = progress.add_task("importing", total=size)
        report = take_in(file, adapters.ledger, on_points=lambda _points, read: progress.update(bar, completed=read))
        progress.update(bar, completed=size)
    say(
        f"{counted(report.points, 'point')}: {report.imported:,} imported with {counted(report.rows, 'row')}, "
        f"{report.held:,} held already, {report.empty:,} without data, "
        f"{report.unsuccessful:,} failed at the time, {report.quarantined:,} in quarantine."
    )
    if report.both_shapes:
        held = counted(report.both_shapes, "hour is", "hours are")
        say(f"{held} held in both shapes; the totals of {len(report.differing):,} differ.")
    if report.imported:
        say("Load them with `sec reprocess --from YYYY-MM --to YYYY-MM`.")
    if report.without_hour:
        without = counted(report.without_hour, "point doesn't tell its hour", "points don't tell their hour")
        raise IncompleteError(
            f"{without}, for example {'; '.join(report.examples[:2])}.",
            next_step="All others were taken in.",
        )


@app.command()
def seal(
    month: Annotated[
        str | None, typer.Option(metavar="YYYY-MM", help="The month; without it, every month that can be sealed.")
    ] = None,
) -> None:
    """Pack closed, complete months into one Parquet file each, verified before the loose files go."""
    from sec_core.usecases.upkeep import seal_ready

    with opened() as adapters:
        packed = seal_ready(adapters, month)
    for each, report in packed.items():
        if report is None:
            say(f"{each}: nothing to pack.")
            continue
        share, bodies = report.sealed_bytes / max(report.raw_bytes, 1), counted(report.bodies, "body", "bodies")
        say(f"{each}: {bodies} in {report.sealed_bytes:,} bytes ({share:.1%} of what was received).")
    if not packed:
        say("No month is closed, complete and settled yet.")


@app.command()
def retention(
    days: Annotated[int | None, typer.Option(help="Days to keep in PostgreSQL; else SEC_RETENTION_DAYS.")] = None,
) -> None:
    """Move old observations from PostgreSQL to the archive, verified before they are dropped; events stay."""
    from sec_core.usecases.upkeep import apply_retention

    with opened() as adapters:
        report = apply_retention(adapters.database, adapters.settings, keep_days=days)
    if report.kept_days is None:
        say("Everything is kept: SEC_RETENTION_DAYS is not set.")
    else:
        moved = f"{counted(len(report.months), 'month')} with {counted(report.rows, 'observation')}"
        say(f"{moved} moved to {adapters.settings.archive}.")


@app.command()
def names() -> None:
    """Spellings that resolve to no comuna or company, with the nearest known name as a suggestion."""
    from deployments.cli.show import print_table
    from sec_core.silver.reports import unresolved_names

    with opened() as adapters:
        found = unresolved_names(adapters.database)
    if not found:
        say("Every name resolves.")
        return
    rows = []
    for each in found:
        nearest = f"{each.suggestion} ({each.similarity:.0f})" if each.suggestion else ""
        seen = f"{each.example.astimezone(CHILE):%Y-%m-%d %Hh}"
        spelled = (each.region or "(blank)", each.name or "(blank)")
        rows.append(((each.kind, *spelled, each.rows, each.hours, seen, nearest), False))
    print_table(("kind", "region", "name", "rows", "hours", "first seen (Chile)", "nearest known"), rows)
    say("Suggestions are never applied by themselves: add an alias in sec_core/reference, then `sec reprocess`.")
