"""One connection's means: statements as frames, bulk appends, locks, errors in the project's words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING

import adbc_driver_manager
import polars as pl
import pyarrow as pa

from sec_core.db.locks import Lock, LockClass
from sec_core.db.problems import refusal
from sec_core.silver.columns import conform

if TYPE_CHECKING:
    from adbc_driver_postgresql.dbapi import Connection

    from sec_core.hours import Month

Parameter = str | int | date | datetime | pl.Series
"""A series is an array in SQL."""


class Statements:
    """Statements on one connection; the connection's owner commits."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def query(self, sql: str, schema: Mapping[str, pl.DataType], *parameters: Parameter) -> pl.DataFrame:
        """Rows of a statement, with exactly the columns and types of `schema`; its `{columns}` are these."""
        return conform(self.read(sql.replace("{columns}", columns(schema)), *parameters), schema)

    def read(self, sql: str, *parameters: Parameter) -> pl.DataFrame:
        """Rows of a statement as PostgreSQL types them."""
        with translated(), self.connection.cursor() as cursor:
            cursor.execute(sql, _bound(parameters))
            return pl.DataFrame(cursor.fetch_arrow_table())

    def execute(self, sql: str, *parameters: Parameter) -> None:
        """Run a statement for its effect; raises as `query` does."""
        with translated(), self.connection.cursor() as cursor:
            cursor.execute(sql, _bound(parameters))

    def append(self, table: str, frame: pl.DataFrame, *, temporary: bool = False) -> None:
        """Add rows to a table whose columns and types the frame has; `temporary` makes it, for this session."""
        if frame.height or temporary:
            mode = "create" if temporary else "append"
            rows = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
            with translated(), self.connection.cursor() as cursor:
                cursor.adbc_ingest(table, rows, mode=mode, temporary=temporary)

    @contextmanager
    def appending(self, table: str, frame: pl.DataFrame) -> Iterator[None]:
        """Append while the block computes: PostgreSQL has a core of its own. It may not use the connection."""
        with ThreadPoolExecutor(1) as beside:
            done = beside.submit(self.append, table, frame)
            yield
            done.result()

    def lock_month(self, month: Month, *, alone: bool = False) -> None:
        """Wait until no other load writes to a month; held until the transaction ends, taken before `lock_events`.

        With `alone`, wait until no other load writes to any month, for what touches several.
        """
        kind = "" if alone else "_shared"
        self._take(f"pg_advisory_xact_lock{kind}({Lock.ALL_MONTHS:d})")
        self._take(f"pg_advisory_xact_lock({LockClass.SILVER_MONTH:d}, {month.year * 100 + month.month})")

    def lock_events(self) -> None:
        """Wait until nobody else derives events; held until the transaction ends."""
        self._take(f"pg_advisory_xact_lock({Lock.EVENTS:d})")

    def _take(self, lock: str) -> None:
        # Reading the row is what tells of an error while waiting.
        self.read(f"select 1 from (select {lock}) as lock")


@contextmanager
def translated() -> Iterator[None]:
    """Raise what ADBC says in the project's words: DatabaseUnavailable for a lost connection, else DatabaseError."""
    try:
        yield
    except (adbc_driver_manager.Error, OSError) as error:
        # What happens while rows stream in comes as Arrow reports it: an OSError.
        raise refusal(error) from error


def columns(names: Iterable[str]) -> str:
    """Column names as a list in SQL."""
    return ", ".join(names)


def uuids(hashes: pl.Series) -> pl.Series:
    """Identities given as 16 bytes each, to be bound as `text[]`."""
    return hashes.bin.encode("hex")


def _bound(parameters: Sequence[Parameter]) -> pa.RecordBatch | None:
    """One row of parameters: in Arrow, arrays go over without being spelled out."""
    if not parameters:
        return None
    return pa.record_batch([_column(value) for value in parameters], names=[f"p{n}" for n in range(len(parameters))])


def _column(value: Parameter) -> pa.Array:
    if not isinstance(value, pl.Series):
        return pa.array([value])
    items = value.to_arrow(compat_level=pl.CompatLevel.oldest())
    return pa.ListArray.from_arrays(pa.array([0, len(items)], pa.int32()), items)
