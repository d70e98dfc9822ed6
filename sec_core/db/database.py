"""Connections to PostgreSQL, whichever it is: an SQLAlchemy engine for statements, ADBC for moving frames."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg
import sqlalchemy
from psycopg import conninfo
from sqlalchemy import event

from sec_core.db import embedded, migrate
from sec_core.db.reuse import IdleConnections
from sec_core.errors import ConfigError, DatabaseError, DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adbc_driver_postgresql.dbapi import Connection as AdbcConnection
    from sqlalchemy.engine import Engine, ExceptionContext

    from sec_core.config import Settings

OLDEST_SERVER = 15
_CONNECT_TIMEOUT_S = 10
_LOST = "The connection to PostgreSQL was lost: {}."
_SQLALCHEMY_PREFIX = "postgresql+psycopg://"


class Database:
    """One PostgreSQL database.

    All sessions speak UTC. An unreachable server, and one that goes away in the middle, raise `DatabaseUnavailable`;
    a full disk raises `DatabaseError`; other errors of a statement stay SQLAlchemy's or ADBC's: they are faults of the
    code, or conflicts that the caller resolves.

    Attributes:
        url: The address in libpq's form, `postgresql://...`. It holds the password: never log it, use `str(database)`.
    """

    def __init__(self, url: str) -> None:
        """Make the object; connects only when it is used.

        Args:
            url: `postgresql://`, `postgres://` or `postgresql+psycopg://`.

        Raises:
            ConfigError: It is no such address.
        """
        self.url = _libpq_url(url)
        self._parameters = _parameters(self.url)
        self._engine: Engine | None = None
        self._idle = IdleConnections()

    def __str__(self) -> str:
        """The address without its password."""
        known = self._parameters
        return f"{known.get('dbname', '')} at {known.get('host', '')}:{known.get('port', '5432')}"

    def __repr__(self) -> str:
        """The same, safe to log."""
        return f"Database({self})"

    @property
    def engine(self) -> Engine:
        """The engine, made at first use: psycopg, connections tried before they are given out again."""
        if self._engine is None:
            engine = sqlalchemy.create_engine(_SQLALCHEMY_PREFIX, creator=self._connect, pool_pre_ping=True)
            event.listen(engine, "handle_error", _translate)
            self._engine = engine
        return self._engine

    @contextmanager
    def adbc(self) -> Iterator[AdbcConnection]:
        """An ADBC connection, for reading and writing whole Arrow tables.

        Autocommit is off: a clean exit commits, an error rolls back. Types must match the columns, ADBC casts nothing:
        16-byte binary is taken into `uuid`. Connections are kept for the next use: leave no session state behind.

        Raises:
            DatabaseUnavailable: The server can't be reached.
        """
        # Costs 100 ms, and few commands move frames.
        from adbc_driver_manager import AdbcStatusCode  # noqa: PLC0415
        from adbc_driver_postgresql import dbapi  # noqa: PLC0415

        connection = self._idle.take()
        if connection is None:
            try:
                connection = dbapi.connect(conninfo.make_conninfo("", **self._parameters), autocommit=False)
            except dbapi.Error as error:
                raise self._unavailable(str(error)) from error
        try:
            yield connection
            self._idle.keep(connection)
        except BaseException as error:
            # Where the server is gone there is nothing to roll back; after an error the session is not used again.
            with suppress(dbapi.Error):
                connection.rollback()
            with suppress(dbapi.Error):
                connection.close()
            if isinstance(error, dbapi.Error) and error.status_code == AdbcStatusCode.IO:
                raise DatabaseUnavailable(_LOST.format(_one_line(str(error)))) from error
            raise

    def migrate(self) -> None:
        """Bring the schema to the newest version; of several processes at once one does it and the others wait.

        Raises:
            DatabaseUnavailable: The server can't be reached.
            DatabaseError: The database was made by a newer version of this program.
        """
        migrate.migrate(self.engine)

    def check(self) -> None:
        """Connect once.

        Raises:
            DatabaseUnavailable: The server can't be reached.
            DatabaseError: It is older than PostgreSQL 15.
        """
        with self.engine.connect() as connection:
            version = int(connection.exec_driver_sql("show server_version_num").scalar_one())
        if version // 10_000 < OLDEST_SERVER:
            raise DatabaseError(
                f"PostgreSQL {version // 10_000} is too old.", next_step=f"Use version {OLDEST_SERVER} or later."
            )

    def libpq_environment(self) -> dict[str, str]:
        """The connection as `PG...` variables, for PostgreSQL's programs: a command line would show the password."""
        known = {option.keyword.decode(): option.envvar for option in psycopg.pq.Conninfo.get_defaults()}
        return {
            variable.decode(): value
            for key, value in self._parameters.items()
            if (variable := known.get(key)) is not None
        }

    def dispose(self) -> None:
        """Close all pooled connections; the object stays usable."""
        self._idle.close()
        if self._engine is not None:
            self._engine.dispose()

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        try:
            return psycopg.connect(**self._parameters)  # type: ignore[arg-type] # libpq's own names
        except psycopg.OperationalError as error:
            raise self._unavailable(str(error)) from error

    def _unavailable(self, reason: str) -> DatabaseUnavailable:
        return DatabaseUnavailable(f"PostgreSQL ({self}) can't be reached: {_one_line(reason)}.")


