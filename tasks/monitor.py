"""The monitor's two pieces of work: asking for the newest hours, and loading them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from sec_core.bronze.capture import CaptureReport, capture_hours
from sec_core.bronze.plan import candidates, hours_to_watch
from sec_core.hours import open_hour
from sec_core.silver.load import LoadReport, load_hours
from tasks.retry import worth_another_try
from tasks.runtime import runtime


@dataclass(frozen=True, slots=True)
class Watched:
    """What the source said.

    Attributes:
        open_hour: The hour under way at the source.
        hours: Hours asked for, the open one first.
        report: What became of them.
        differing: Closed hours whose sum differs from the source's own national series.
    """

    open_hour: datetime
    hours: list[datetime]
    report: CaptureReport
    differing: int


@task(name="watch-hours", task_run_name="ask for the newest hours", cache_policy=NO_CACHE, persist_result=False)
async def watch_hours(closed: int) -> Watched:
    """Ask for the open hour and for those closed ones that may have changed.

    There is no second try here: the next run comes in ten minutes.

    Args:
        closed: How many closed hours to look at.

    Returns:
        What the source said.

    Raises:
        CircuitOpen: The source is left alone for now.
        SourceUnavailable: The source does not answer.
        UnexpectedBody: The source's answers have changed.
    """
    run = runtime()
    now = await run.client.server_time()
    hours = candidates(now, closed)
    rows = await asyncio.to_thread(run.ledger.rows, hours)
    due = hours_to_watch(hours, rows, now)
    report = await capture_hours(due, client=run.client, ledger=run.ledger, clock=run.clock)
    differing = await _compare_with_national_series(now)
    return Watched(open_hour(now), due, report, differing)


async def _compare_with_national_series(now: datetime) -> int:
    run = runtime()
    series = await run.client.national_series()
    closed = {hour: total for hour, total in series.totals.items() if hour < open_hour(now)}
    return len(await asyncio.to_thread(run.ledger.record_national, closed, series.answer.received_at))


@task(
    name="load-hours",
    task_run_name="load the newest hours",
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=worth_another_try,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def load_watched_hours(hours: list[datetime]) -> list[LoadReport]:
    """Bring Silver, and with it the views of the last 30 days, up to what was captured.

    Args:
        hours: The hours.

    Returns:
        A report for each month among them.

    Raises:
        DatabaseUnavailable: The database can't be reached; nothing is half-loaded.
    """
    run = runtime()
    return await asyncio.to_thread(load_hours, run.database, run.body, hours, run.settings, values=run.ledger)
