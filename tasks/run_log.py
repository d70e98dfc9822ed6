"""Bridges loguru to Prefect's run logs.

loguru does not pass through the standard library's logging, so Prefect would not see the pipeline's lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger

from sec_core.log import setup_logging

if TYPE_CHECKING:
    from loguru import Message

    from sec_core.config import Settings

_state = {"ready": False}


def prefect_sink(message: Message) -> None:
    """Write a record to the log of the flow or task run under way; outside of any run, do nothing."""
    record = message.record
    try:
        run_logger = get_run_logger()
    except MissingContextError:
        return
    extra = record["extra"]
    head = f"[{extra.get('stage', 'run')}]"
    run_logger.log(record["level"].no, "%s %s%s", head, record["message"], extra.get("tail", ""))


def ensure_logging(settings: Settings) -> None:
    """Set logging up in a process that a worker started; keep what a command has set up already."""
    if not _state["ready"]:
        setup_logging(settings.logs_dir, terminal=None, extra_sinks=(prefect_sink,))
        _state["ready"] = True


def logging_is_set_up() -> None:
    """Say that this process has its sinks, `prefect_sink` among them."""
    _state["ready"] = True
