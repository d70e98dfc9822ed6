"""Doing the same with many blobs, several at a time where the place is good for that."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def at_once(width: int, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Results in the order of the items; memory holds `2 * width` of them.

    Args:
        width: How many at a time; with 1 it is `map`.
        function: What is done, from other threads if `width` is above 1.
        items: What it is done with.

    Raises:
        Exception: The first that the function raises, in the order of the items; later items are not begun.
    """
    if width == 1:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(width, thread_name_prefix="blobs")
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= 2 * width:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
