"""The pace and the places in flight, shared by all processes through the database.

One row of `ritmo_fuente` hands out the times at which requests may leave, by the database's clock; session advisory
locks are the places in flight, so that a process that dies frees its places with its connection. Neither works through
a pooler that shares sessions between clients: give `SEC_DATABASE_URL` a direct connection.

Everything here blocks and belongs to one thread: `sec_core.source.gate` runs it beside the event loop.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.rows import tuple_row

from sec_core.errors import DatabaseError, DatabaseUnavailable
from sec_core.source.circuit import Circuit, CircuitStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_PLACES: Final = 0x5EC2
"""First key of the advisory locks that are the places in flight."""

SPARE: Final = 1.03
"""Times are handed out this much further apart than the rate asks: jitter on the way must not add up to a breach."""

# The session ends soon after its host is lost without a word (a power cut): the server's own probes, not ours.
_SESSION = {
    "application_name": "sec-gate",
    "client_encoding": "UTF8",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "connect_timeout": "10",
    # The pace may lose its last moments when the server crashes; waiting for its disk would double a turn's cost.
    "options": "-c timezone=UTC -c synchronous_commit=off -c tcp_keepalives_idle=10 "
    "-c tcp_keepalives_interval=5 -c tcp_keepalives_count=3",
}

_TAKE_PLACES = """
    select n from unnest(%(free)s::int[]) as n where pg_try_advisory_lock(%(class)s, n) limit %(want)s
"""
# `clock_timestamp` and not `now`: the row may be waited for, and the clock is read when it is ours.
_TAKE_TIMES = """
    update ritmo_fuente r
    set proxima_en = greatest(clock_timestamp(), r.proxima_en, r.pausa_hasta) + make_interval(secs => %(length)s)
    from circuito_fuente c
    where r.fuente = 'sec' and c.fuente = 'sec'
    returning
        extract(epoch from r.proxima_en - make_interval(secs => %(length)s) - clock_timestamp())::float8,
        c.estado, c.fallos_seguidos
"""
_GIVE_BACK = """
    select estado, fallos_seguidos, (select count(pg_advisory_unlock(%(class)s, n)) from unnest(%(places)s::int[]) as n)
    from circuito_fuente where fuente = 'sec'
"""
# A process without any place holds key 0 in shared mode: then nobody gets it alone.
_ASK_FOR_ONE = "select pg_try_advisory_lock_shared(%(class)s, 0)"
_ASK_NO_MORE = "select pg_advisory_unlock_shared(%(class)s, 0)"
_NOBODY_ASKS = """
    select case when pg_try_advisory_lock(%(class)s, 0) then pg_advisory_unlock(%(class)s, 0) else false end
"""
_PAUSE = """
    update ritmo_fuente set pausa_hasta = greatest(pausa_hasta, clock_timestamp() + make_interval(secs => %(seconds)s))
    where fuente = 'sec'
"""
_CIRCUIT = (
    "select estado, fallos_seguidos, abierto_en, reabre_en, prueba_hasta, prueba_de, codigo_error, ultimo_error "
    "from circuito_fuente where fuente = 'sec'"
)
# Before PostgreSQL 17 nothing can be subtracted from an infinite time.
_PAUSE_LEFT = """
    select extract(epoch from greatest(pausa_hasta, clock_timestamp()) - clock_timestamp())::float8
    from ritmo_fuente where fuente = 'sec'
"""
_SET_CIRCUIT = """
    update circuito_fuente set estado = %s, fallos_seguidos = %s, abierto_en = %s, reabre_en = %s, prueba_hasta = %s,
        prueba_de = %s, codigo_error = %s, ultimo_error = %s
    where fuente = 'sec'
