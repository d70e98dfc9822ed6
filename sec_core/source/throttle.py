"""The throttle that every request passes: a slot in flight, a time to leave, and the circuit breaker's leave.

All processes share it through PostgreSQL. Slots are session advisory locks, so a process that dies frees its slots
with its connection. One row of `ritmo_fuente` hands out times by the database's clock, and the row of `circuito_fuente`
holds the circuit, whose rules are in `sec_core.source.circuit`. A request takes these steps:

1. It takes one of `max_concurrency` slots.
2. It waits until the row's time has come, and sets it one step of the rate later: a leaky bucket.
3. The circuit is closed, or it leaves as the probe; else `CircuitOpen`.
4. Its outcome changes the circuit, and its slot is free.

Session locks don't work through a pooler that shares sessions: `SEC_DATABASE_URL` must be a direct connection.
"""

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import astuple, dataclass
from datetime import timedelta
from typing import Any, Final, Self, TypeVar

import psycopg
from loguru import logger

from sec_core.clock import Clock, in_chile
from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.db.locks import LockClass
from sec_core.db.problems import refusal
from sec_core.db.queries import read_queries
from sec_core.errors import CircuitOpen, DatabaseError, DatabaseUnavailable
from sec_core.source import circuit as breaker
from sec_core.source.circuit import LONG_REST, PROBE_LEASE, Circuit, CircuitRules, CircuitStatus, Failure, Leave
from sec_core.text import counted

T = TypeVar("T")

# Times are this much further apart than the rate asks, for what `LATE_S` makes up for, and jitter on the way.
SPARE: Final = 1.03

# So much lateness after a time is made up for by the next one: at most what `SPARE` has gained within a second.
LATE_S: Final = 0.03

# A longer wait is logged with its reason.
LONG_WAIT_S: Final = 5.0

_SLOT_POLL_S: Final = 0.02
_PROBE_POLL_S: Final = 0.25
_LOG_EVERY_S: Final = 60.0
# No wait that is stored can be longer, but for two steps of the rate.
_LONGEST_WAIT_S: Final = LONG_REST.total_seconds() + 60.0

_CONNECTION: Final = {
    "application_name": "sec-throttle",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}
_SQL: Final = read_queries("sec_core.source", "throttle.sql")


@dataclass(eq=False, slots=True)
class Permit:
    """Leave for one request. Without an outcome (a cancelled request) it counts as neither success nor failure.

    Attributes:
        probe: Name of the probe, if this request is the one that tries whether the source is back.
        outcome: What came of it: a failure, or True for a usable answer.
        slot: Number of the slot that it holds.
    """

    probe: uuid.UUID | None = None
    outcome: Failure | bool = False
    slot: int | None = None


