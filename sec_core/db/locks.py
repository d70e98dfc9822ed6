"""Keys of PostgreSQL's advisory locks, all in one place: two locks must never share a key.

A lock is taken with one key (`pg_advisory_lock(key)`), or, in the classes of `LockClass`, with a class and a number
within it (`pg_advisory_lock(class, number)`); PostgreSQL keeps both kinds apart.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sec_core.db.database import Database

_LOOK_AGAIN_S: Final = 0.5
_TRY: Final = text("select pg_try_advisory_lock(:kind, :number)")


class Lock(IntEnum):
    """Locks of one key."""

    MIGRATION = 7_301_946_022
    """Whoever brings the schema to its newest version."""

    EVENTS = 7_301_946_023
    """Whoever derives events."""

    ALL_MONTHS = 7_301_946_024
    """Whoever rewrites Silver as a whole; shared by those who load a month."""

    PREFECT_START = 7_301_946_025
    """A Prefect server that starts on this database."""

    PREFECT_MARK = 7_301_946_026
    """Whoever decides where in this database Prefect's tables go."""


class LockClass(IntEnum):
    """First keys of locks of two keys."""

    JOURNAL_MONTH = 0x5EC1
    """Whoever adds to a month's journal; by `YYYYMM`."""

    REQUEST_SLOT = 0x5EC2
    """A request in flight; by the slot's number."""

    CAPTURE_MONTH = 0x5EC4
    """The lease of a month: whoever asks the source for its hours; by `YYYYMM`."""

    SILVER_MONTH = 0x5EC3
    """Whoever loads a month; by `YYYYMM`."""


@asynccontextmanager
async def lease(
    database: Database, kind: LockClass, number: int, *, on_wait: Callable[[], None] | None = None
) -> AsyncIterator[bool]:
    """Hold something alone over all processes; whoever waited finds the work of the holder before done.

    A holder that is killed loses it at once, with its connection.

    Args:
        database: Where the lock is.
        kind: What is held.
        number: Which one of its kind.
        on_wait: Called once, before the first wait for another holder.

    Yields:
        Whether another one held it before.

    Raises:
        DatabaseUnavailable: The server can't be reached.
    """
    connection = await asyncio.to_thread(_session, database)
    try:
        waited = False
        while not await asyncio.to_thread(_try, connection, kind, number):
            if not waited and on_wait is not None:
                on_wait()
            waited = True
            await asyncio.sleep(_LOOK_AGAIN_S)
        yield waited
    finally:
        # The lock goes with its session, which must not be used again.
        await asyncio.to_thread(connection.invalidate)
        connection.close()


def _session(database: Database) -> Connection:
    return database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")


def _try(connection: Connection, kind: LockClass, number: int) -> bool:
    free: bool = connection.execute(_TRY, {"kind": kind, "number": number}).scalar_one()
    return free
