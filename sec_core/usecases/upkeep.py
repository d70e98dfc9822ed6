"""Upkeep: cold storage, retention, old logs."""

from dataclasses import dataclass
from datetime import timedelta

from loguru import logger
from pydantic import BaseModel

from sec_core.bronze.seal import SealReport
from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.db.locks import Lock, turn
from sec_core.errors import ConfigError
from sec_core.hours import Month
from sec_core.usecases.adapters import Adapters

# How long logs, and results that Prefect keeps for its cache, stay.
KEPT = timedelta(days=90)
# The live views look back this far, so no shorter retention makes sense.
SHORTEST_DAYS = 30


class UpkeepReport(BaseModel):
    """Months that were sealed, months that were archived, and how many old log files went."""

    sealed: list[str]
    archived: list[str]
    logs_removed: int


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """Months whose observations this run left in the archive only; `kept_days` is None when all are kept."""

    months: tuple[Month, ...]
    rows: int
    kept_days: int | None


def seal_ready(adapters: Adapters, month: str | None = None) -> dict[Month, SealReport | None]:
    """Pack a month (`YYYY-MM`), or all that are closed, complete and settled, into one verified file each.

    Returns:
        What was packed, by month; None for a month that had nothing new to pack.

    Raises:
        IncompleteError: The month named is not closed, or has hours to be asked for.
        StorageError: A packed file was not what it should be; nothing was removed then.
    """
    from sec_core.bronze.seal import may_seal, seal_month

    ledger, now = adapters.ledger, adapters.clock.now()
    with turn(adapters.database, Lock.SEALING):
        named = [Month.parse(month)] if month else None
        months = named or [each for each in ledger.months() if may_seal(each, ledger, now) is None]
        return {each: seal_month(each, store=adapters.store, ledger=ledger, now=now) for each in months}


def apply_retention(database: Database, settings: Settings, *, keep_days: int | None = None) -> RetentionReport:
    """Move months that ended more than `keep_days` (else the setting) before the newest loaded hour to the archive.

    Each month in a transaction of its own: written, read back, compared, and only then dropped. A failed check drops
    nothing, and months moved before it stay moved.

    Raises:
        ConfigError: Fewer than 30 days.
        StorageError: A file could not be written or verified.
    """
    from sec_core.silver.archive import Archive
    from sec_core.silver.tables import SilverTables

    days = settings.retention_days if keep_days is None else keep_days
    if days is None:
        return RetentionReport((), 0, None)
    if days < SHORTEST_DAYS:
        raise ConfigError(f"Retention of {days} days is too short.", next_step="Keep 30 days or more.")
    moved: list[Month] = []
    rows = 0
    with turn(database, Lock.RETENTION), database.adbc() as connection:
        tables = SilverTables(connection, Archive(settings.archive))
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


def keep_up(adapters: Adapters) -> UpkeepReport:
    """Seal what is ready, archive what the retention setting says, remove what is older than ninety days.

    Raises:
        StorageError: A packed or archived file was not what it should be; nothing was removed then.
    """
    sealed = [str(month) for month, packed in seal_ready(adapters).items() if packed is not None]
    archived = [str(month) for month in apply_retention(adapters.database, adapters.settings).months]
    removed = _remove_old_files(adapters)
    report = UpkeepReport(sealed=sealed, archived=archived, logs_removed=removed)
    logger.bind(stage="upkeep").info(
        "Sealed {} months, archived {}, removed {} log files", len(sealed), len(archived), removed
    )
    return report


def _remove_old_files(adapters: Adapters) -> int:
    oldest, settings = adapters.clock.now() - KEPT, adapters.settings
    logs = [path for path in settings.logs_dir.glob("sec-*.jsonl") if path.name < f"sec-{oldest:%Y-%m-%d}.jsonl"]
    results = [path for path in settings.results_dir.glob("*") if path.stat().st_mtime < oldest.timestamp()]
    for path in (*logs, *results):
        path.unlink()
    return len(logs)
