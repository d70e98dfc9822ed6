"""The gate that every request passes: a place in flight, a time to leave, and the circuit's leave."""

from __future__ import annotations

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from loguru import logger

from sec_core.errors import CircuitOpen
from sec_core.source.circuit import (
    LONG_REST,
    Circuit,
    CircuitRules,
    CircuitStatus,
    Leave,
    after_failure,
    after_success,
    ask_leave,
)
from sec_core.source.politeness import SharedPace, Ticket
from sec_core.source.turn import Failure, Turn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sec_core.clock import Clock
    from sec_core.config import Settings
    from sec_core.db.database import Database

T = TypeVar("T")

LATE_S: Final = 0.03
"""A request that would leave later than this after its time takes another time, so that lateness bunches nothing."""

_LATE_TRIES: Final = 5
_PLACE_POLL_S: Final = 0.02
_PROBE_POLL_S: Final = 0.25


class Gate:
    """The shared gate of one process and event loop.

    Args:
        pace: This process's session in the shared limits.
        rules: Settings of the circuit.
        clock: Tells the time and waits.
        max_concurrency: Requests in flight, over all processes.
    """

    def __init__(self, pace: SharedPace, rules: CircuitRules, clock: Clock, *, max_concurrency: int) -> None:
        self._pace = pace
        self._rules = rules
        self._clock = clock
        self._local = asyncio.Semaphore(max_concurrency)
        self._turnstile = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sec-gate")

    @classmethod
    @asynccontextmanager
    async def open(cls, database: Database, settings: Settings, clock: Clock) -> AsyncIterator[Gate]:
        """The gate over a database, closed at the end of the block.

        Args:
            database: The database that all processes share, migrated.
            settings: Limits and circuit.
            clock: Tells the time and waits.
        """
        pace = SharedPace(database.url, max_concurrency=settings.max_concurrency, max_rate=settings.max_rate)
        rules = CircuitRules(settings.circuit_failures, timedelta(seconds=settings.circuit_cooldown_s))
        gate = cls(pace, rules, clock, max_concurrency=settings.max_concurrency)
        try:
            yield gate
        finally:
            await gate.close()

    async def close(self) -> None:
        """Free everything this process holds."""
        await self._call(self._pace.close)
        self._thread.shutdown(wait=False)

    async def circuit(self) -> Circuit:
        """The circuit's present state, for people to see."""
        return await self._call(self._pace.circuit)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """Wait for leave to send one request; the block is the request.

        Yields:
            The turn, to be told what came of the request. Untold (a cancelled request), it counts as neither.

        Raises:
            CircuitOpen: The circuit is open; no request may leave now.
            DatabaseUnavailable: The shared limits can't be reached.
        """
        async with self._local:
            turn, place = await self._leave_granted()
            try:
                yield turn
            finally:
                # Even a cancelled request gives its place back.
                await asyncio.shield(self._finish(turn, place))

    async def _leave_granted(self) -> tuple[Turn, int]:
        while True:
            place, wait_s, clean = await self._take_place()
            granted = False
            try:
                # The circuit may open while a request waits for its time: the last look comes right before it leaves.
                leave, probe = (Leave.GO, None) if clean else await self._ask_circuit()
                if leave is not Leave.WAIT and wait_s > 0:
                    await self._wait_for_time(wait_s)
                    if leave is Leave.GO:
                        leave, probe = await self._ask_circuit()
                if leave is not Leave.WAIT:
                    granted = True
                    return Turn(probe), place
            finally:
                if not granted:
                    await asyncio.shield(self._call(self._pace.give_back, place))
            await self._clock.sleep(_PROBE_POLL_S)

    async def _take_place(self) -> tuple[int, float, bool]:
        async with self._turnstile:
            while True:
                taking = asyncio.ensure_future(self._call(self._pace.take))
                try:
                    ticket = await asyncio.shield(taking)
                except asyncio.CancelledError:
                    taking.add_done_callback(self._drop)
                    raise
                if ticket.place is not None:
                    return ticket.place, ticket.wait_s, ticket.clean
                await asyncio.sleep(_PLACE_POLL_S)

    def _drop(self, taking: asyncio.Future[Ticket]) -> None:
        """Give back what a cancelled request was given after all."""
        if not taking.cancelled() and taking.exception() is None and (place := taking.result().place) is not None:
            self._thread.submit(self._pace.give_back, place)

    async def _wait_for_time(self, wait_s: float) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_LATE_TRIES):
            due = loop.time() + wait_s
            await self._clock.sleep(wait_s)
            if loop.time() - due <= LATE_S:
                return
            wait_s = await self._call(self._pace.next_time)

    async def _ask_circuit(self) -> tuple[Leave, uuid.UUID | None]:
        name = uuid.uuid4()
        verdict = Leave.GO

        def rule(circuit: Circuit) -> Circuit:
            nonlocal verdict
            verdict, after = ask_leave(circuit, self._clock.now(), name)
            return after

        circuit = await self._call(self._pace.circuit)
        if circuit.status is CircuitStatus.CLOSED:
            return Leave.GO, None
        before, after = await self._change(rule)
        if verdict is Leave.REFUSED and before.reopens_at is not None:
            raise CircuitOpen(
                f"The circuit is open after {before.failures} failures in a row ({before.error}); "
                "the source is left alone.",
                reopens_at=before.reopens_at,
            )
        return verdict, after.probe if verdict is Leave.PROBE else None

    async def _finish(self, turn: Turn, place: int) -> None:
        if turn.failure is not None:
            # Before the place is free: nobody may leave on a place whose failure is not yet known.
            await self._count(turn.failure, turn.probe)
        clean = await self._call(self._pace.give_back, place)
        if turn.answered and turn.failure is None and not clean:
            await self._change(lambda circuit: after_success(circuit, turn.probe))

    async def _count(self, failure: Failure, probe: uuid.UUID | None) -> None:
        rest = timedelta(seconds=failure.rest_s)
        if rest:
            await self._call(self._pace.pause, min(rest, LONG_REST).total_seconds())
        now = self._clock.now()
        await self._change(
            lambda circuit: after_failure(
                circuit, now, self._rules, probe=probe, code=failure.code, error=failure.error, rest=rest
            )
        )

    async def _change(self, rule: Callable[[Circuit], Circuit]) -> tuple[Circuit, Circuit]:
        before, after = await self._call(self._pace.change_circuit, rule)
        if before.status is not after.status:
            _log_transition(before, after)
        return before, after

    async def _call(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


def _log_transition(before: Circuit, after: Circuit) -> None:
    log = logger.bind(stage="capture", code=after.code or "circuit_closed")
    if after.status is CircuitStatus.OPEN:
        log.error(
            "circuit {} -> open after {} failures in a row, until {:%Y-%m-%d %H:%M:%S} UTC: {}",
            before.status.value, after.failures, after.reopens_at, after.error,
        )  # fmt: skip
    elif after.status is CircuitStatus.HALF_OPEN:
        log.warning("circuit {before} -> half-open: one probe leaves", before=before.status.value)
    else:
        log.info("circuit {before} -> closed: the source answers again", before=before.status.value)
