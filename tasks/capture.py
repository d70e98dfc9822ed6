"""Capture of one day: the unit that Prefect sees, retries and limits. Its hours are asked for inside, politely."""

from __future__ import annotations

from datetime import date, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from sec_core.bronze.capture import CaptureReport, capture_hours
from sec_core.bronze.ledger_rules import HourState
from sec_core.bronze.plan import NATIONAL_WINDOW
from sec_core.bronze.reconcile import ReconcileReport, reconcile
from sec_core.hours import Month
from tasks.progress import Step, report
from tasks.retry import worth_another_try
from tasks.runtime import runtime


@task(
    name="capture-day",
    task_run_name="capture {day}",
    retries=2,
    retry_delay_seconds=[20, 120],
    retry_condition_fn=worth_another_try,
    # The ledger knows better than a cache which hours are settled.
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def capture_day(day: date, hours: list[datetime]) -> CaptureReport:
    """Ask the source for hours of one day and keep what it says.

    Args:
        day: Calendar day in Chile, for the name of the run.
        hours: The hours to ask for, UTC instants of their beginnings.

    Returns:
        What became of each hour.

    Raises:
        CircuitOpen: The source is left alone for now; hours asked before are kept.
        UnexpectedBody: The source's answers have changed.
    """
    run = runtime()
    month = f"{day:%Y-%m}"

    def tell(_hour: datetime, state: HourState) -> None:
        report(Step(stage="capture", month=month, done=1, label=state.value))

    return await capture_hours(hours, client=run.client, ledger=run.ledger, clock=run.clock, on_hour=tell)


@task(
    name="reconcile",
    task_run_name="reconcile with the national series",
    retries=1,
    retry_delay_seconds=60,
    retry_condition_fn=worth_another_try,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def reconcile_week(month: str) -> ReconcileReport | None:
    """Compare the captured hours of the last week with the source's national totals, if the month reaches into it.

    Args:
        month: The month at work as `YYYY-MM`; one that ended before the series begins needs no question.

    Returns:
        What differs; None if the series does not cover the month.

    Raises:
        SourceError: The source did not answer.
    """
    run = runtime()
    if Month.parse(month).end < run.clock.now() - NATIONAL_WINDOW:
        return None
    return await reconcile(client=run.client, store=run.store, ledger=run.ledger, clock=run.clock)
