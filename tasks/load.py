"""Loading a month from Bronze into Silver, as one thing to see and retry: it is one transaction."""

from __future__ import annotations

import asyncio

from prefect import task
from prefect.cache_policies import NO_CACHE

from sec_core.hours import Month
from sec_core.silver.load import LoadReport, load_month
from tasks.progress import Step, report
from tasks.retry import worth_another_try
from tasks.runtime import runtime


@task(
    name="load-month",
    task_run_name="load {month}",
    retries=3,
    retry_delay_seconds=[5, 30, 120],
    retry_condition_fn=worth_another_try,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def load_month_task(month: str, force: bool = False) -> LoadReport:
    """Bring Silver up to what Bronze holds of a month.

    Args:
        month: The month as `YYYY-MM`.
        force: Load all its hours again, for instance after an alias was added.

    Returns:
        What was loaded and what it changed.

    Raises:
        DatabaseUnavailable: The database can't be reached; nothing is half-loaded.
        StorageError: A body of Bronze is damaged.
    """
    run = runtime()
    report(Step(stage="load", month=month, total=1))
    loaded = await asyncio.to_thread(
        load_month, run.database, run.body, Month.parse(month), run.settings, values=run.ledger, force=force
    )
    report(Step(stage="load", month=month, done=1))
    return loaded
