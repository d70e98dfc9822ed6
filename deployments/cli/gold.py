"""Commands about Gold besides building it: SEIA projects and the report page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deployments.cli.app import app
from sec_core.blobs.open import open_blobs
from sec_core.config import load_settings
from sec_core.errors import InputError

REPORT_PAGE = "report/index.html"


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
    """Where the report page lies; drawn by `sec gold` and every `sec sync`. From an object store, --open fetches it."""
    settings = load_settings()
    gold = open_blobs(settings.gold)
    if not gold.exists(REPORT_PAGE):
        raise InputError("There is no report yet.", next_step="`sec gold` draws it from what PostgreSQL holds.")
    typer.echo(str(settings.gold / REPORT_PAGE))
    if show:
        page = gold.source(REPORT_PAGE)
        if not isinstance(page, Path):
            copy = settings.state / "report.html"
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(page.read())
            page = copy
        typer.launch(page.as_uri())
