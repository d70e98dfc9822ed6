"""News of a run for whoever shows it: the terminal, or an artifact in the Prefect UI."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, slots=True)
class Step:
    """One piece of news.

    Attributes:
        stage: capture, load, gold or publish.
        month: The month at work as `YYYY-MM`, or an empty string.
        total: Units of work in this stage, where known; for capture, hours to ask for.
        done: Units done since the last piece of news.
        label: What became of them, such as a state of an hour.
    """

    stage: str
    month: str = ""
    total: int | None = None
    done: int = 0
    label: str = ""


_listeners: list[Callable[[Step], None]] = []


def report(step: Step) -> None:
    """Tell every listener."""
    for listener in tuple(_listeners):
        listener(step)


@contextmanager
def listening(listener: Callable[[Step], None]) -> Iterator[None]:
    """Tell `listener` of every step inside the block."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
