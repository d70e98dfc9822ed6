"""What the tasks of one run share: adapters, found here since parameters must be plain for Prefect to show and hash."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from loguru import logger
from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from sec_core.clock import Clock
from sec_core.config import Settings, load_settings
from sec_core.errors import CircuitOpen, SecError
from sec_core.log import setup_logging
from sec_core.usecases.adapters import Adapters, Steps, open_adapters
from tasks.limits import AT_REST

if TYPE_CHECKING:
    from loguru import Message

_current: ContextVar[Adapters] = ContextVar("sec_adapters")
_logging = {"ready": False}
# States of tasks of which the run says all that is to be said.
_NO_NEWS = ("Completed", "Cached", AT_REST)


async def worth_another_try(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed task may succeed by itself: its error says so.

    An open circuit is transient too, but it lasts half an hour: waiting for it is the use case's business.
    """
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, SecError) and error.transient and not isinstance(error, CircuitOpen)


RETRIED: dict[str, Any] = {"retry_condition_fn": worth_another_try}
# The ledger and Silver know better than a cache what is settled.
PLAIN = {**RETRIED, "cache_policy": NO_CACHE, "persist_result": False}


def adapters() -> Adapters:
    """The adapters of the run that the caller belongs to; LookupError outside `open_run`."""
    return _current.get()


@contextmanager
def open_run(
    settings: Settings | None = None, clock: Clock | None = None, steps: Steps | None = None
) -> Iterator[Adapters]:
    """Open the adapters of a run and make them `adapters()`; a run inside a run shares those of the outer one.

    Args:
        settings: Where everything is; those of the environment unless given.
        clock: Stands in for the machine's clock in tests.
        steps: How the run takes its steps; plain calls unless given.
    """
    if (outer := _current.get(None)) is not None:
        outer.steps = steps or outer.steps
        yield outer
        return
    settings = settings or load_settings()
    ensure_logging(settings)
    with open_adapters(settings, clock, flow_run.get_name() or "") as opened:
        opened.steps = steps or opened.steps
        token = _current.set(opened)
        try:
            yield opened
        finally:
            _current.reset(token)


def prefect_sink(message: "Message") -> None:
    """Write a loguru record to the log of the flow or task run under way; outside of any run, do nothing."""
    record = message.record
    try:
        run_logger = get_run_logger()
    except MissingContextError:
        return
    extra = record["extra"]
    run_logger.log(record["level"].no, "[%s] %s%s", extra.get("stage", "run"), record["message"], extra.get("tail", ""))


def ensure_logging(settings: Settings, terminal: Callable[[object], None] | None = None) -> None:
    """Set logging up, `prefect_sink` with it; without a terminal, in a process that a worker started, once."""
    if terminal is None and _logging["ready"]:
        return
    setup_logging(settings.logs_dir, terminal=terminal, extra_sinks=(prefect_sink,))
    _logging["ready"] = True
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(_for_people)


def _for_people(record: logging.LogRecord) -> bool:
    """Whether a line of Prefect's goes to the log in the UI: traces go to the file, what is no news to neither."""
    if record.exc_info and record.exc_info[1]:
        logger.bind(stage="run", code="trace").opt(exception=record.exc_info[1]).debug("{}", record.getMessage())
        return False
    ended = record.getMessage().partition("Finished in state ")[2]
    return record.name != "prefect.task_runs" or not ended.startswith(_NO_NEWS)
