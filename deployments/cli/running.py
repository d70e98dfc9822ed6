"""How a command does its work: by calling a use case, or by running its flow where a stack records it."""

from __future__ import annotations

import asyncio
import os
import pkgutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from deployments.cli.ending import stoppable
from sec_core.config import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from deployments.cli.show import Terminal
    from sec_core.config import Settings
    from sec_core.usecases.adapters import Adapters

T = TypeVar("T")

PrefectOption = Annotated[
    bool | None,
    typer.Option(
        "--prefect/--local", help="Run it in Prefect, or call it directly. Without: in Prefect if a stack is up."
    ),
]


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
    from deployments.stack.server import prefect_api

    # Prefect would print the traces of errors, which this command tells in one line; its logs and the UI have them.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    with prefect_api(settings, api):
        # Prefect reads its environment when it is imported.
        from prefect import tags

        from sec_core.log import setup_logging
        from tasks.runtime import logging_is_set_up, prefect_sink

        setup_logging(settings.logs_dir, terminal=console.take, extra_sinks=(prefect_sink,))
        logging_is_set_up()
        work = pkgutil.resolve_name(flow)
        with live_progress(console), tags("months" if flow.startswith("flows.months:") else "upkeep"):
            return asyncio.run(stoppable(work(**parameters)))