"""


@dataclass(eq=False, slots=True)
class Place:
    """A place in flight that this process holds.

    Attributes:
        number: Its number, 1 to the limit.
    """

    number: int


@dataclass(frozen=True, slots=True)
class Times:
    """Times to leave, evenly apart.

    Attributes:
        first: The first one, in seconds of `time.monotonic`.
        count: How many.
        step: Seconds between two.
        seen: When the circuit was seen, in seconds of `time.monotonic`.
        clean: Whether it was closed then, without any failure counted.
    """

    first: float
    count: int
    step: float
    seen: float
    clean: bool


class SharedPace:
    """This process's session in the shared limits.

    Args:
        url: PostgreSQL address, a direct connection.
        max_concurrency: Requests in flight, over all processes.
        max_rate: Requests a second, over all processes.
    """

    def __init__(self, url: str, *, max_concurrency: int, max_rate: float) -> None:
        self._url = url
        self._numbers = range(1, max_concurrency + 1)
        self.step = SPARE / max_rate
        self._held: dict[int, Place] = {}
        self._asking = False
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def holds(self, place: Place) -> bool:
        """Whether a place is still this process's: with a lost connection all were lost."""
        return self._held.get(place.number) is place

    @property
    def asking(self) -> bool:
        """Whether others are told that this process has no place."""
        return self._asking

    @property
    def holds_all(self) -> bool:
        """Whether no place is left for anybody else."""
        return len(self._held) == len(self._numbers)

    def take_places(self, want: int) -> list[Place]:
        """Take free places, at most so many; a process that gets none and holds none is known to others as asking.

        Raises:
            DatabaseUnavailable: The database can't be reached.
        """
        with self._session() as connection:
            # Places of this session could be taken twice, so only others are tried; each process begins elsewhere.
            free = [number for number in self._numbers if number not in self._held]
            start = os.getpid() % len(self._numbers)
            parameters = {"free": free[start:] + free[:start], "class": _PLACES, "want": want}
            taken = [Place(row[0]) for row in connection.execute(_TAKE_PLACES, parameters)]
            self._held |= {place.number: place for place in taken}
            if not self._held and not self._asking:
                connection.execute(_ASK_FOR_ONE, {"class": _PLACES})
                self._asking = True
        if self._held:
            self.ask_no_more()
        return taken

    def ask_no_more(self) -> None:
        """Have a place, or need none any more."""
        if self._asking:
            with self._session() as connection:
                connection.execute(_ASK_NO_MORE, {"class": _PLACES})
            self._asking = False

    def others_ask(self) -> bool:
        """Whether another process waits without any place."""
        with self._session() as connection:
            row = connection.execute(_NOBODY_ASKS, {"class": _PLACES}).fetchone()
        return row is not None and not row[0]

    def take_times(self, count: int) -> Times:
        """Take the next times to leave; no other process gets them."""
        with self._session() as connection:
            row = connection.execute(_TAKE_TIMES, {"length": self.step * count}).fetchone()
            seen = time.monotonic()
        if row is None:
            raise _no_row()
        wait_s, status, failures = row
        clean = status == CircuitStatus.CLOSED and failures == 0
        return Times(seen + max(wait_s, 0.0), count, self.step, seen, clean)

    def give_back(self, places: Sequence[Place]) -> bool:
        """Free places.

        Returns:
            Whether the circuit is closed and counts no failures.
        """
        numbers = [place.number for place in places if self.holds(place)]
        for number in numbers:
            del self._held[number]
        with self._session() as connection:
            row = connection.execute(_GIVE_BACK, {"class": _PLACES, "places": numbers}).fetchone()
        return row is not None and row[0] == CircuitStatus.CLOSED and row[1] == 0

    def pause(self, seconds: float) -> None:
        """Let no request of any process leave for so long."""
        with self._session() as connection:
            connection.execute(_PAUSE, {"seconds": seconds})

    def pause_left(self) -> float:
        """Seconds for which the source asked to be left alone still, 0 or less without a pause."""
        with self._session() as connection:
            row = connection.execute(_PAUSE_LEFT).fetchone()
        return row[0] if row else 0.0

    def circuit(self) -> Circuit:
        """The circuit's present state."""
        with self._session() as connection:
            return _read_circuit(connection, "")

    def change_circuit(self, rule: Callable[[Circuit], Circuit]) -> tuple[Circuit, Circuit]:
        """Apply a rule to the circuit's state, one process at a time.

        Returns:
            The state before and after.
        """
        with self._session() as connection, connection.transaction():
            before = _read_circuit(connection, " for update")
            after = rule(before)
            if after != before:
                values = [getattr(after, field.name) for field in fields(Circuit)]
                connection.execute(_SET_CIRCUIT, [after.status.value, *values[1:]])
        return before, after

    def close(self) -> None:
        """Free everything that is held."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._held.clear()
        self._asking = False

    @contextmanager
    def _session(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        try:
            if self._connection is None or self._connection.closed:
                self._held.clear()
                self._asking = False
                self._connection = psycopg.connect(self._url, autocommit=True, row_factory=tuple_row, **_SESSION)  # type: ignore[arg-type]
            yield self._connection
        except psycopg.OperationalError as error:
            self.close()
            reason = str(error).strip().partition("\n")[0].rstrip(".")
            raise DatabaseUnavailable(
                f"PostgreSQL, which holds the shared limits, can't be reached: {reason}."
            ) from error


def _read_circuit(connection: psycopg.Connection[tuple[Any, ...]], suffix: str) -> Circuit:
    row = connection.execute(_CIRCUIT + suffix).fetchone()
    if row is None:
        raise _no_row()
    return Circuit(CircuitStatus(row[0]), *row[1:])


def _no_row() -> DatabaseError:
    return DatabaseError("circuito_fuente or ritmo_fuente has no row for the source.", next_step="Run `sec doctor`.")
