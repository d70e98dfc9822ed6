"""Running a flow from the command line: logging, a Prefect API to record it in, and progress in the terminal."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console

from deployments.stack.api import prepare_environment
from deployments.stack.server import prefect_api
from sec_core.db.database import address_of
from sec_core.log import setup_logging

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from loguru import Message

    from sec_core.config import Settings

T = TypeVar("T")


def run_flow(settings: Settings, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a flow to its end in this process.

    Args:
        settings: Settings of the run.
        make: Imports the flow and calls it. It is called when Prefect may be imported.

    Returns:
        What the flow returns.

    Raises:
        SecError: As the flow raises it.
    """
    console = Console(stderr=True)
    # Prefect would print the traces of errors, which this command tells in one line; its logs and the UI have them.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    prepare_environment(settings)
    with prefect_api(settings, address_of(settings)):
        from deployments.cli.show import live_progress  # noqa: PLC0415 - imports Prefect
        from tasks.run_log import logging_is_set_up, prefect_sink  # noqa: PLC0415

        def to_console(message: Message) -> None:
            console.print(str(message), end="", markup=False, highlight=False, soft_wrap=True)

        setup_logging(settings.logs_dir, terminal=to_console, extra_sinks=(prefect_sink,))
        logging_is_set_up()
        with live_progress(console):
            return asyncio.run(make())
