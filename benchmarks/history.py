"""A history of the size of the real one: 108 months, a snapshot every six hours, 6.2 million rows, 730 000 events."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from benchmarks.measuring import opened
from sec_core.bronze.ledger import Finding, Ledger
from sec_core.bronze.store import BronzeStore
from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.hours import CHILE, HOUR, Month, month_range
from sec_core.simulator.answers import detailed_body
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.world import World
from sec_core.source.shapes import classify

MONTHS: Final = tuple(month_range(Month(2017, 1), Month(2025, 12)))
EVERY_HOURS: Final = 6
# As many rows in an outage as the real source gives, so that the number of events is that of the real history, too.
WORLD: Final = WorldOptions(rows_per_hour=960, feeders=7, stale_rows=60, holes=())


@dataclass(frozen=True, slots=True)
class Size:
    """How large a history is.

    Attributes:
        hours: Snapshots.
        rows: Rows in them.
        raw_bytes: Their JSON.
    """

    hours: int = 0
    rows: int = 0
    raw_bytes: int = 0


def hours_of(month: Month) -> list[datetime]:
    """The hours of a month that the history has."""
    return [hour for hour in month.hours() if hour.astimezone(CHILE).hour % EVERY_HOURS == 0]


def finding(world: World, hour: datetime, revision: int = 0) -> Finding:
    """What asking for an hour comes to, soon after it closed."""
    body = detailed_body(world, hour, world.rows(hour, revision), revision)
    return Finding(hour, hour + HOUR + timedelta(minutes=5 + revision), body, classify(body))


def make(settings: Settings, months: tuple[Month, ...] = MONTHS) -> Size:
    """Write the history to Bronze and to the ledger.

    Args:
        settings: Where both are.
        months: Which part of it.
    """
    world = World(WORLD)
    hours = rows = raw = 0
    with opened(settings) as database:
        ledger, _ = bronze_of(settings, database)
        for month in months:
            findings = [finding(world, hour) for hour in hours_of(month)]
            ledger.record(findings)
            hours += len(findings)
            rows += sum(found.classified.rows for found in findings if found.classified is not None)
            raw += sum(len(found.body) for found in findings)
    return Size(hours, rows, raw)


def bronze_of(settings: Settings, database: Database) -> tuple[Ledger, BronzeStore]:
    """The ledger and the bodies."""
    store = BronzeStore(settings.bronze)
    return Ledger(database, store), store
