"""Commands for the services on this machine."""

from __future__ import annotations

import typer

from deployments.cli.app import app
from sec_core.config import load_settings


@app.command()
def down() -> None:
    """Stop what runs in the background for this data folder; data and history stay."""
    from sec_core.db import embedded  # noqa: PLC0415

    settings = load_settings()
    stopped = embedded.stop(settings.postgres_dir)
    typer.echo("PostgreSQL is stopped." if stopped else "Nothing was running.")
