"""Storms under way: those of the last weeks that are not over in the newest loaded hour, straight from Silver."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.gold.frames import UTC_TIME, snapshot, source_hours, with_month
from sec_core.gold.storms import StormRules, find_storms
from sec_core.hours import CHILE, HOUR
from sec_core.reference.tables import neighbours

# How far back is looked: the usual level's week and two more. Retention keeps at least thirty days.
WINDOW: Final = timedelta(days=21)
_NEWEST = "SELECT max(hora) AS hora FROM cargas"
_LOADED = (
    "SELECT hora FROM cargas LEFT JOIN capturas USING (hora) WHERE NOT coalesce(sospechosa, false) AND hora >= '{}'"
)
_PANEL = """
    SELECT hora, codigo_comuna, sum(clientes_afectados)::bigint AS clientes_afectados
    FROM fact_observaciones JOIN dim_geografia USING (id_geografia) WHERE hora >= '{}' GROUP BY 1, 2
"""
_CUSTOMERS = """
    SELECT DISTINCT ON (codigo_comuna) codigo_comuna, clientes FROM clientes_comunales ORDER BY codigo_comuna, mes DESC
"""


@dataclass(frozen=True, slots=True)
class StormNow:
    """A storm under way.

    Attributes:
        id: Its identity so far.
        since: Its first hour, UTC.
        hour: The newest loaded hour, UTC.
        peak: Most customers out so far.
        now: Customers out in `hour`.
        before: Customers out in the loaded hour before.
        comunas: Comunas hit so far.
    """

    id: str
    since: datetime
    hour: datetime
    peak: int
    now: int
    before: int
    comunas: int

    @property
    def text(self) -> str:
        """It in one line, for a person."""
        course = "rising" if self.now > self.before else "falling" if self.now < self.before else "steady"
        return (
            f"A storm is under way since {self.since.astimezone(CHILE):%Y-%m-%d %Hh} in Chile: peak so far"
            f" {self.peak:,} customers, {self.comunas} comunas, {self.now:,} out now and {course}."
        )


def under_way(database: Database, settings: Settings) -> list[StormNow]:
    """The storms that are not over in the newest loaded hour; none before Gold has made customers by comuna.

    Raises:
        DatabaseUnavailable: The database can't be reached.
    """
    with snapshot(database) as connection:
        newest: datetime | None = connection.query(_NEWEST).item()
        if newest is None:
            return []
        first = newest - WINDOW
        loaded = connection.query(_LOADED.format(first.isoformat()))["hora"].cast(UTC_TIME)
        panel = connection.query(_PANEL.format(first.isoformat())).with_columns(pl.col("hora").cast(UTC_TIME))
        customers = connection.query(_CUSTOMERS)
    expected = source_hours(first, newest + HOUR, newest + HOUR)
    months = with_month(expected).select("mes").unique()
    storms, curves = find_storms(
        panel, loaded, expected["hora"], customers.join(months, how="cross"), neighbours(), StormRules.of(settings)
    )
    totals = curves.group_by("id", "hora").agg(pl.col("clientes_afectados").sum())
    recent = loaded.sort().tail(2).to_list()
    found = []
    for row in storms.filter("abierta").iter_rows(named=True):
        course = dict(totals.filter(id=row["id"]).select("hora", "clientes_afectados").iter_rows())
        before, now = (course.get(hour, 0) for hour in (recent[0], recent[-1]))
        found.append(StormNow(row["id"], row["inicio"], recent[-1], row["punta"], now, before, row["comunas"]))
    return found
