"""`sec simulate`: a server on loopback that speaks the SEC's API."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from deployments.cli.app import app, say
from sec_core.errors import InputError
from sec_core.hours import CHILE, Month


@app.command()
def simulate(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="TCP port; 0 takes a free one.")] = 8017,
    captures: Annotated[
        Path | None, typer.Option(help="Replay captured files of this folder instead of a made-up world.")
    ] = None,
    shape: Annotated[str, typer.Option(help="Shape of the answers: detailed or aggregated.")] = "detailed",
    switch: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="Hours from this day on are aggregated.")
    ] = None,
    storm: Annotated[
        list[str] | None, typer.Option(metavar="YYYY-MM", help="A great storm in this month; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Which world.")] = 1,
    small: Annotated[bool, typer.Option("--small", help="A dozen comunas instead of the whole country.")] = False,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="KIND[,NAME=VALUE]", help="Something that goes wrong; repeatable.")
    ] = None,
    latency: Annotated[float, typer.Option(min=0, help="Seconds before every answer.")] = 0,
    ban_above: Annotated[
        float | None, typer.Option(min=0.1, help="Ban who sends more requests a second than this.")
    ] = None,
    revised: Annotated[
        float, typer.Option(min=0, max=1, help="Share of hours that are corrected after their first answer.")
    ] = 0,
    now: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DDTHH:MM", help="The source's clock stands still here (Chile).")
    ] = None,
    log: Annotated[Path | None, typer.Option(help="A file that gets a line of JSON for each request.")] = None,
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
