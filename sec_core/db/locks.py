"""Keys of PostgreSQL's advisory locks, all in one place: two locks must never share a key.

A lock is taken with one key (`pg_advisory_lock(key)`), or, in the classes of `LockClass`, with a class and a number
within it (`pg_advisory_lock(class, number)`); PostgreSQL keeps both kinds apart.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

from loguru import logger
from sqlalchemy import Connection, TextClause, text

if TYPE_CHECKING:
    from sec_core.db.database import Database

_LOOK_AGAIN_S: Final = 0.5
_TRY_KEY: Final = text("select pg_try_advisory_lock(:key)")
_TRY: Final = text("select pg_try_advisory_lock(:kind, :number)")
_NAME: Final = text("select set_config('application_name', :name, false)")
_HOLDER: Final = text("""
    select a.application_name from pg_locks l join pg_stat_activity a using (pid)
    where l.locktype = 'advisory' and l.classid = :kind and l.objid = :number and l.granted
        and l.database = (select oid from pg_database where datname = current_database())
""")


class Lock(IntEnum):
    """Locks of one key."""

    # Whoever brings the schema to its newest version.
    MIGRATION = 7_301_946_022
    # Whoever derives events.
    EVENTS = 7_301_946_023
    # Whoever rewrites Silver as a whole; shared by those who load a month.
    ALL_MONTHS = 7_301_946_024
    # A Prefect server that starts on this database.
    PREFECT_START = 7_301_946_025
    # Whoever decides where in this database Prefect's tables go.
    PREFECT_MARK = 7_301_946_026
    # Whoever packs months of Bronze.
    SEALING = 7_301_946_027
    # Whoever moves old months to the archive.
    RETENTION = 7_301_946_028
    # Whoever sends Gold to Supabase.
    PUBLICATION = 7_301_946_029
    # Whoever makes a release.
    RELEASE = 7_301_946_030


class LockClass(IntEnum):
    """First keys of locks of two keys."""

    # Whoever adds to a month's journal; by `YYYYMM`.
    JOURNAL_MONTH = 0x5EC1
    # A request in flight; by the slot's number.
    REQUEST_SLOT = 0x5EC2
    # The lease of a month: whoever asks the source for its hours; by `YYYYMM`.
    CAPTURE_MONTH = 0x5EC4
    # Whoever loads a month; by `YYYYMM`.
    SILVER_MONTH = 0x5EC3


@asynccontextmanager
async def lease(
    database: Database, kind: LockClass, number: int, name: str, on_wait: Callable[[str], None]
) -> AsyncIterator[None]:
    """Hold something alone over all processes; a holder that is killed loses it at once, with its connection.

    Args:
        database: Where the lock is.
        kind: What is held.
        number: Which one of its kind.
        name: Says to others who holds it; PostgreSQL keeps 63 bytes of it.
        on_wait: Called once, before the first wait, with the name of the holder.

    Raises:
        DatabaseUnavailable: The server can't be reached.
    """
    session, lock = _session(database, name), {"kind": kind, "number": number}
    connection = await asyncio.to_thread(session.__enter__)
    try:
        if not await asyncio.to_thread(_value, connection, _TRY, lock):
            on_wait(await asyncio.to_thread(_value, connection, _HOLDER, lock) or "another run")
            while not await asyncio.to_thread(_value, connection, _TRY, lock):  # noqa: ASYNC110 - others hold it
                await asyncio.sleep(_LOOK_AGAIN_S)
        yield
    finally:
        await asyncio.to_thread(session.__exit__, None, None, None)


@contextmanager
def turn(database: Database, lock: Lock) -> Iterator[None]:
    """Hold a lock alone over all processes; whoever has to wait says so in one line, and finds that work done.

    Raises:
        DatabaseUnavailable: The server can't be reached.
    """
    name = lock.name.lower()
    with _session(database, f"sec {name}") as connection:
        if not _value(connection, _TRY_KEY, {"key": lock}):
            logger.bind(stage="database").info("Another process is at {}; waiting for its end", name)
            while not _value(connection, _TRY_KEY, {"key": lock}):
                time.sleep(_LOOK_AGAIN_S)
        yield


@contextmanager
def _session(database: Database, name: str) -> Iterator[Connection]:
    connection = database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    try:
        connection.execute(_NAME, {"name": name})
        yield connection
    finally:
        # The lock goes with its session, which must not be used again.
        connection.invalidate()
        connection.close()


def _value(connection: Connection, statement: TextClause, values: dict[str, int]) -> Any:  # noqa: ANN401 - its one value
    return connection.execute(statement, values).scalar()