class Throttle:
    """The throttle of one process and event loop, over the migrated database that all processes share."""

    def __init__(self, database: Database, settings: Settings, clock: Clock) -> None:
        self._shared = _SharedLimits(database, settings.max_concurrency, settings.max_rate)
        self._rules = CircuitRules(settings.circuit_failures, timedelta(seconds=settings.circuit_cooldown_s))
        self._clock = clock
        # Blocking calls of the one session, in order: a release finds what a cancelled request took before it.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sec-throttle")
        self._line = asyncio.Lock()
        self._logged_at = float("-inf")

    @classmethod
    @asynccontextmanager
    async def open(cls, database: Database, settings: Settings, clock: Clock) -> AsyncIterator[Self]:
        """The throttle, closed at the end of the block; all that this process holds is free then."""
        throttle = cls(database, settings, clock)
        try:
            yield throttle
        finally:
            await throttle._call(throttle._shared.close)
            throttle._thread.shutdown(wait=False)

    async def circuit(self) -> Circuit:
        """The circuit's present state, for people to see."""
        return await self._call(self._shared.circuit)

    async def close_circuit(self, who: str, why: str) -> Circuit:
        """Close the circuit by hand, whatever its state, logged with who did it and why; gives back the state before.

        Raises:
            DatabaseError: The database can't be reached or written.
        """
        before, _ = await self._call(self._shared.change_circuit, lambda found: Circuit(opened_at=found.opened_at))
        told = [" ".join(text.split())[:200] for text in (who, why)]
        logger.bind(stage="capture", code="circuit_closed_by_hand", who=told[0], why=told[1]).warning(
            "circuit {} -> closed by hand, by {}: {}", before.status.value, *told
        )
        return before

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[Permit]:
        """Wait for leave to send one request; the block is the request and notes its outcome on the permit.

        Raises:
            CircuitOpen: The circuit is open; no request may leave now.
            DatabaseUnavailable: The shared limits can't be reached.
            DatabaseError: PostgreSQL refuses to keep them.
        """
        permit = Permit()
        try:
            await self._admit(permit)
            try:
                yield permit
            finally:
                # Before the slot is free: nobody may leave on a slot whose failure is not yet counted.
                await asyncio.shield(self._count(permit))
        finally:
            # Even a cancelled request gives its slot back.
            await asyncio.shield(self._call(self._shared.release, permit))

    async def _admit(self, permit: Permit) -> None:
        # One request of this process at a time: first come, first served. Between processes it is a draw in which each
        # has the same chance.
        async with self._line:
            while True:
                await self._take_slot(permit)
                # The circuit is looked at together with the time: right before the request leaves.
                if await self._take_time() is CircuitStatus.CLOSED:
                    return
                leave, permit.probe = await self._ask_circuit(leaving=True)
                if leave is not Leave.WAIT:
                    return
                await self._call(self._shared.release, permit)
                self._log_wait(PROBE_LEASE.total_seconds(), "a probe is finding out whether the source answers again")
                await self._clock.sleep(_PROBE_POLL_S)

    async def _take_slot(self, permit: Permit) -> None:
        since = time.monotonic()
        while not await self._call(self._shared.take_slot, permit):
            self._log_wait(time.monotonic() - since, "as many requests are in flight as SEC_MAX_CONCURRENCY allows")
            await self._clock.sleep(_SLOT_POLL_S)

    async def _take_time(self) -> CircuitStatus:
        status = None
        while status is None:
            wait_s, paused = await self._call(self._shared.wait)
            if wait_s > 1:
                await self._ask_circuit(leaving=False)  # nobody waits only to be refused
            self._log_wait(wait_s, "the source asked for a pause" if paused else "the rate is SEC_MAX_RATE")
            await self._clock.sleep(wait_s)
            status = await self._call(self._shared.take_time)
        return status

    async def _ask_circuit(self, *, leaving: bool) -> tuple[Leave, uuid.UUID | None]:
        if (await self.circuit()).status is CircuitStatus.CLOSED:
            return Leave.GO, None
        name = uuid.uuid4()
        leave = Leave.GO

        def rule(circuit: Circuit) -> Circuit:
            nonlocal leave
            now = self._clock.now()
            possible = breaker.bounded(circuit, now, self._rules)
            if possible != circuit:
                logger.bind(stage="capture", code="clock_changed").warning(
                    "The circuit was to reopen at {} UTC, further ahead than it can be: a clock was changed. "
                    "It reopens at {}.", circuit.reopens_at, in_chile(possible.reopens_at or now),
                )  # fmt: skip
            leave, after = breaker.ask_leave(possible, now, name)
            return after if leaving else possible

        circuit = await self._change(rule)
        if leave is Leave.REFUSED and circuit.reopens_at is not None:
            raise CircuitOpen(
                f"The source is left alone: the circuit is open after {counted(circuit.failures, 'failure')} in a row. "
                f"The last one: {circuit.error}",
                reopens_at=circuit.reopens_at,
            )
        return leave, name if leave is Leave.PROBE else None

    async def _count(self, permit: Permit) -> None:
        match permit.outcome:
            case Failure() as failure:
                if failure.rest:
                    await self._call(self._shared.pause, min(failure.rest, LONG_REST).total_seconds())
                now = self._clock.now()
                await self._change(lambda held: breaker.after_failure(held, failure, now, self._rules, permit.probe))
            case True:
                circuit = await self.circuit()
                if circuit.failures or circuit.status is not CircuitStatus.CLOSED:
                    await self._change(lambda circuit: breaker.after_success(circuit, permit.probe))

    async def _change(self, rule: Callable[[Circuit], Circuit]) -> Circuit:
        before, after = await self._call(self._shared.change_circuit, rule)
        if before.status is not after.status:
            _log_transition(before, after)
        return after

    async def _call(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    def _log_wait(self, wait_s: float, reason: str) -> None:
        if wait_s > LONG_WAIT_S and time.monotonic() > self._logged_at + _LOG_EVERY_S:
            self._logged_at = time.monotonic()
            logger.bind(stage="capture", code="waiting").info(
                "Waiting {:.0f} s for the next request: {}", wait_s, reason
            )


class _SharedLimits:
    """This process's session with the shared rows and locks. Everything blocks and belongs to one thread."""

    def __init__(self, database: Database, max_concurrency: int, max_rate: float) -> None:
        self._address = database.address.changed(**_CONNECTION)
        self._numbers = range(1, max_concurrency + 1)
        self._step_s = SPARE / max_rate
        self._held: dict[int, Permit] = {}
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def take_slot(self, permit: Permit) -> bool:
        # This session could take its own slots twice, so only others are tried; each process begins elsewhere.
        with self._session():
            free = [number for number in self._numbers if number not in self._held]
            start = os.getpid() % len(self._numbers)
            row = self._first("take_slot", free=free[start:] + free[:start], kind=LockClass.REQUEST_SLOT)
        if row is not None:
            permit.slot = row[0]
            self._held[row[0]] = permit
        return row is not None

    def release(self, permit: Permit) -> None:
        # With a lost connection all slots were lost, and another request may hold this number now.
        if permit.slot is not None and self._held.get(permit.slot) is permit:
            del self._held[permit.slot]
            self._first("release", kind=LockClass.REQUEST_SLOT, number=permit.slot)
        permit.slot = None

    def take_time(self) -> CircuitStatus | None:
        """Take the time that has come, if it has; gives back the state of the circuit at that instant."""
        row = self._first("take_time", step=self._step_s, late=LATE_S)
        return None if row is None else CircuitStatus(row[0])

    def wait(self) -> tuple[float, bool]:
        """Seconds until the next time, and whether they are a pause for which the source asked."""
        wait_s, paused = self._row("wait")
        longest_s = _LONGEST_WAIT_S + 2 * self._step_s
        if wait_s <= longest_s:
            return wait_s, paused
        logger.bind(stage="capture", code="clock_changed").warning(
            "The next request was due in {:.0f} s, further ahead than it can be: the database's clock was changed. "
            "Going on now.",
            wait_s,
        )
        self._first("forget_times", longest=longest_s)
        return 0.0, False

    def pause(self, seconds: float) -> None:
        self._first("pause", seconds=seconds)

    def circuit(self) -> Circuit:
        return Circuit.of(self._row("circuit"))

    def change_circuit(self, rule: Callable[[Circuit], Circuit]) -> tuple[Circuit, Circuit]:
        """Apply a rule to the circuit's state, one process at a time; gives back the state before and after it."""
        with self._session() as connection, connection.transaction():
            self._row("lock_circuit")
            before = self.circuit()
            after = rule(before)
            if after != before:
                connection.execute(_SQL["set_circuit"], astuple(after))
        return before, after

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._held.clear()

    def _row(self, query: str) -> tuple[Any, ...]:
        row = self._first(query)
        if row is None:
            raise DatabaseError(
                "circuito_fuente or ritmo_fuente has no row for the source.", next_step="Run `sec doctor`."
            )
        return row

    def _first(self, query: str, **values: object) -> tuple[Any, ...] | None:
        with self._session() as connection:
            cursor = connection.execute(_SQL[query], values)
            return cursor.fetchone() if cursor.description else None

    @contextmanager
    def _session(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        try:
            if self._connection is None or self._connection.closed:
                self._held.clear()
                self._connection = self._address.connect(autocommit=True)
                self._connection.execute(_SQL["set_up"])
            yield self._connection
        except psycopg.Error as error:
            failure = refusal(error)
            if isinstance(failure, DatabaseUnavailable):
                self.close()
            raise failure from error


def _log_transition(before: Circuit, after: Circuit) -> None:
    log = logger.bind(stage="capture", code=after.code or "circuit_closed")
    if after.status is CircuitStatus.OPEN and after.reopens_at is not None:
        change = f"{before.status.value} -> open after {counted(after.failures, 'failure')} in a row"
        log.error("circuit {change}, until {at}: {why}", change=change, at=in_chile(after.reopens_at), why=after.error)
    elif after.status is CircuitStatus.HALF_OPEN:
        log.warning("circuit {before} -> half-open: one probe leaves", before=before.status.value)
    else:
        log.info("circuit {before} -> closed: the source answers again", before=before.status.value)
