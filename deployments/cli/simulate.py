"""The simulated SEC: `sec simulate` serves it on loopback, `sec demo` takes a month of storm through the pipeline."""

import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import Annotated

from typer import Option

from deployments.cli.app import app, say
from deployments.cli.runs import work_on
from sec_core.errors import InputError
from sec_core.hours import CHILE, Month

DEMO_MONTH = "2025-08"
_MARKER = ".sec-demo"
_UNSET = ("SEC_DATABASE_URL", "SEC_SITE_TARGET", "SUPABASE_URL", "SUPABASE_KEY")


@app.command()
def simulate(
    port: Annotated[int, Option(min=0, max=65_535, help="TCP port; 0 takes a free one.")] = 8017,
    captures: Annotated[
        Path | None, Option(help="Replay captured files of this folder instead of a made-up world.")
    ] = None,
    shape: Annotated[str, Option(help="Shape of the answers: detailed or aggregated.")] = "detailed",
    switch: Annotated[str | None, Option(metavar="YYYY-MM-DD", help="Hours from this day on are aggregated.")] = None,
    storm: Annotated[
        list[str] | None, Option(metavar="YYYY-MM", help="A great storm in this month; repeatable.")
    ] = None,
    seed: Annotated[int, Option(help="Which world.")] = 1,
    small: Annotated[bool, Option("--small", help="A dozen comunas instead of the whole country.")] = False,
    fault: Annotated[
        list[str] | None, Option(metavar="KIND[,NAME=VALUE]", help="Something that goes wrong; repeatable.")
    ] = None,
    latency: Annotated[float, Option(min=0, help="Seconds before every answer.")] = 0,
    ban_above: Annotated[float | None, Option(min=0.1, help="Ban who sends more requests a second than this.")] = None,
    revised: Annotated[
        float, Option(min=0, max=1, help="Share of hours that are corrected after their first answer.")
    ] = 0,
    now: Annotated[
        str | None, Option(metavar="YYYY-MM-DDTHH:MM", help="The source's clock stands still here (Chile).")
    ] = None,
    log: Annotated[Path | None, Option(help="A file that gets a line of JSON for each request.")] = None,
) -> None:
    """Serve a simulated SEC on loopback until Ctrl-C; use it with SEC_BASE_URL.

    Faults are status, drop, drop_mid_body, slow, html, empty, collapsed, renamed_key, missing_key, new_key, wrong_type,
    oversize, endless, nested, bad_utf8 and truncated, with conditions such as rate=0.1, attempts=1..2 or
    hours=2024-08-01T00..2024-08-01T05. Example: --fault status,rate=0.05,status=429,retry_after_s=2
    """
    from pydantic import ValidationError

    from sec_core.simulator.faults import Ban, FaultOptions, FaultRule
    from sec_core.simulator.options import Revisions, SimulatorOptions, Storm, WorldOptions
    from sec_core.simulator.server import Simulator

    world = {"seed": seed, "storms": tuple(Storm.in_month(Month.parse(month)) for month in storm or ())}
    try:
        options = SimulatorOptions.model_validate(
            {
                "world": WorldOptions.tiny(**world) if small else WorldOptions.model_validate(world),
                "captures": captures,
                "shape": shape,
                "switch_hour": _chile(switch, "--switch") if switch else None,
                "revisions": Revisions(share=revised, after_asks=1 if revised else None),
                "faults": FaultOptions(
                    seed=seed,
                    rules=tuple(FaultRule.parse(text) for text in fault or ()),
                    latency_s=latency,
                    ban=Ban(max_rate=ban_above) if ban_above else None,
                ),
                "now": _chile(now, "--now") if now else None,
                "log_path": log,
            }
        )
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise InputError(
            f"The simulator can't be set up: {problems}.", next_step="See `sec simulate --help`."
        ) from None

    def tell(url: str) -> None:
        say(f"A simulated SEC listens. Use it with SEC_BASE_URL={url} and stop it with Ctrl-C.")

    Simulator(options, port=port).serve(tell)


def _chile(text: str, option: str) -> datetime:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=CHILE)
    except ValueError:
        raise InputError(
            f"{option} {text!r} is no date.", next_step="Write it as YYYY-MM-DD or YYYY-MM-DDTHH:MM."
        ) from None


@app.command()
def demo(
    folder: Annotated[Path, Option(help="The demo's own data folder, made anew each time.")] = Path("demo-data"),
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
