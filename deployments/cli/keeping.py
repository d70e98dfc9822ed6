"""Commands that keep what is there: the ledger, the older dataset, cold storage, retention, names."""

from pathlib import Path
from typing import Annotated

import typer

from deployments.cli.app import app, opened, say
from sec_core.errors import IncompleteError
from sec_core.hours import CHILE

ledger_app = typer.Typer(help="The ledger of hours.", no_args_is_help=True)
app.add_typer(ledger_app, name="ledger")


@ledger_app.command("rebuild")
def ledger_rebuild() -> None:
    """Make the ledger anew from the files of Bronze."""
    with opened() as adapters:
        report = adapters.ledger.rebuild()
    say(f"The ledger knows {sum(report.hours.values()):,} hours of {len(report.hours)} months.")
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
        f"{report.points:,} points: {report.imported:,} imported with {report.rows:,} rows, "
        f"{report.held:,} held already, {report.empty:,} without data, "
        f"{report.unsuccessful:,} failed at the time, {report.quarantined:,} in quarantine."
    )
    if report.both_shapes:
        differing = len(report.differing)
        say(f"{report.both_shapes:,} hours are held in both shapes; the totals of {differing:,} of them differ.")
    if report.imported:
        say("Load them with `sec reprocess --from YYYY-MM --to YYYY-MM`.")
    if report.without_hour:
        raise IncompleteError(
            f"{report.without_hour} points don't tell their hour, for example {'; '.join(report.examples[:2])}.",
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
        share = report.sealed_bytes / max(report.raw_bytes, 1)
        say(f"{each}: {report.bodies:,} bodies in {report.sealed_bytes:,} bytes ({share:.1%} of what was received).")
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
        say(f"{len(report.months)} months with {report.rows:,} observations moved to {adapters.settings.archive}.")


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
