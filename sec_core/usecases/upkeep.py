"""Upkeep: cold storage, retention, old logs."""

from datetime import timedelta

from loguru import logger
from pydantic import BaseModel

from sec_core.bronze.seal import SealReport
from sec_core.db.locks import Lock, turn
from sec_core.hours import Month
from sec_core.usecases.adapters import Adapters

# How long logs, and results that Prefect keeps for its cache, stay.
KEPT = timedelta(days=90)


class UpkeepReport(BaseModel):
    """Months that were sealed, months that were archived, and how many old log files went."""

    sealed: list[str]
    archived: list[str]
    logs_removed: int


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


def keep_up(adapters: Adapters) -> UpkeepReport:
    """Seal what is ready, archive what the retention setting says, remove what is older than ninety days.

    Raises:
        StorageError: A packed or archived file was not what it should be; nothing was removed then.
    """
    from sec_core.silver.retention import apply_retention

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
