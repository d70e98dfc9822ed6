"""What flows have in common: their runs are named with date and hour, and say plainly how they failed.

An error ends a run with a state of ours instead of Prefect's: no trace in the log that people read.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import wraps
from typing import Annotated, Any, ParamSpec, TypeVar, cast

import prefect
from loguru import logger
from prefect.runtime import flow_run
from prefect.states import Failed
from pydantic import Field

from flows.artifacts import at_work
from sec_core.clock import CHILE
from sec_core.errors import CircuitOpen, ConfigError, IncompleteError, InputError, SecError, UnexpectedBody
from sec_core.log import log_name
from sec_core.text import for_line

P = ParamSpec("P")
R = TypeVar("R")

_STEPS: tuple[tuple[type[SecError], str], ...] = (
    (IncompleteError, "press Retry, or run rerun-month: only what is missing is asked for."),
    (CircuitOpen, "press Retry after that time; what was captured is kept."),
    (UnexpectedBody, "see the artifacts of this run; run reprocess when the code knows the new shape."),
    (ConfigError, "press Retry when it is corrected."),
    (InputError, "start another run with other values: Run, Custom run."),
)

OtherSource = Annotated[bool, Field(title="Publish data that is not the SEC's")]


def flow(
    *,
    name: str,
    flow_run_name: str | Callable[[], str] | None = None,
    around: Callable[[], AbstractAsyncContextManager[None]] = at_work,
    on_cancellation: list[Any] | None = None,
) -> Callable[[Callable[P, R]], prefect.Flow[P, R]]:
    """Prefect's `flow`, for a coroutine function whose runs are named and end as this module says.

    Args:
        name: Its name.
        flow_run_name: What its runs are named, with parameters in braces; as the flow unless given.
        around: In which each run does its work; unless given with adapters, its steps as tasks, and bars in the UI.
        on_cancellation: As Prefect has it.
    """

    def named() -> str:
        about = flow_run_name() if callable(flow_run_name) else (flow_run_name or name).format(**flow_run.parameters)
        return f"{about} ({datetime.now(CHILE):%Y-%m-%d %H:%M})"

    def decorate(work: Callable[P, R]) -> prefect.Flow[P, R]:
        @wraps(work)
        async def told(*arguments: P.args, **chosen: P.kwargs) -> Any:  # noqa: ANN401 - as the flow returns
            try:
                async with around():
                    return await cast("Awaitable[Any]", work(*arguments, **chosen))
            except Exception as error:  # noqa: BLE001 - the run ends here, whatever it was
                return Failed(message=failure_text(error), data=error)

        options: dict[str, Any] = {"persist_result": False, "on_cancellation": on_cancellation}
        made: Any = prefect.flow(name=name, flow_run_name=named, **options)(told)
        return cast("prefect.Flow[P, R]", made)

    return decorate


def failure_text(error: Exception) -> str:
    """What happened, what to do in the UI, then the command and where the trace is, which this writes to the log."""
    logger.bind(stage="run", code=getattr(error, "code", "unexpected")).opt(exception=error).debug("The run failed")
    trace = f"The trace is in SEC_STATE_DIR/logs/{log_name(datetime.now(UTC))}."
    if not isinstance(error, SecError):
        return for_line(
            f"Something unexpected went wrong: {type(error).__name__}: {error}. In the UI: press Retry; what was "
            f"captured is kept. {trace} If it happens again, please report it with the trace."
        )
    again = "press Retry; what was captured is kept." if error.transient else "press Retry when its cause is mended."
    step = next((text for kind, text in _STEPS if isinstance(error, kind)), again)
    command = f" On the command line: {error.next_step}" if error.next_step else ""
    return for_line(f"{error.message} In the UI: {step}{command} {'' if isinstance(error, IncompleteError) else trace}")
