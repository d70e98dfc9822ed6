"""Connections to PostgreSQL, whichever it is: an SQLAlchemy engine for statements, ADBC for moving frames."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import Engine, ExceptionContext
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import QueuePool

from sec_core.config import Settings
from sec_core.db import embedded
from sec_core.db.address import Address
from sec_core.db.checks import check_server
from sec_core.db.problems import problem
from sec_core.db.schema import migrate, seed_dimensions
from sec_core.errors import DatabaseError

if TYPE_CHECKING:
    from sec_core.db.arrow import ArrowConnection

# As many wait: one for each month that is loaded side by side, and one to spare.
IDLE_ADBC = 4


class Database:
    """One PostgreSQL database.

    All sessions speak UTC. An unreachable server, and one that goes away in the middle, raise `DatabaseUnavailable`;
    what a person must mend (a full disk, missing rights) raises `DatabaseError`; other errors of the engine's
    statements stay SQLAlchemy's: they are faults of the code, or conflicts that the caller resolves.

    Attributes:
        address: Where it is. Connects only when it is used.
    """

    def __init__(self, address: Address | str) -> None:
        self.address = Address.parse(address) if isinstance(address, str) else address
        self._engine: Engine | None = None
        # It holds no reference to this object, which would never end.
        connect = partial(_open_adbc, self.address)
        self._idle = QueuePool(connect, pool_size=IDLE_ADBC, max_overflow=-1, reset_on_return=None)
        event.listen(self._idle, "checkout", _begin)
        weakref.finalize(self, self._idle.dispose)

    def __repr__(self) -> str:
        """Safe to log."""
        return f"Database({self.address})"

    @property
    def url(self) -> str:
        """The address as a URL. It holds the password: never log it."""
        return self.address.url

    @property
    def engine(self) -> Engine:
        """The engine, made at first use; its connections are tried before they are given out again."""
        if self._engine is None:
            engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=self.address.connect, pool_pre_ping=True)
            event.listen(engine, "handle_error", _translate)
            self._engine = engine
        return self._engine

    @contextmanager
    def adbc(self) -> Iterator[ArrowConnection]:
        """An ADBC connection in a transaction, for reading and writing whole frames: a clean end commits.

        Connections are kept for the next use, since a new one costs 60 to 100 ms: leave no session state behind. While
        one waits it is in no transaction.

        Raises:
            DatabaseUnavailable: The server can't be reached.
        """
        lent = self._idle.connect()
        connection = cast("ArrowConnection", lent.driver_connection)
        try:
            yield connection
            connection.end()
        except BaseException:
            # Where the server is gone there is nothing to roll back; after an error the session is not used again.
            with suppress(DatabaseError):
                connection.rollback()
            lent.invalidate()
            raise
        finally:
            lent.close()

    def close(self) -> None:
        """Close all pooled connections; the object stays usable."""
        self._idle.dispose()
        self._idle = self._idle.recreate()
        if self._engine is not None:
            self._engine.dispose()


def open_database(settings: Settings) -> Database:
    """The pipeline's database, ready for use, with the newest schema and this version's reference data.

    Raises:
        ConfigError: `SEC_DATABASE_URL` is no PostgreSQL address.
        DatabaseUnavailable: The server can't be reached or started.
        DatabaseError: It won't do (see `check_server`), or its schema is newer than this program.
    """
    database = Database(address_of(settings))
    check_server(database.engine, database.address)
    migrate(database.engine)
    seed_dimensions(database.engine)
    return database


def address_of(settings: Settings) -> Address:
    """Where the pipeline's database is; starts the embedded server if it is that one. Raises as `open_database`."""
    if settings.database_url is not None:
        return Address.parse(settings.database_url.get_secret_value())
    return embedded.ensure_running(settings.postgres_dir)


def _open_adbc(address: Address) -> Any:  # noqa: ANN401 - an ArrowConnection; the pool's types know DB-API's alone
    # They cost 100 ms, and few commands move frames.
    import adbc_driver_manager  # noqa: PLC0415

    from sec_core.db.arrow import ArrowConnection  # noqa: PLC0415

    try:
        return ArrowConnection(address.conninfo)
    except (adbc_driver_manager.Error, DatabaseError) as error:
        raise address.unreachable(error) from None


def _begin(connection: ArrowConnection, *_: object) -> None:
    """Start a transaction on a pooled connection; where it is dead, so are all that wait beside it."""
    try:
        connection.begin()
    except DatabaseError as error:
        raise InvalidatePoolError from error


def _translate(context: ExceptionContext) -> None:
    """Turn what is not the code's fault into the project's errors."""
    # A pooled connection found dead before its use is replaced by the pool.
    if context.is_pre_ping or not isinstance(context.original_exception, Exception):
        return
    found = problem(context.original_exception)
    if found is not None:
        raise found from context.original_exception
