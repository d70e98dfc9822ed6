"""Doing the same with many blobs, several at a time where the place is good for that."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from sec_core.blobs.place import Place, StoreUrl

Item = TypeVar("Item")
Result = TypeVar("Result")

_REMOTE_AT_ONCE: Final = 16


def at_once(place: Place | int, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Results in the order of the items; memory holds twice as many as are done at a time.

    Args:
        place: Where it is done, or how many at a time: an object store answers late, but many at once.
        function: What is done, from other threads if it is more than one at a time.
        items: What it is done with.

    Raises:
        Exception: The first that the function raises, in the order of the items; later items are not begun.
    """
    width = place if isinstance(place, int) else _REMOTE_AT_ONCE if isinstance(place, StoreUrl) else 1
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
