"""The gate that every request passes: a place in flight, a time to leave, and the circuit's leave."""

from __future__ import annotations

import asyncio
import time
import uuid
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
from sec_core.source.politeness import SharedPace
from sec_core.source.turn import Failure, Turn
from sec_core.source.turns import FRESH_S, TurnQueue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sec_core.clock import Clock
    from sec_core.config import Settings
    from sec_core.db.database import Database
    from sec_core.source.politeness import Place
    from sec_core.source.turns import Ticket

T = TypeVar("T")

LATE_S: Final = 0.03
"""A request that would leave later than this after its time takes another time, so that lateness bunches nothing."""

_LATE_TRIES: Final = 5
_PROBE_POLL_S: Final = 0.25


class Gate:
    """The shared gate of one process and event loop.

    Args:
        pace: This process's session in the shared limits.
        rules: Settings of the circuit.
        clock: Tells the time and waits.
    """

    def __init__(self, pace: SharedPace, rules: CircuitRules, clock: Clock) -> None:
        self._pace = pace
        self._rules = rules
        self._clock = clock
        self._queue = TurnQueue(pace)

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
        gate = cls(pace, rules, clock)
        try:
            yield gate
        finally:
            await gate.close()

    async def close(self) -> None:
        """Free everything this process holds."""
        await self._queue.close()

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
        turn, place = await self._leave_granted()
        try:
            yield turn
        finally:
            succeeded = turn.answered and turn.failure is None and turn.probe is None
            if not (succeeded and self._queue.hand_over(place)):
                # Even a cancelled request gives its place back.
                await asyncio.shield(self._finish(turn, place))

    async def _leave_granted(self) -> tuple[Turn, Place]:
        while True:
            ticket = await self._queue.take()
            granted = False
            try:
                leave, probe, seen = Leave.GO, None, ticket.seen
                if not ticket.clean:
                    leave, probe = await self._ask_circuit()
                    seen = time.monotonic()
                if leave is not Leave.WAIT:
                    first, ticket = ticket, await self._wait_for_time(ticket)
                    if ticket is not first:
                        seen = ticket.seen if ticket.clean else float("-inf")
                    # The circuit may open while a request waits for its time: the last look comes right before it
                    # leaves.
                    if leave is Leave.GO and time.monotonic() - seen > FRESH_S:
                        leave, probe = await self._ask_circuit()
                if leave is not Leave.WAIT:
                    granted = True
                    return Turn(probe), ticket.place
            finally:
                if not granted:
                    await asyncio.shield(self._queue.give_back(ticket.place))
            await self._clock.sleep(_PROBE_POLL_S)

    async def _wait_for_time(self, ticket: Ticket) -> Ticket:
        """Wait until the ticket's time; with another time if that was missed, or falls into a pause begun since."""
        for _ in range(_LATE_TRIES):
            wait_s = ticket.due - time.monotonic()
            if wait_s > 0:
                await self._clock.sleep(wait_s)
            late = time.monotonic() - ticket.due > LATE_S
            if not late and (wait_s <= FRESH_S or not await self._paused_beyond(ticket.due)):
                return ticket
            ticket = await self._queue.take(ticket.place)
        return ticket

    async def _paused_beyond(self, due: float) -> bool:
        return time.monotonic() + await self._call(self._pace.pause_left) > due + LATE_S

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

    async def _finish(self, turn: Turn, place: Place) -> None:
        if turn.failure is not None:
            # Before the place is free: nobody may leave on a place whose failure is not yet known.
            await self._count(turn.failure, turn.probe)
        clean = await self._queue.give_back(place)
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
        if after.failures:
            self._queue.forget()
        if before.status is not after.status:
            _log_transition(before, after)
        return before, after

    async def _call(self, function: Callable[..., T], *arguments: object) -> T:
        return await self._queue.call(function, *arguments)


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
