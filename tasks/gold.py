"""Building Gold from Silver, publishing it locally, and drawing it."""

from __future__ import annotations

import asyncio

from prefect import task
from prefect.cache_policies import NO_CACHE

from sec_core.gold.build import GoldReport, build_gold
from sec_core.gold.report.build import ReportFiles, build_report
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


@task(
    name="build-report",
    task_run_name="draw the report",
    retries=1,
    retry_delay_seconds=5,
    retry_condition_fn=worth_another_try,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def build_report_task() -> ReportFiles:
    """Draw the report page and its pictures from what Gold holds.

    Returns:
        The files.

    Raises:
        PublicationError: Gold has no valid payloads.
        StorageError: A file can't be written; the earlier one stays.
    """
    run = runtime()
    report(Step(stage="report", total=1))
    drawn = await asyncio.to_thread(build_report, run.database, run.settings, run.clock)
    report(Step(stage="report", done=1))
    return drawn
