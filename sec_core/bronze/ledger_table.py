"""The ledger's tables `capturas` and `revisiones`: reading and writing their rows, no rules."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import exc

from sec_core.bronze.ledger_rules import DAMAGED, Capture, HourState, LedgerRow, Origin, Result, better_value
from sec_core.db.locks import LockClass
from sec_core.db.problems import refusal
from sec_core.source.shapes import AnsweredBy, Shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sec_core.db.database import Database
    from sec_core.hours import Month

Cursor = psycopg.Cursor[dict[str, Any]]

_BODY_COLUMNS = (
    "hora, capturado_en, resultado, forma, origen, clave, sha256, bytes, n_filas, clientes, motivo, anfitrion, fuente"
)
_ROW_COLUMNS = (
    "hora", "estado", "forma", "capturado_en", "sha256", "bytes", "n_filas", "clientes", "anfitrion", "fuente",
    "n_revisiones", "intentos",
    "primera_consulta", "ultima_consulta", "vacio_desde", "fallos_seguidos", "codigo_error", "ultimo_error",
    "sospechosa", "total_nacional", "diferencia_nacional",
)  # fmt: skip
_UPSERT_ROW = (
    f"insert into capturas ({', '.join(_ROW_COLUMNS)}) values ({', '.join(['%s'] * len(_ROW_COLUMNS))}) "
    f"on conflict (hora) do update set {', '.join(f'{name} = excluded.{name}' for name in _ROW_COLUMNS[1:])}"
)


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
    cursor.execute(
        f"select {_BODY_COLUMNS} from revisiones where hora = any(%s) order by hora, capturado_en, origen",
        (list(hours),),
    )
    found: dict[datetime, list[Revision]] = {}
    for row in cursor:
        revision = _to_revision(row)
        found.setdefault(revision.capture.hour, []).append(revision)
    return found


def read_quarantine(cursor: Cursor, first: datetime, last: datetime) -> list[Revision]:
    """Quarantined revisions of hours in [first, last), oldest first."""
    cursor.execute(
        f"select {_BODY_COLUMNS} from revisiones where resultado = 'quarantined' and hora >= %s and hora < %s "
        "order by hora, capturado_en, origen",
        (first, last),
    )
    return [_to_revision(row) for row in cursor]


def to_capture(row: dict[str, Any]) -> Capture:
    """A row of `revisiones` as a value."""
    return Capture(
        hour=row["hora"].astimezone(UTC),
        captured_at=row["capturado_en"].astimezone(UTC),
        origin=Origin(row["origen"]),
        key=row["clave"],
        sha256=row["sha256"],
        size=row["bytes"],
        rows=row["n_filas"],
        customers=row["clientes"],
        shape=Shape(row["forma"]) if row["forma"] else None,
        answered_by=AnsweredBy(row["anfitrion"], row["fuente"]),
    )


def _to_revision(row: dict[str, Any]) -> Revision:
    return Revision(to_capture(row), Result(row["resultado"]), row["motivo"])


def read_rows(cursor: Cursor, hours: Sequence[datetime]) -> dict[datetime, LedgerRow]:
    """Ledger rows of some hours; hours without a row are absent."""
    return read_rows_of(cursor, hours, read_revisions(cursor, hours))


def read_rows_of(
    cursor: Cursor, hours: Sequence[datetime], revisions: Mapping[datetime, Sequence[Revision]]
) -> dict[datetime, LedgerRow]:
    """Ledger rows of some hours whose revisions are known; hours without a row are absent."""
    cursor.execute(f"select {', '.join(_ROW_COLUMNS)} from capturas where hora = any(%s)", (list(hours),))
    found = {}
    for row in cursor:
        hour = row["hora"].astimezone(UTC)
        value: Capture | None = None
        for revision in revisions.get(hour, []):
            value = better_value(value, revision.capture)
        found[hour] = LedgerRow(
            hour=hour,
            state=HourState(row["estado"]),
            value=value,
            revisions=row["n_revisiones"],
            asked=row["intentos"],
            first_asked=_utc(row["primera_consulta"]),
            last_asked=_utc(row["ultima_consulta"]),
            empty_since=_utc(row["vacio_desde"]),
            failures=row["fallos_seguidos"],
            code=row["codigo_error"],
            error=row["ultimo_error"],
            suspect=row["sospechosa"],
            national_total=row["total_nacional"],
        )
    return found


def read_row_counts(cursor: Cursor, hours: Sequence[datetime]) -> dict[datetime, int]:
    """Rows in the value of some hours; hours without a value are absent."""
    cursor.execute("select hora, n_filas from capturas where hora = any(%s) and forma is not null", (list(hours),))
    return {row["hora"].astimezone(UTC): row["n_filas"] for row in cursor}


def _utc(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant.astimezone(UTC)


def write_rows(cursor: Cursor, rows: Iterable[LedgerRow]) -> None:
    """Insert or replace ledger rows. Hours that were neither asked nor imported have none (they are pending)."""
    parameters = [_parameters(row) for row in rows if row.state is not HourState.PENDING]
    if parameters:
        cursor.executemany(_UPSERT_ROW, parameters)


def _parameters(row: LedgerRow) -> tuple[object, ...]:
    value = row.value
    described = (None,) * 8
    if value is not None and value.shape is not None:
        by = value.answered_by
        described = (  # type: ignore[assignment]
            value.shape.value, value.captured_at, value.sha256, value.size, value.rows, value.customers, by.host,
            by.source,
        )  # fmt: skip
    return (
        row.hour, row.state.value, *described, row.revisions, row.asked, row.first_asked, row.last_asked,
        row.empty_since, row.failures, row.code, row.error, row.suspect, row.national_total, row.national_difference,
    )  # fmt: skip


def write_revisions(cursor: Cursor, revisions: Iterable[Revision]) -> None:
    """Insert revisions; of one that is there already, what it is taken for is brought up to date."""
    parameters = [
        (
            kept.hour, kept.captured_at, item.result.value, kept.shape.value if kept.shape else None,
            kept.origin.value, kept.key, kept.sha256, kept.size, kept.rows, kept.customers, item.reason,
            kept.answered_by.host, kept.answered_by.source,
        )
        for item in revisions
        for kept in (item.capture,)
    ]  # fmt: skip
    if parameters:
        marks = ", ".join(["%s"] * 13)
        cursor.executemany(
            f"insert into revisiones ({_BODY_COLUMNS}) values ({marks}) "
            "on conflict (hora, capturado_en, origen) do update "
            "set resultado = excluded.resultado, forma = excluded.forma, n_filas = excluded.n_filas, "
            "clientes = excluded.clientes, motivo = excluded.motivo, anfitrion = excluded.anfitrion, "
            "fuente = excluded.fuente",
            parameters,
        )


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