def open_database(settings: Settings) -> Database:
    """The pipeline's database, ready for use: `SEC_DATABASE_URL`, or the embedded server, started or attached to.

    The schema is brought to the newest version and the dimensions to this version's reference files.

    Args:
        settings: `database_url` and `postgres_dir` are read.

    Raises:
        ConfigError: `SEC_DATABASE_URL` is no PostgreSQL address.
        DatabaseUnavailable: The server can't be reached or started.
        DatabaseError: It is older than PostgreSQL 15, or its schema is newer than this program.
    """
    from sec_core.db import seed  # noqa: PLC0415 - reads the reference files

    if settings.database_url is not None:
        database = Database(settings.database_url.get_secret_value())
    else:
        database = Database(embedded.ensure_running(settings.postgres_dir))
    database.check()
    database.migrate()
    seed.seed_dimensions(database)
    return database


def _libpq_url(url: str) -> str:
    scheme, separator, rest = url.strip().partition("://")
    if not separator or scheme not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise ConfigError(
            "SEC_DATABASE_URL is no PostgreSQL address.",
            next_step="Write it as postgresql://user:password@host:5432/name.",
        )
    return f"postgresql://{rest}"


def _parameters(url: str) -> dict[str, str]:
    """Parameters for libpq of an address, with bounds on waiting and UTC unless the address says otherwise."""
    try:
        given = {key: str(value) for key, value in conninfo.conninfo_to_dict(url).items() if value is not None}
    except psycopg.ProgrammingError:
        # The driver's message may quote the password.
        raise ConfigError(
            "SEC_DATABASE_URL is malformed.", next_step="Percent-encode special characters in it."
        ) from None
    usual = {
        "connect_timeout": str(_CONNECT_TIMEOUT_S),
        "application_name": "sec",
        "keepalives_idle": "30",
        # Where a database was made with the encoding SQL_ASCII, texts would come as bytes.
        "client_encoding": "UTF8",
    }
    options = f"{given.get('options', '')} -c timezone=UTC".strip()
    return {**usual, **given, "options": options}


def _translate(context: ExceptionContext) -> None:
    """Turn what is not the code's fault into the project's errors."""
    original = context.original_exception
    # A pooled connection found dead before its use is replaced by the pool.
    if context.is_pre_ping or not isinstance(original, psycopg.OperationalError):
        return
    if isinstance(original, psycopg.errors.QueryCanceled):
        return
    if isinstance(original, psycopg.errors.DiskFull):
        raise DatabaseError(
            f"PostgreSQL's disk is full: {_one_line(str(original))}.",
            next_step="Make room, then run the command again.",
        ) from original
    if context.is_disconnect or original.sqlstate is None or original.sqlstate[:2] in {"08", "57"}:
        raise DatabaseUnavailable(_LOST.format(_one_line(str(original)))) from original


def _one_line(text: str) -> str:
    return text.strip().splitlines()[0].rstrip(".") if text.strip() else "no reason was given"
