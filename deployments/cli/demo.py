"""`sec demo`: a simulated storm month through the whole pipeline, offline, in a folder and database of its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated

import typer

from deployments.cli.app import app, say
from deployments.cli.runs import work_on
from sec_core.errors import InputError
from sec_core.hours import Month

DEMO_MONTH = "2025-08"
_MARKER = ".sec-demo"
_UNSET = ("SEC_DATABASE_URL", "SEC_SITE_TARGET", "SUPABASE_URL", "SUPABASE_KEY")


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="The demo's own data folder, made anew each time.")] = Path("demo-data"),
) -> None:
    """A simulated storm month through the whole pipeline: offline, nothing of yours is touched."""
    from sec_core.db import embedded
    from sec_core.simulator.options import WorldOptions
    from sec_core.simulator.server import Simulator

    place = folder.absolute()
    _clear(place)
    month = Month.parse(DEMO_MONTH)
    say(f"A simulated SEC serves {month}, a month with a great storm. None of its figures are real.")
    try:
        with Simulator(world=WorldOptions.storm_month(month)) as source:
            _point_settings_at(place, source.url)
            work_on("sync_month", "monthly_sync", prefect=True, month=DEMO_MONTH, wait_for_circuit=False)
    finally:
        embedded.stop(place / "postgres")
    gold = folder / "gold"
    say("Look at:")
    say(f"  {gold / 'site' / 'index.html'}  the figures, drawn: open it in a browser")
    say(f"  {gold / 'dashboard_stats'}  the dashboard's payloads, one JSON file each")
    say(f"  {gold / 'golden_interrupciones.parquet'}  every event, for research")
    say(f"  {folder / 'bronze'}  what the source said, byte for byte")
    say(f"  SEC_DATA_DIR={folder} sec status --month {DEMO_MONTH}  the month as a calendar of hours")


def _clear(place: Path) -> None:
    """Remove an earlier demo; refuse any other folder that holds something."""
    from sec_core.db import embedded

    if place.exists():
        if not (place / _MARKER).is_file() and any(place.iterdir()):
            raise InputError(f"{place} holds something that is not a demo.", next_step="Name another --folder.")
        embedded.stop(place / "postgres")
        shutil.rmtree(place)
    place.mkdir(parents=True)
    (place / _MARKER).touch()


def _point_settings_at(place: Path, url: str) -> None:
    """Let this process and its children see the demo's own settings, whatever the environment and `.env` say."""
    os.environ.pop("PREFECT_API_URL", None)
    os.environ |= {
        # Empty counts as not set, and wins over .env.
        **dict.fromkeys(_UNSET, ""),
        "SEC_DATA_DIR": str(place),
        "SEC_STATE_DIR": str(place),
        "SEC_BASE_URL": url,
        # The simulator is ours and patient.
        "SEC_MAX_CONCURRENCY": "16",
        "SEC_MAX_RATE": "1000",
        "PREFECT_HOME": str(place / "prefect"),
    }
