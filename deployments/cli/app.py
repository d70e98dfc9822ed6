"""The Typer application that the modules beside this one add their commands to: how they speak and do their work.

A command calls a use case, or runs its flow where a stack records it.
"""

from __future__ import annotations

import asyncio
import json
import os
import pkgutil
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from deployments.cli.ending import stoppable
from sec_core.config import Settings, load_settings
from sec_core.text import for_line

if TYPE_CHECKING:
    from deployments.cli.show import Terminal
    from sec_core.usecases.adapters import Adapters

T = TypeVar("T")

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
PrefectOption = Annotated[
    bool | None,
    typer.Option(
        "--prefect/--local", help="Run it in Prefect, or call it directly. Without: in Prefect if a stack is up."
    ),
]

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


def logged_settings(level: str = "INFO") -> Settings:
    """The settings, with the log of this level and above on standard error from now on."""
    from sec_core.log import setup_logging

    settings = load_settings()
    setup_logging(settings.logs_dir, level=level)
    return settings


@contextmanager
def opened() -> Iterator[Adapters]:
    """Adapters for a command that needs no flow."""
    from sec_core.usecases.adapters import open_adapters

    with open_adapters(logged_settings()) as adapters:
        yield adapters


def run(use_case: Callable[..., Coroutine[Any, Any, T]], flow: str, prefect: bool | None, **parameters: object) -> T:
    """Do what a person asked for, with progress in the terminal.

    Args:
        use_case: Takes adapters and the parameters.
        flow: Module and name of the flow that takes the same parameters, as `flows.months:load`.
        prefect: Whether to run the flow; None if a stack that is up decides.
        parameters: What the person chose.

    Raises:
        SecError: As the use case raises it.
    """
    from deployments.cli.show import Terminal, live_progress
    from sec_core.log import setup_logging
    from sec_core.usecases.adapters import open_adapters

    settings = load_settings()
    console = Terminal(stderr=True)
    setup_logging(settings.logs_dir, terminal=console.take)
    api = None if prefect is False else _stack(settings)
    if prefect or api is not None:
        result: T = _run_flow(settings, api, console, flow, parameters)
        return result
    with open_adapters(settings) as adapters, live_progress(console):
        return asyncio.run(stoppable(use_case(adapters, **parameters)))


def _stack(settings: Settings) -> str | None:
    """Address of the Prefect API of the stack that is up."""
    # Nearly always there is none, and finding out properly costs a quarter of a second of imports.
    if not os.environ.get("PREFECT_API_URL") and not settings.run_dir.exists():
        return None
    from deployments.stack.api import running_api

    return running_api(settings)


def _run_flow(settings: Settings, api: str | None, console: Terminal, flow: str, parameters: dict[str, Any]) -> Any:  # noqa: ANN401 - as the flow returns
    from deployments.cli.show import live_progress
    from deployments.stack.services import prefect_api

    # Prefect would print the traces of errors, which this command tells in one line; its logs and the UI have them.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    with prefect_api(settings, api):
        # Prefect reads its environment when it is imported.
        from prefect import tags

        from tasks.runtime import ensure_logging

        ensure_logging(settings, console.take)
        work = pkgutil.resolve_name(flow)
        with live_progress(console), tags("months" if flow.startswith("flows.months:") else "upkeep"):
            return asyncio.run(stoppable(work(**parameters)))
