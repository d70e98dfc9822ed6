"""News of a run for whoever shows it: the terminal, or artifacts in the Prefect UI."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, TypeVar, cast

from sec_core.errors import CircuitOpen, SecError, UnexpectedBody

Item = TypeVar("Item")
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """One piece of news.

    Attributes:
        stage: capture, universe, load, gold, publish or months.
        month: The month at work as `YYYY-MM`, or an empty string.
        total: Units of work that are to be done now, for capture hours; None if that is not new.
        done: Units done since the last piece of news.
        label: What became of them, such as a state of an hour.
        note: What the work waits for, or says before it begins; empty when it goes on, None if that is not new.
    """

    stage: str
    month: str = ""
    total: int | None = None
    done: int = 0
    label: str = ""
    note: str | None = None


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


async def in_thread(stage: str, month: str, work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Do blocking work in a thread, as one unit of a stage."""
    report(Step(stage, month, total=1))
    result = await asyncio.to_thread(partial(work, *arguments, **options))
    report(Step(stage, month, done=1))
    return result


async def side_by_side(work: Callable[[Item], Awaitable[T]], items: Iterable[Item], at_once: int) -> list[T]:
    """Work on items, so many at once, and give the results in their order.

    What is under way when one fails ends by itself; what waits does not begin. Then the gravest failure is raised: a
    changed source first, an open circuit, which follows from others, last.
    """
    places, failures = asyncio.Semaphore(at_once), list[SecError]()

    async def one(item: Item) -> T | None:
        async with places:
            if not failures:
                try:
                    return await work(item)
                except SecError as error:
                    failures.append(error)
            return None

    results = await asyncio.gather(*map(one, items))
    if failures:
        raise min(
            failures, key=lambda failure: (isinstance(failure, CircuitOpen), not isinstance(failure, UnexpectedBody))
        )
    return cast("list[T]", results)


@dataclass(slots=True)
class Tally:
    """What was reported so far of a stage of a month."""

    total: int = 0
    states: Counter[str] = field(default_factory=Counter)
    note: str = ""

    def take(self, step: Step) -> None:
        """Count a step in."""
        if step.total is not None:
            self.total = self.done + step.total
        self.states[step.label] += step.done
        self.note = self.note if step.note is None else step.note

    @property
    def done(self) -> int:
        """Units done."""
        return self.states.total()

    @property
    def text(self) -> str:
        """What became of them, as `3 empty, 24 captured`, and what it waits for."""
        counts = ", ".join(f"{count} {label}" for label, count in sorted(self.states.items()) if label)
        return ". ".join(filter(None, (counts, self.note)))
