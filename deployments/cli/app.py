"""The Typer application that the modules beside this one add their commands to, and how they speak."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Annotated

import typer

from sec_core.text import for_line

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

app = typer.Typer(
    name="sec",
    help="Chile's power-outage data: captured politely, kept byte for byte, published honestly.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


@app.callback()
def sec(context: typer.Context) -> None:
    """Chile's power-outage data: captured politely, kept byte for byte, published honestly."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def say(text: object, *, err: bool = False) -> None:
    """Write a line for a person, whatever names and errors it holds."""
    # Not `typer.echo`: it writes UTF-8 where a person has asked for ASCII.
    (sys.stderr if err else sys.stdout).write(f"{for_line(text)}\n")


def say_json(result: object) -> None:
    """Write a result for a program; instants are in ISO's form."""
    sys.stdout.write(json.dumps(result, indent=2, default=datetime.isoformat) + "\n")
