"""Retention: observations of months older than a number of days move from the database to the archive."""

from dataclasses import dataclass
from datetime import timedelta

from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.db.locks import Lock, turn
from sec_core.errors import ConfigError
from sec_core.hours import Month
from sec_core.silver.archive import Archive
from sec_core.silver.tables import SilverTables

# The live views look back this far, so no shorter retention makes sense.
SHORTEST_DAYS = 30


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """Months whose observations this run left in the archive only; `kept_days` is None when all are kept."""

    months: tuple[Month, ...]
    rows: int
    kept_days: int | None


def apply_retention(database: Database, settings: Settings, *, keep_days: int | None = None) -> RetentionReport:
    """Move months that ended more than `keep_days` (else the setting) before the newest loaded hour to the archive.

    Each month in a transaction of its own: written, read back, compared, and only then dropped. A failed check drops
    nothing, and months moved before it stay moved.

    Raises:
        ConfigError: Fewer than 30 days.
        StorageError: A file could not be written or verified.
    """
    days = settings.retention_days if keep_days is None else keep_days
    if days is None:
        return RetentionReport((), 0, None)
    if days < SHORTEST_DAYS:
        raise ConfigError(f"Retention of {days} days is too short.", next_step="Keep 30 days or more.")
    archive = Archive(settings.archive)
    moved: list[Month] = []
    rows = 0
    with turn(database, Lock.RETENTION), database.adbc() as connection:
        tables = SilverTables(connection, archive)
        newest = tables.newest()
        months = tables.partitions() if newest is not None else []
        connection.rollback()
        for month in months:
            if newest is not None and month.end <= newest - timedelta(days=days):
                # A partition that leaves needs the whole table for itself.
                tables.lock_month(month, alone=True)
                rows += tables.archive_month(month)
                connection.commit()
                moved.append(month)
    return RetentionReport(tuple(moved), rows, days)
