"""One connection's means: statements as frames of a schema, bulk appends, locks."""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import polars as pl

from sec_core.db.arrow import ArrowConnection, Parameter
from sec_core.db.locks import Lock, LockClass
from sec_core.hours import Month
from sec_core.silver.columns import conform


class Statements:
    """Statements on one connection; the connection's owner commits."""

    def __init__(self, connection: ArrowConnection) -> None:
        self.connection = connection

    def query(self, sql: str, schema: Mapping[str, pl.DataType], *parameters: Parameter) -> pl.DataFrame:
        """Rows of a statement, with exactly the columns and types of `schema`; its `{columns}` are these."""
        return conform(self.read(sql.replace("{columns}", columns(schema)), *parameters), schema)

    def read(self, sql: str, *parameters: Parameter) -> pl.DataFrame:
        """Rows of a statement as PostgreSQL types them."""
        return self.connection.query(sql, *parameters)

    def execute(self, sql: str, *parameters: Parameter) -> None:
        """Run a statement for its effect."""
        self.connection.execute(sql, *parameters)

    def append(self, table: str, frame: pl.DataFrame, *, temporary: bool = False) -> None:
        """Add rows to a table whose columns and types the frame has; `temporary` makes it, for this session."""
        if frame.height or temporary:
            self.connection.append(table, frame, create=temporary, temporary=temporary)

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
        self.execute(f"select {lock}")


def columns(names: Iterable[str]) -> str:
    """Column names as a list in SQL."""
    return ", ".join(names)


def uuids(hashes: pl.Series) -> pl.Series:
    """Identities given as 16 bytes each, to be bound as `text[]`."""
    return hashes.bin.encode("hex")
