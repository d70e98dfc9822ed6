"""Three months of one comuna, small enough to be known by heart, and how tests load and look at them."""

from datetime import date
from typing import Any

from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.hours import HOUR, Month
from sec_core.silver.load import load_month
from sec_core.source.shapes import Shape
from support.reference_rules import Hour, Listed, utc
from support.silver_world import MemoryBronze, body_of

NUNOA = 13120
MONTHS = [Month(2025, 5), Month(2025, 6), Month(2025, 7)]


def rows_of(database: Database, sql: str) -> list[tuple[Any, ...]]:
    with database.engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(sql)]


def world() -> MemoryBronze:
    """Three months of one comuna, with an event over each border and a detailed day."""
    bronze = MemoryBronze()
    hour = utc(2025, 5, 30, 4)
    while hour < utc(2025, 7, 3, 4):
        value = 400 if hour.day in {30, 31, 1, 15} else 20
        bronze.put(hour, Shape.AGGREGATED, body_of(Hour("aggregated", [Listed(NUNOA, 1, None, value)])))
        hour += HOUR
    day = Hour("detailed", [Listed(NUNOA, 15, date(2025, 6, 14), 300), Listed(NUNOA, 0, date(2025, 6, 1), 50)])
    bronze.put(utc(2025, 6, 15, 16), Shape.DETAILED, body_of(day))
    return bronze


def load_all(database: Database, bronze: MemoryBronze, settings: Settings, months: list[Month] | None = None) -> None:
    for month in months or MONTHS:
        load_month(database, bronze.read, month, settings, values=bronze)
