"""Commands about Gold besides building it: SEIA projects and the report page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deployments.cli.app import app
from sec_core.config import load_settings
from sec_core.errors import InputError


@app.command()
def seia(
    file: Annotated[Path, typer.Argument(help="The SEIA site's Excel export, or its older CSV.", dir_okay=False)],
) -> None:
    """Take in the list of electrical projects; rows that are left out are listed with the reason."""
    from sec_core.db.database import open_database  # noqa: PLC0415
    from sec_core.gold.seia.load import load_seia  # noqa: PLC0415

    database = open_database(load_settings())
    try:
        report = load_seia(database, file)
    finally:
        database.dispose()
    for row in report.rejected:
        typer.echo(f"left out: row {row.row}, {row.name or '(no name)'}: {row.reason}")
    typer.echo(
        f"{report.projects:,} electricity projects, {report.spanning:,} of them in several regions, "
        f"{report.without_investment:,} without an amount; {len(report.rejected):,} rows left out. "
        "`sec gold` brings the payloads up to date."
    )


@app.command()
def report(
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Where the report page lies; drawn by `sec gold` and every `sec sync`."""
    page = load_settings().gold_dir / "report" / "index.html"
    if not page.is_file():
        raise InputError("There is no report yet.", next_step="`sec gold` draws it from what PostgreSQL holds.")
    typer.echo(str(page))
    if show:
        typer.launch(page.as_uri())
