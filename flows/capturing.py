"""Asking the source for a month: which hours, in day-sized tasks, waiting where the circuit is open."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from loguru import logger

from flows.artifacts import progress_of_capture
from sec_core.bronze.capture import CaptureReport
from sec_core.bronze.plan import hours_to_ask
from sec_core.errors import CircuitOpen, SecError, UnexpectedBody
from sec_core.hours import CHILE, Month
from tasks.capture import capture_day
from tasks.progress import Step, report

if TYPE_CHECKING:
    from tasks.runtime import Runtime

_MARGIN = timedelta(seconds=1)


async def capture_month(run: Runtime, month: Month, *, wait_for_circuit: bool, force: bool = False) -> CaptureReport:
    """Ask for all hours of a month that are not settled, a task a day.

    Args:
        run: Adapters of the run.
        month: The month.
        wait_for_circuit: Whether to wait until an open circuit lets a probe out and then go on; else the run ends.
        force: Ask for settled hours too.

    Returns:
        What asking came to.

    Raises:
        CircuitOpen: The circuit is open and `wait_for_circuit` is off; what was captured is kept.
        UnexpectedBody: The source's answers have changed.
    """
    total = CaptureReport()
    began, sent_before = run.clock.now(), run.client.requests
    await asyncio.to_thread(run.ledger.repair, month)
    candidates = month.hours()
    rows_before = await asyncio.to_thread(run.ledger.rows, candidates)
    while True:
        rows = await asyncio.to_thread(run.ledger.rows, candidates)
        hours = hours_to_ask(candidates, rows, run.clock.now(), force=force, asked_since=began, rows_before=rows_before)
        report(Step(stage="capture", month=str(month), total=len(hours)))
        logger.bind(stage="capture", month=str(month)).info("{count} hours to ask for", count=len(hours))
        try:
            async with progress_of_capture(str(month), len(hours)):
                total += await _capture_days(hours, run.settings.max_concurrency)
        except CircuitOpen as error:
            if not wait_for_circuit:
                raise
            pause = max(error.reopens_at - run.clock.now(), timedelta()) + _MARGIN
            logger.bind(stage="capture", code=error.code, month=str(month)).warning(
                "the source is left alone; this run goes on by itself at {at:%Y-%m-%d %H:%M:%S} UTC",
                at=error.reopens_at,
            )
            await run.clock.sleep(pause.total_seconds())
        else:
            # The days' own counts overlap: they share one client.
            return replace(total, requests=run.client.requests - sent_before)


async def _capture_days(hours: list[datetime], max_concurrency: int) -> CaptureReport:
    """Run the day tasks; enough of them at once that the last hours of one day leave no request slot idle."""
    days: dict[date, list[datetime]] = defaultdict(list)
    for hour in hours:
        days[hour.astimezone(CHILE).date()].append(hour)
    at_once = asyncio.Semaphore(1 + math.ceil(max_concurrency / 12))

    failures: list[SecError] = []

    async def one(day: date) -> CaptureReport:
        async with at_once:
            if failures:
                return CaptureReport()
            try:
                return await capture_day(day, days[day])
            except SecError as error:
                failures.append(error)
                return CaptureReport()

    # Days under way end by themselves; those that wait don't begin after a failure. Their hours are for the next run.
    reports = await asyncio.gather(*(one(day) for day in days))
    if failures:
        raise min(failures, key=_rank)
    return sum(reports, CaptureReport())


def _rank(failure: SecError) -> int:
    """Which of several failures to tell: a changed source first, an open circuit, which follows from others, last."""
    if isinstance(failure, UnexpectedBody):
        return 0
    return 2 if isinstance(failure, CircuitOpen) else 1
