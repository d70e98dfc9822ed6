"""Daily upkeep: cold storage, retention, old logs."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from loguru import logger
from prefect import flow
from pydantic import BaseModel, Field

from sec_core.bronze.seal import may_seal, seal_month
from sec_core.config import load_settings
from sec_core.silver.retention import apply_retention
from tasks.run_log import ensure_logging
from tasks.runtime import open_runtime

if TYPE_CHECKING:
    from tasks.runtime import Runtime

LOGS_KEPT = timedelta(days=90)


class MaintenanceReport(BaseModel):
    """What the upkeep came to.

    Attributes:
        sealed: Months packed into one file each.
        archived: Months whose observations moved to the archive.
        logs_removed: Log files older than ninety days that were removed.
    """

    sealed: list[str] = Field(default_factory=list)
    archived: list[str] = Field(default_factory=list)
    logs_removed: int = 0


@flow(name="maintenance", flow_run_name="maintenance", persist_result=False)
async def maintenance() -> MaintenanceReport:
    """Seal months that are closed, complete and settled, archive what the retention setting says, remove old logs.

    Returns:
        What was done.

    Raises:
        StorageError: A packed or archived file was not what it should be; nothing was removed then.
    """
    settings = load_settings()
    ensure_logging(settings)
    async with open_runtime(settings) as run:
        sealed = await asyncio.to_thread(_seal, run)
        moved = await asyncio.to_thread(apply_retention, run.database, settings)
        removed = await asyncio.to_thread(_remove_old_logs, run)
    report = MaintenanceReport(sealed=sealed, archived=[str(month) for month in moved.months], logs_removed=removed)
    logger.bind(stage="upkeep").info(
        "{} months sealed, {} archived, {} log files removed", len(sealed), len(report.archived), removed
    )
    return report


def _seal(run: Runtime) -> list[str]:
    now = run.clock.now()
    ready = [month for month in run.ledger.months() if may_seal(month, run.ledger, now) is None]
    reports = [seal_month(month, store=run.store, ledger=run.ledger, now=now) for month in ready]
    return [str(report.month) for report in reports if report is not None]


def _remove_old_logs(run: Runtime) -> int:
    oldest = f"sec-{run.clock.now() - LOGS_KEPT:%Y-%m-%d}.jsonl"
    old = [path for path in run.settings.logs_dir.glob("sec-*.jsonl") if path.name < oldest]
    for path in old:
        path.unlink()
    return len(old)
