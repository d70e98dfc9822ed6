"""Figures of a month in Silver, for the table at the end of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from sec_core.db.database import Database
    from sec_core.hours import Month

_LOADED = text("""
    select count(*) as hours, coalesce(sum(n_filas), 0) as rows, coalesce(sum(n_observaciones), 0) as observations,
        coalesce(sum(clientes), 0) as customers
    from cargas where hora >= :first and hora < :last
""")
_EVENTS = text("""
    select count(*) as listed, count(*) filter (where inicio >= :first and inicio < :last) as begun
    from fact_interrupciones where primera_hora < :last and ultima_hora >= :first
""")
_IMPUTED = text("select regla, filas from calidad_imputacion where mes = :month order by regla")
_UNRESOLVED = text("""
    select coalesce(sum(n_filas), 0) from nombres_no_resueltos
    where hora >= :first and hora < :last and (nombre <> '' or nombre_region <> '')
""")


@dataclass(frozen=True, slots=True)
class MonthFigures:
    """What Silver holds of a month.

    Attributes:
        hours: Hours loaded.
        rows: Rows of their captures.
        observations: Observations that these became.
        customers: Sum of customers over the rows.
        events: Events with an hour in the month.
        events_begun: Those of them that begin in it, which Gold counts under this month.
        imputed: Rows (events for the cap) touched by each rule, by the rule's name.
        unresolved: Rows with a name, which is not blank, that did not resolve.
    """

    hours: int
    rows: int
    observations: int
    customers: int
    events: int
    events_begun: int
    imputed: dict[str, int]
    unresolved: int


def month_figures(database: Database, month: Month) -> MonthFigures:
    """Read the figures of a month.

    Raises:
        DatabaseUnavailable: The database can't be reached.
    """
    window = {"first": month.start, "last": month.end}
    with database.engine.connect() as connection:
        loaded = connection.execute(_LOADED, window).one()
        events = connection.execute(_EVENTS, window).one()
        return MonthFigures(
            hours=loaded.hours,
            rows=int(loaded.rows),
            observations=int(loaded.observations),
            customers=int(loaded.customers),
            events=events.listed,
            events_begun=events.begun,
            imputed={row.regla: row.filas for row in connection.execute(_IMPUTED, {"month": month.first_day})},
            unresolved=int(connection.execute(_UNRESOLVED, window).scalar_one()),
        )
