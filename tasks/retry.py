"""Which failures of a task are worth another try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sec_core.errors import CircuitOpen, SecError

if TYPE_CHECKING:
    from prefect import Task
    from prefect.client.schemas.objects import State, TaskRun


async def worth_another_try(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed task may succeed by itself: its error says so.

    An open circuit is transient too, but waiting for it is the flow's business: it lasts half an hour.
    """
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, SecError) and error.transient and not isinstance(error, CircuitOpen)
