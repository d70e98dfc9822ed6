"""The pace and the places in flight, shared by all processes through the database.

One row of `ritmo_fuente` hands out the times at which requests may leave, by the database's clock; session advisory
locks are the places in flight, so that a process that dies frees its places with its connection. Neither works through
a pooler that shares sessions between clients: give `SEC_DATABASE_URL` a direct connection.

Everything here blocks and belongs to one thread: `sec_core.source.gate` runs it beside the event loop.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.rows import tuple_row

from sec_core.errors import DatabaseError, DatabaseUnavailable
from sec_core.source.circuit import Circuit, CircuitStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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

# One round trip: a free place, the next time to leave, the pause that the source asked for, and the circuit's state.
# `clock_timestamp` and not `now`: the row may be waited for, and the clock is read when it is ours.
_TAKE = """
    with lugar as materialized (
        select n from unnest(%(free)s::int[]) as n where pg_try_advisory_lock(%(class)s, n) limit 1
    ), turno as (
        update ritmo_fuente
        set proxima_en = greatest(clock_timestamp(), proxima_en, pausa_hasta) + make_interval(secs => %(step)s)
        where fuente = 'sec' and exists (select from lugar)
        returning proxima_en - make_interval(secs => %(step)s) - clock_timestamp() as espera
    )
    select (select n from lugar), (select extract(epoch from espera)::float8 from turno), estado, fallos_seguidos
    from circuito_fuente where fuente = 'sec'
"""
_NEXT = """
    update ritmo_fuente
    set proxima_en = greatest(clock_timestamp(), proxima_en, pausa_hasta) + make_interval(secs => %(step)s)
    where fuente = 'sec'
    returning extract(epoch from proxima_en - make_interval(secs => %(step)s) - clock_timestamp())::float8
"""
_GIVE_BACK = """
    select pg_advisory_unlock(%(class)s, %(place)s), estado, fallos_seguidos from circuito_fuente where fuente = 'sec'
"""
_PAUSE = """
    update ritmo_fuente set pausa_hasta = greatest(pausa_hasta, clock_timestamp() + make_interval(secs => %(seconds)s))
    where fuente = 'sec'
"""
_CIRCUIT = (
    "select estado, fallos_seguidos, abierto_en, reabre_en, prueba_hasta, prueba_de, codigo_error, ultimo_error "
    "from circuito_fuente where fuente = 'sec'"
)
_SET_CIRCUIT = """
    update circuito_fuente set estado = %s, fallos_seguidos = %s, abierto_en = %s, reabre_en = %s, prueba_hasta = %s,
        prueba_de = %s, codigo_error = %s, ultimo_error = %s
    where fuente = 'sec'
"""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What taking a place gave.

    Attributes:
        place: Number of the place; None if all are taken.
        wait_s: Seconds until the request may leave.
        clean: Whether the circuit is closed.
    """

    place: int | None
    wait_s: float
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
        self._places = range(1, max_concurrency + 1)
        self._step = SPARE / max_rate
        self._held: set[int] = set()
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def take(self) -> Ticket:
        """Take a place in flight and a time to leave, if a place is free.

        Raises:
            DatabaseUnavailable: The database can't be reached.
        """
        # Places of this session could be taken twice, so only others are tried; each process begins elsewhere.
        free = [place for place in self._places if place not in self._held]
        start = os.getpid() % len(self._places)
        parameters = {"free": free[start:] + free[:start], "class": _PLACES, "step": self._step}
        with self._session() as connection:
            row = connection.execute(_TAKE, parameters).fetchone()
        if row is None:
            raise DatabaseError("circuito_fuente has no row for the source.", next_step="Run `sec doctor`.")
        place, wait_s, status, failures = row
        if place is not None:
            self._held.add(place)
        return Ticket(place, max(wait_s or 0.0, 0.0), status == CircuitStatus.CLOSED and failures == 0)

    def next_time(self) -> float:
        """Another time to leave for a request that missed its own; seconds from now."""
        with self._session() as connection:
            row = connection.execute(_NEXT, {"step": self._step}).fetchone()
        return max(row[0], 0.0) if row else 0.0

    def give_back(self, place: int) -> bool:
        """Free a place.

        Returns:
            Whether the circuit is closed and counts no failures.
        """
        self._held.discard(place)
        with self._session() as connection:
            row = connection.execute(_GIVE_BACK, {"class": _PLACES, "place": place}).fetchone()
        return row is not None and row[1] == CircuitStatus.CLOSED and row[2] == 0

    def pause(self, seconds: float) -> None:
        """Let no request of any process leave for so long."""
        with self._session() as connection:
            connection.execute(_PAUSE, {"seconds": seconds})

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

    @contextmanager
    def _session(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        try:
            if self._connection is None or self._connection.closed:
                self._held.clear()
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
        raise DatabaseError("circuito_fuente has no row for the source.", next_step="Run `sec doctor`.")
    return Circuit(CircuitStatus(row[0]), *row[1:])
