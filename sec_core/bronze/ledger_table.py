"""The ledger's tables `capturas` and `revisiones`: reading and writing, no rules."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import exc

from sec_core.bronze.ledger_rules import (
    DAMAGED,
    Book,
    Capture,
    HourState,
    LedgerRow,
    Origin,
    Result,
    Revision,
    best_value,
)
from sec_core.db.database import Database
from sec_core.db.locks import LockClass
from sec_core.db.problems import refusal
from sec_core.db.queries import read_queries, upsert
from sec_core.hours import HOUR, Month, closed_hours
from sec_core.source.shapes import AnsweredBy, Shape

Cursor = psycopg.Cursor[dict[str, Any]]

# Columns, each with the attribute that it holds.
OF_CAPTURE: Final = {
    "hora": "hour", "capturado_en": "captured_at", "origen": "origin", "clave": "key", "sha256": "sha256",
    "bytes": "size", "n_filas": "rows", "clientes": "customers", "forma": "shape",
    "anfitrion": "answered_by.host", "fuente": "answered_by.source",
}  # fmt: skip
_OF_REVISION: Final = {column: f"capture.{attribute}" for column, attribute in OF_CAPTURE.items()} | {
    "resultado": "result", "motivo": "reason",
}  # fmt: skip
_OF_VALUE: Final = {name: OF_CAPTURE[name] for name in OF_CAPTURE if name not in {"hora", "origen", "clave"}}
_OF_ROW: Final = {
    "n_revisiones": "revisions", "intentos": "asked", "primera_consulta": "first_asked",
    "ultima_consulta": "last_asked", "vacio_desde": "empty_since", "fallos_seguidos": "failures",
    "codigo_error": "code", "ultimo_error": "error", "sospechosa": "suspect", "total_nacional": "national_total",
}  # fmt: skip


_SQL: Final = read_queries("sec_core.bronze", "ledger_table.sql")
_UPSERT_REVISION: Final = upsert("revisiones", 3, _OF_REVISION)
_UPSERT_ROW: Final = upsert("capturas", 1, ("hora", "estado", "diferencia_nacional", *_OF_ROW, *_OF_VALUE))


@dataclass(frozen=True, slots=True)
class MonthSummary:
    """How far a month is captured, in hours; `expected` ones have closed, `pending` ones were never asked for.

    `damaged` hours lost their value to a damaged body, `suspect` ones look like a corrupt cycle, `differing` ones
    differ from the national series; `revisions` counts kept bodies.
    """

    month: Month
    expected: int
    pending: int
    captured: int
    empty: int
    failed: int
    quarantined: int
    damaged: int
    suspect: int
    differing: int
    revisions: int
    last_asked: datetime | None

    @property
    def complete(self) -> bool:
        """Whether every closed hour is captured or known to be empty."""
        return self.captured + self.empty == self.expected


@contextmanager
def transaction(database: Database, month: Month | None = None) -> Iterator[Cursor]:
    """A transaction on the ledger, in which nobody else writes to the journal and the rows of `month`.

    Raises:
        DatabaseUnavailable: The server is lost.
        DatabaseError: It refuses something.
    """
    try:
        with database.engine.begin() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)  # noqa: S101  (the engine is made with psycopg)
            with driver.cursor(row_factory=dict_row) as cursor:
                if month is not None:
                    lock = LockClass.JOURNAL_MONTH, month.year * 100 + month.month
                    cursor.execute("select pg_advisory_xact_lock(%s, %s)", lock)
                yield cursor
    except (exc.DBAPIError, psycopg.Error) as error:
        raise refusal(error) from error


def to_capture(row: Mapping[str, Any]) -> Capture:
    """A row of `revisiones` as a value."""
    shape = Shape(row["forma"]) if row["forma"] else None
    answered_by = AnsweredBy(row["anfitrion"], row["fuente"])
    return Capture(
        row["hora"], row["capturado_en"], Origin(row["origen"]), row["clave"], row["sha256"], row["bytes"],
        row["n_filas"], row["clientes"], shape, answered_by,
    )  # fmt: skip


def to_revision(row: Mapping[str, Any]) -> Revision:
    """A row of `revisiones`, with what it was taken for."""
    return Revision(to_capture(row), Result(row["resultado"]), row["motivo"])


def read_book(cursor: Cursor, hours: Iterable[datetime]) -> Book:
    """Rows and revisions (oldest first) of some hours; pending hours have no row."""
    book, wanted = Book(), (list(hours),)
    for row in cursor.execute(_SQL["revisions"], wanted):
        book.kept[row["hora"]][row["clave"]] = to_revision(row)
    for row in cursor.execute(_SQL["rows"], wanted):
        value = best_value(each.capture for each in book.kept[row["hora"]].values())
        known = {attribute: row[column] for column, attribute in _OF_ROW.items()}
        book.rows[row["hora"]] = LedgerRow(row["hora"], HourState(row["estado"]), value, **known)
    return book


def write_book(cursor: Cursor, book: Book) -> None:
    """Insert what was entered, or bring what is there up to date."""
    own = attrgetter("hour", "state", "national_difference", *_OF_ROW.values())
    of_value = attrgetter(*_OF_VALUE.values())
    cursor.executemany(_UPSERT_REVISION, list(map(attrgetter(*_OF_REVISION.values()), book.changed_revisions)))
    cursor.executemany(
        _UPSERT_ROW,
        [(*own(row), *(of_value(row.value) if row.value else [None] * len(_OF_VALUE))) for row in book.changed_rows],
    )


def delete_month(cursor: Cursor, month: Month) -> None:
    """Forget the ledger rows of a month."""
    for table in ("revisiones", "capturas"):
        cursor.execute(f"delete from {table} where hora >= %s and hora < %s", (month.start, month.end))


class LedgerTables:
    """The ledger of all hours as its tables have it, read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def values(self, first: datetime, last: datetime) -> list[Capture]:
        """The capture that counts of each captured hour in [first, last), ordered by hour."""
        return [to_capture(row) for row in self._found("values", first, last)]

    def rows(self, hours: Sequence[datetime]) -> dict[datetime, LedgerRow]:
        """Ledger rows of some hours; pending hours are absent."""
        return self._book(hours).rows

    def row_counts(self, hours: Sequence[datetime]) -> dict[datetime, int]:
        """Rows in the value of some hours; hours without a value are absent."""
        return {row["hora"]: row["n_filas"] for row in self._found("row_counts", list(hours))}

    def states(self, month: Month) -> dict[datetime, HourState]:
        """State of every hour that the source can have in a month, in order; not yet closed ones are pending too."""
        known = {row["hora"]: HourState(row["estado"]) for row in self._found("states", month.start, month.end)}
        return dict.fromkeys(month.hours(), HourState.PENDING) | known

    def revisions(self, hour: datetime) -> list[Revision]:
        """All kept bodies of an hour, oldest first."""
        return list(self._book([hour]).kept[hour].values())

    def kept(self, month: Month) -> list[Capture]:
        """Every kept body of a month, of any shape, that is not known to be damaged; in the order of names."""
        revisions = (each for held in self._book(month.hours()).kept.values() for each in held.values())
        return sorted((each.capture for each in revisions if not each.damaged), key=attrgetter("key"))

    def totals_of_both_shapes(self) -> dict[datetime, tuple[int, int]]:
        """Customers by the newest detailed and the newest aggregated capture, of each hour that has both."""
        return {row["hora"]: (row["detailed"], row["aggregated"]) for row in self._found("both_shapes")}

    def imported(self) -> set[tuple[datetime, datetime]]:
        """Hour and time of capture of every body from the older dataset."""
        return {(row["hora"], row["capturado_en"]) for row in self._found("imported", DAMAGED + "%")}

    def quarantine(self, first: datetime, last: datetime) -> list[Revision]:
        """Bodies in quarantine of hours in [first, last), oldest first."""
        return [to_revision(row) for row in self._found("quarantine", first, last)]

    def month_summary(self, months: Sequence[Month], now: datetime) -> list[MonthSummary]:
        """How far months are captured, in the order given; hours that have not closed by `now` are not expected."""
        summaries = []
        for month in months:
            closed = closed_hours(month, now)
            end = min(month.end, closed[-1] + HOUR) if closed else month.start
            (row,) = self._found("summary", month.start, end)
            known = row["captured"] + row["empty"] + row["failed"] + row["quarantined"]
            summaries.append(MonthSummary(month, len(closed), pending=len(closed) - known, **row))
        return summaries

    def newest_hour(self) -> datetime | None:
        """The newest captured hour of the whole history, whatever its shape."""
        newest: datetime | None = self._found("newest_hour")[0]["hora"]
        return newest

    def months(self) -> list[Month]:
        """Months that the ledger knows anything of, in order."""
        return sorted(Month.of(row["mes"]) for row in self._found("months"))

    def damaged(self) -> list[datetime]:
        """Hours that lost their value to a damaged body and were not answered since, in order."""
        return [row["hora"] for row in self._found("damaged", DAMAGED)]

    def _book(self, hours: Iterable[datetime]) -> Book:
        with transaction(self._database) as cursor:
            return read_book(cursor, hours)

    def _found(self, query: str, *values: object) -> list[dict[str, Any]]:
        with transaction(self._database) as cursor:
            return cursor.execute(_SQL[query], values).fetchall()
