"""`sec circuit`: whether the source is left alone, and closing the circuit by hand."""

from __future__ import annotations

import asyncio
import getpass
from typing import Annotated

import typer

from deployments.cli.app import app, say
from deployments.cli.running import opened

circuit_app = typer.Typer(help="Whether the source is left alone, and until when.", invoke_without_command=True)
app.add_typer(circuit_app, name="circuit")


@circuit_app.callback()
def circuit(context: typer.Context) -> None:
    """Show the circuit: its state, failures in a row, when it reopens."""
    if context.invoked_subcommand is None:
        from sec_core.usecases.circuit import describe_circuit

        with opened() as adapters:
            say(asyncio.run(describe_circuit(adapters)))


@circuit_app.command("close")
def close(
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the log.")],
    who: Annotated[str | None, typer.Option("--who", help="Who closes it; else the system's user.")] = None,
) -> None:
    """Close the circuit before its time, for instance because the SEC says that it is back."""
    from sec_core.usecases.circuit import close_circuit

    with opened() as adapters:
        say(asyncio.run(close_circuit(adapters, who or getpass.getuser(), why)))
