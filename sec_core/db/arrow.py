"""Whole frames to and from PostgreSQL, over ADBC's own interface: its DB-API would import pyarrow, 60 MB and more."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime

import adbc_driver_manager as adbc
import adbc_driver_postgresql
import polars as pl

from sec_core.db.problems import refusal

# A series is an array in SQL.
Parameter = str | int | date | datetime | pl.Series


class ArrowConnection:
    """A session that speaks UTC. What PostgreSQL refuses is a DatabaseError, a lost session DatabaseUnavailable.

    Types must match the columns, nothing is cast: 16-byte binary is taken into `uuid`.
    """

    def __init__(self, conninfo: str) -> None:
        self._connection = adbc.AdbcConnection(adbc_driver_postgresql.connect(conninfo))
        self.execute("set timezone to 'UTC'")

    def query(self, sql: str, *parameters: Parameter) -> pl.DataFrame:
        """Rows of a statement as PostgreSQL types them."""
        with self._statement(sql, parameters) as statement:
            rows, _ = statement.execute_query()
            return pl.DataFrame(rows)

    def execute(self, sql: str, *parameters: Parameter) -> None:
        """Run a statement for its effect."""
        with self._statement(sql, parameters) as statement:
            statement.execute_update()

    def append(self, table: str, frame: pl.DataFrame, *, create: bool = False, temporary: bool = False) -> None:
        """Add rows to a table whose columns and types the frame has, or `create` it; `temporary` for this session."""
        options = {
            adbc.INGEST_OPTION_TARGET_TABLE: table,
            adbc.INGEST_OPTION_MODE: adbc.INGEST_OPTION_MODE_CREATE if create else adbc.INGEST_OPTION_MODE_APPEND,
            adbc.StatementOptions.INGEST_TEMPORARY.value: "true" if temporary else "false",
        }
        with _translated(), adbc.AdbcStatement(self._connection) as statement:
            statement.set_options(**options)
            statement.bind_stream(frame)
            statement.execute_update()

    def begin(self) -> None:
        """Start a transaction on a session that has none, if it is alive."""
        self.execute("select 1")
        with _translated():
            self._connection.set_autocommit(enabled=False)

    def end(self) -> None:
        """Commit, and be in no transaction."""
        with _translated():
            self._connection.set_autocommit(enabled=True)

    def commit(self) -> None:
        """Commit, and go on in another transaction."""
        with _translated():
            self._connection.commit()

    def rollback(self) -> None:
        """Undo the transaction, and go on in another one."""
        with _translated():
            self._connection.rollback()

    def close(self) -> None:
        """End the session."""
        self._connection.close()

    @contextmanager
    def _statement(self, sql: str, parameters: tuple[Parameter, ...]) -> Iterator[adbc.AdbcStatement]:
        with _translated(), adbc.AdbcStatement(self._connection) as statement:
            statement.set_sql_query(sql)
            if parameters:
                statement.prepare()
                statement.bind_stream(pl.DataFrame({f"p{n}": [value] for n, value in enumerate(parameters)}))
            yield statement


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (adbc.Error, pl.exceptions.ComputeError) as error:
        # What happens while rows stream in comes as Polars reports it.
        raise refusal(error) from error
