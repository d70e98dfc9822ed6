"""This process's queue for the shared limits: who waits, which places it holds, and which times it may use.

A place that is given back goes to the next one who waits here, without asking the database, unless another process
has none. Times are taken for all who wait at once, and at high rates for those who will come within a moment.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from sec_core.errors import SecError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sec_core.source.politeness import Place, SharedPace, Times

T = TypeVar("T")

FRESH_S: Final = 0.02
"""How long what was seen of the circuit counts as seen now."""

_AHEAD_S: Final = 0.002
"""Times are taken ahead for so long at most: what is not used is lost to other processes."""

_UNHURRIED_S: Final = 0.02
"""None are taken ahead where the next one is further away than this: others need all of them."""

_PLACE_POLL_S: Final = 0.02
_SHARE_EVERY_S: Final = 0.5
"""How often a process that keeps its places looks whether another one has none."""

_STAY_OUT_S: Final = 5 * _PLACE_POLL_S
"""How long it then takes none, so that the other one finds what was given back."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A place and a time to leave.

    Attributes:
        place: The place.
        due: When to leave, in seconds of `time.monotonic`.
        seen: When the circuit was seen.
        clean: Whether it was closed then, without any failure counted.
    """

    place: Place
    due: float
    seen: float
    clean: bool


@dataclass(frozen=True, slots=True)
class _Late:
    """One who has a place and missed the time."""

    place: Place
    ticket: asyncio.Future[Ticket]


class TurnQueue:
    """The queue of one process and event loop. All calls of the shared session go through its one thread.

    Args:
        pace: This process's session in the shared limits.
    """

    def __init__(self, pace: SharedPace) -> None:
        self._pace = pace
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sec-gate")
        self._waiting: deque[asyncio.Future[Ticket]] = deque()
        self._late: deque[_Late] = deque()
        self._returned: list[tuple[Place, asyncio.Future[bool]]] = []
        self._times: deque[float] = deque()
        self._seen = float("-inf")
        self._unhurried = False
        self._renew = False
        self._share_at = 0.0
        self._out_until = 0.0
        self._work = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Run something on the shared session."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    async def take(self, place: Place | None = None) -> Ticket:
        """Wait for a time to leave, and for a place unless one is held already.

        Raises:
            DatabaseUnavailable: The shared limits can't be reached.
        """
        ticket: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
        if place is None:
            self._waiting.append(ticket)
        else:
            self._late.append(_Late(place, ticket))
        if place is not None or not self._pace.holds_all:
            # Where all places are held here, one that is given back wakes the queue.
            self._wake()
        try:
            return await ticket
        except asyncio.CancelledError:
            if place is None and ticket.done() and not ticket.cancelled() and ticket.exception() is None:
                self._return(ticket.result().place)
            raise

    def hand_over(self, place: Place) -> bool:
        """Give a place to the next one who waits here, if that needs nothing of the database.

        Returns:
            Whether it was done. Then the circuit is closed and counts no failures, as seen a moment ago.
        """
        now = time.monotonic()
        if now >= self._share_at or not self._pace.holds(place) or not self._usable(now):
            return False
        ticket = self._next_waiting()
        if ticket is None:
            return False
        ticket.set_result(Ticket(place, self._times.popleft(), self._seen, clean=True))
        if now - self._seen > FRESH_S / 4 and not self._renew:
            # The next ones find fresh times.
            self._renew = True
            self._wake()
        return True

    async def give_back(self, place: Place) -> bool:
        """Free a place, for the next one who waits here or for everybody.

        Returns:
            Whether the circuit is closed and counts no failures.

        Raises:
            DatabaseUnavailable: The shared limits can't be reached.
        """
        return await self._return(place)

    def forget(self) -> None:
        """Use nothing that was seen before now: a failure was counted."""
        self._times.clear()

    async def close(self) -> None:
        """Free everything that this process holds."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        await self.call(self._pace.close)
        self._thread.shutdown(wait=False)

    def _return(self, place: Place) -> asyncio.Future[bool]:
        returned: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._returned.append((place, returned))
        self._wake()
        return returned

    def _wake(self) -> None:
        self._work.set()
        if self._worker is None or self._worker.done():
            self._worker = asyncio.get_running_loop().create_task(self._run(), name="sec-gate-queue")

    async def _run(self) -> None:
        """Serve until nobody waits and nothing is given back."""
        try:
            while self._waiting or self._late or self._returned or self._pace.asking:
                self._work.clear()
                if not self._waiting and not self._late and not self._returned:
                    await self.call(self._pace.ask_no_more)
                    continue
                await self._serve()
                if self._waiting and not self._late and not self._work.is_set():
                    await self._wait_for_work()
        except SecError as error:
            self._fail(error)

    async def _wait_for_work(self) -> None:
        if self._pace.holds_all:
            await self._work.wait()
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._work.wait(), _PLACE_POLL_S)

    async def _serve(self) -> None:
        """One exchange with the database: give back what is too much, take what is needed, hand it out."""
        returned, self._returned = self._returned, []
        try:
            now = time.monotonic()
            need, held = len(self._waiting), len(self._late)
            spare = [place for place, _ in returned if self._pace.holds(place)]
            keep, give = spare[:need], spare[need:]
            share = bool(keep) and now >= self._share_at
            if now >= self._share_at:
                self._share_at = now + _SHARE_EVERY_S
            want = need - len(keep) if now >= self._out_until and not self._pace.holds_all else 0
            ready = len(self._times) if self._usable(now) and not self._renew else 0
            renew, self._renew = self._renew and self._unhurried, False
            places, times, clean = keep, None, True
            if give or share or want > 0 or not ready or len(keep) + held > ready:
                places, times, clean = await self.call(self._exchange, keep, give, want, held, ready, share, renew)
        except BaseException:
            # What was given back has a listener too.
            self._returned += returned
            raise
        if share and len(places) < len(keep):
            self._out_until = time.monotonic() + _STAY_OUT_S
        if times is not None:
            self._take_in(times)
        for _, listener in returned:
            if not listener.done():
                listener.set_result(clean)
        self._hand_out(places, clean=clean)

    def _exchange(
        self, keep: list[Place], give: list[Place], want: int, held: int, ready: int, share: bool, renew: bool
    ) -> tuple[list[Place], Times | None, bool]:
        """The blocking part, in the session's thread: places now free for those who wait, times, the circuit."""
        clean = ready > 0
        if share and self._pace.others_ask():
            keep, give = keep[1:], [*give, keep[0]]
            want = 0
        if give or not (keep or want or held or renew):
            clean = self._pace.give_back(give)
        taken = self._pace.take_places(want) if want > 0 else []
        places = keep + taken
        users = len(places) + held
        if users <= ready and not renew:
            return places, None, clean
        ahead = int(_AHEAD_S / self._pace.step) if self._unhurried else 0
        times = self._pace.take_times(max(users - ready, ahead))
        return places, times, times.clean

    def _take_in(self, times: Times) -> None:
        if self._times and self._times[0] < times.seen - FRESH_S:
            self._times.clear()
        self._times.extend(times.first + times.step * number for number in range(times.count))
        self._seen = times.seen
        self._unhurried = times.clean and times.first - times.seen < _UNHURRIED_S

    def _hand_out(self, places: list[Place], *, clean: bool) -> None:
        while self._late and self._times:
            late = self._late.popleft()
            if not late.ticket.done():
                late.ticket.set_result(Ticket(late.place, self._times.popleft(), self._seen, clean=clean))
        while places and self._times and (ticket := self._next_waiting()) is not None:
            ticket.set_result(Ticket(places.pop(), self._times.popleft(), self._seen, clean=clean))
        if not clean:
            self._times.clear()
        for place in places:
            # Taken for one who was cancelled meanwhile.
            self._return(place)

    def _fail(self, error: SecError) -> None:
        tickets = [*self._waiting, *(late.ticket for late in self._late)]
        self._waiting.clear()
        self._late.clear()
        returned, self._returned = self._returned, []
        self._times.clear()
        for ticket in tickets:
            if not ticket.done():
                ticket.set_exception(error)
        for _, listener in returned:
            if not listener.done():
                listener.set_exception(error)

    def _usable(self, now: float) -> bool:
        """Whether there is a time to leave that was taken ahead a moment ago, with the circuit closed."""
        if now - self._seen > FRESH_S:
            self._times.clear()
        return bool(self._times)

    def _next_waiting(self) -> asyncio.Future[Ticket] | None:
        while self._waiting:
            ticket = self._waiting.popleft()
            # Cancelled ones stay in the queue until their turn.
            if not ticket.done():
                return ticket
        return None
