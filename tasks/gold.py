"""Building Gold from Silver: files, local publication, the report page."""

from __future__ import annotations

import asyncio

from prefect import task
from prefect.cache_policies import NO_CACHE

from sec_core.gold.build import GoldReport, build_gold
from tasks.progress import Step, report
from tasks.retry import worth_another_try
from tasks.runtime import runtime


@task(
    name="build-gold",
    task_run_name="build Gold",
    retries=2,
    retry_delay_seconds=[5, 60],
    retry_condition_fn=worth_another_try,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def build_gold_task() -> GoldReport:
    """Make all of Gold from what Silver holds.

    Returns:
        Files, counts and sizes.

    Raises:
        DatabaseUnavailable: Silver can't be read.
        StorageError: A file can't be written; the earlier one stays.
    """
    run = runtime()
    report(Step(stage="gold", total=1))
    built = await asyncio.to_thread(build_gold, run.database, run.settings, run.clock)
    report(Step(stage="gold", done=1))
    return built
