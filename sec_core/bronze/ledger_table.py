"""The ledger's tables `capturas` and `revisiones`: reading and writing their rows, no rules."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import exc

from sec_core.bronze.ledger_rules import DAMAGED, Capture, HourState, LedgerRow, Origin, Result, best_value
from sec_core.db.locks import LockClass
from sec_core.db.problems import refusal
from sec_core.source.shapes import AnsweredBy, Shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sec_core.db.database import Database
    from sec_core.hours import Month

Cursor = psycopg.Cursor[dict[str, Any]]

# Columns, each with the attribute that it holds.
_OF_REVISION: Final = {
    "hora": "capture.hour", "capturado_en": "capture.captured_at", "origen": "capture.origin", "resultado": "result",
    "forma": "capture.shape", "clave": "capture.key", "sha256": "capture.sha256", "bytes": "capture.size",
    "n_filas": "capture.rows", "clientes": "capture.customers", "motivo": "reason",
    "anfitrion": "capture.answered_by.host", "fuente": "capture.answered_by.source",
}  # fmt: skip
_OF_VALUE: Final = {
    column: _OF_REVISION[column].removeprefix("capture.")
    for column in ("forma", "capturado_en", "sha256", "bytes", "n_filas", "clientes", "anfitrion", "fuente")
}
_OF_ROW: Final = {
    "n_revisiones": "revisions", "intentos": "asked", "primera_consulta": "first_asked",
    "ultima_consulta": "last_asked", "vacio_desde": "empty_since", "fallos_seguidos": "failures",
    "codigo_error": "code", "ultimo_error": "error", "sospechosa": "suspect", "total_nacional": "national_total",
}  # fmt: skip


def _upsert(table: str, key: Sequence[str], others: Iterable[str]) -> str:
    columns = [*key, *others]
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns[len(key) :])
    return (
        f"insert into {table} ({', '.join(columns)}) values ({', '.join(['%s'] * len(columns))}) "
        f"on conflict ({', '.join(key)}) do update set {changes}"
    )


_UPSERT_REVISION: Final = _upsert("revisiones", [*_OF_REVISION][:3], [*_OF_REVISION][3:])
_UPSERT_ROW: Final = _upsert("capturas", ["hora"], ["estado", "diferencia_nacional", *_OF_ROW, *_OF_VALUE])


@dataclass(frozen=True, slots=True)
class Revision:
    """A kept body with what it was taken for, and why it is in quarantine (a row of `revisiones`)."""

    capture: Capture
    result: Result
    reason: str | None

    @property
    def damaged(self) -> bool:
        """Whether the body is no longer what was kept."""
        return self.result is Result.QUARANTINED and (self.reason or "").startswith(DAMAGED)


@contextmanager
def transaction(database: Database) -> Iterator[Cursor]:
    """A transaction on the ledger; raises DatabaseUnavailable for a lost server, DatabaseError for a refusal."""
    try:
        with database.engine.begin() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)  # noqa: S101  (the engine is made with psycopg)
            with driver.cursor(row_factory=dict_row) as cursor:
                yield cursor
    except (exc.DBAPIError, psycopg.Error) as error:
        raise refusal(error) from error


def lock_month(cursor: Cursor, month: Month) -> None:
    """Wait until nobody else writes to this month's journal and rows; held to the end of the transaction."""
    cursor.execute(
        "select pg_advisory_xact_lock(%s, %s)", (int(LockClass.JOURNAL_MONTH), month.year * 100 + month.month)
    )


def read_revisions(cursor: Cursor, hours: Sequence[datetime]) -> dict[datetime, list[Revision]]:
    """All revisions of some hours, oldest first."""
    cursor.execute("select * from revisiones where hora = any(%s) order by hora, capturado_en, origen", (list(hours),))
    found: dict[datetime, list[Revision]] = {}
    for row in cursor:
        found.setdefault(row["hora"], []).append(to_revision(row))
    return found


def to_capture(row: dict[str, Any]) -> Capture:
    """A row of `revisiones` as a value."""
    shape = Shape(row["forma"]) if row["forma"] else None
    answered_by = AnsweredBy(row["anfitrion"], row["fuente"])
    return Capture(
        row["hora"], row["capturado_en"], Origin(row["origen"]), row["clave"], row["sha256"], row["bytes"],
        row["n_filas"], row["clientes"], shape, answered_by,
    )  # fmt: skip


def to_revision(row: dict[str, Any]) -> Revision:
    """A row of `revisiones`, with what it was taken for."""
    return Revision(to_capture(row), Result(row["resultado"]), row["motivo"])


def read_rows(cursor: Cursor, hours: Sequence[datetime]) -> dict[datetime, LedgerRow]:
    """Ledger rows of some hours; hours without a row are absent."""
    return read_rows_of(cursor, hours, read_revisions(cursor, hours))


def read_rows_of(
    cursor: Cursor, hours: Sequence[datetime], revisions: Mapping[datetime, Sequence[Revision]]
) -> dict[datetime, LedgerRow]:
    """Ledger rows of some hours whose revisions are known; hours without a row are absent."""
    cursor.execute(f"select hora, estado, {', '.join(_OF_ROW)} from capturas where hora = any(%s)", (list(hours),))
    found = {}
    for row in cursor:
        value = best_value(revision.capture for revision in revisions.get(row["hora"], []))
        known = {attribute: row[column] for column, attribute in _OF_ROW.items()}
        found[row["hora"]] = LedgerRow(row["hora"], HourState(row["estado"]), value, **known)
    return found


def write_rows(cursor: Cursor, rows: Iterable[LedgerRow]) -> None:
    """Insert or replace ledger rows. Hours that were neither asked nor imported have none (they are pending)."""
    own = attrgetter("hour", "state", "national_difference", *_OF_ROW.values())
    of_value = attrgetter(*_OF_VALUE.values())
    known = [row for row in rows if row.state is not HourState.PENDING]
    cursor.executemany(
        _UPSERT_ROW, [(*own(row), *(of_value(row.value) if row.value else [None] * len(_OF_VALUE))) for row in known]
    )


def write_revisions(cursor: Cursor, revisions: Iterable[Revision]) -> None:
    """Insert revisions; of one that is there already, what it is taken for is brought up to date."""
    cursor.executemany(_UPSERT_REVISION, list(map(attrgetter(*_OF_REVISION.values()), revisions)))


def delete_month(cursor: Cursor, first: datetime, last: datetime) -> None:
    """Forget the ledger rows of hours in [first, last)."""
    for table in ("revisiones", "capturas"):
        cursor.execute(f"delete from {table} where hora >= %s and hora < %s", (first, last))


def delete_other_months(cursor: Cursor, months: Sequence[Month]) -> None:
    """Forget the ledger rows of hours outside these months."""
    starts, ends = [month.start for month in months], [month.end for month in months]
    for table in ("revisiones", "capturas"):
        cursor.execute(
            f"delete from {table} where not exists (select from unnest(%s::timestamptz[], %s::timestamptz[]) "
            "as mes(desde, hasta) where hora >= desde and hora < hasta)",
            (starts, ends),
        )
