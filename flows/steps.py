"""Steps that several flows take, in terms of tasks."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from loguru import logger

from flows.report import SyncReport
from sec_core.bronze.capture import CaptureReport
from sec_core.bronze.plan import hours_to_ask
from sec_core.errors import CircuitOpen, UnexpectedBody
from sec_core.hours import CHILE, Month
from sec_core.silver.summary import month_figures
from tasks.capture import capture_day
from tasks.progress import Step, report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sec_core.gold.build import GoldReport
    from sec_core.silver.load import LoadReport
    from tasks.runtime import Runtime

_MARGIN = timedelta(seconds=1)


async def capture_month(
    run: Runtime, month: Month, *, wait_for_circuit: bool, force: bool = False
) -> list[CaptureReport]:
    """Ask for all hours of a month that are not settled, a task a day.

    Args:
        run: Adapters of the run.
        month: The month.
        wait_for_circuit: Whether to wait until an open circuit lets a probe out and then go on; else the run ends.
        force: Ask for settled hours too.

    Returns:
        Reports of the days asked, in no particular order.

    Raises:
        CircuitOpen: The circuit is open and `wait_for_circuit` is off; what was captured is kept.
        UnexpectedBody: The source's answers have changed.
    """
    reports: list[CaptureReport] = []
    began = run.clock.now()
    await asyncio.to_thread(run.ledger.repair, month)
    while True:
        candidates = month.hours()
        rows = await asyncio.to_thread(run.ledger.rows, candidates)
        hours = hours_to_ask(candidates, rows, run.clock.now(), force=force, asked_since=began)
        report(Step(stage="capture", month=str(month), total=len(hours)))
        logger.bind(stage="capture", month=str(month)).info("{count} hours to ask for", count=len(hours))
        try:
            reports += await _capture_days(hours, run.settings.max_concurrency)
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
            return reports


async def _capture_days(hours: list[datetime], max_concurrency: int) -> list[CaptureReport]:
    """Run the day tasks; enough of them at once that the last hours of one day leave no request slot idle."""
    days: dict[date, list[datetime]] = defaultdict(list)
    for hour in hours:
        days[hour.astimezone(CHILE).date()].append(hour)
    at_once = asyncio.Semaphore(1 + math.ceil(max_concurrency / 12))

    async def one(day: date) -> CaptureReport:
        async with at_once:
            return await capture_day(day, days[day])

    try:
        async with asyncio.TaskGroup() as group:
            runs = [group.create_task(one(day)) for day in days]
    except BaseExceptionGroup as failures:
        # One reason is enough for a person; the other days' hours are asked for in the next run.
        raise _first(failures) from None
    return [run.result() for run in runs]


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first failure of a group, those that say most first: a changed source, then anything but an open circuit."""
    found = [_first(each) if isinstance(each, BaseExceptionGroup) else each for each in failures.exceptions]
    return min(found, key=lambda error: (not isinstance(error, UnexpectedBody), isinstance(error, CircuitOpen)))


def describe_month(
    run: Runtime, month: Month, captured: Sequence[CaptureReport], loaded: LoadReport | None, gold: GoldReport | None
) -> SyncReport:
    """Put together what a run of a month came to.

    Args:
        run: Adapters of the run.
        month: The month.
        captured: Reports of its days; none if the source was not asked.
        loaded: Report of the load, if there was one.
        gold: Report of the build of Gold, if there was one.

    Returns:
        Figures of the whole month as it stands, besides what this run did.
    """
    summary = run.ledger.month_summary([month], run.clock.now())[0]
    figures = month_figures(run.database, month)
    asked = sum(captured, CaptureReport())
    report = SyncReport(
        month=str(month),
        expected=summary.expected,
        captured=summary.captured,
        empty=summary.empty,
        failed=summary.failed,
        quarantined=summary.quarantined,
        pending=summary.pending,
        requests=run.client.requests,
        revisions=asked.captured,
        rows=figures.rows,
        observations=figures.observations,
        customers=figures.customers,
        events=figures.events,
        events_begun=figures.events_begun,
        imputed=figures.imputed,
        unresolved=figures.unresolved,
        loaded_hours=loaded.hours_loaded if loaded else 0,
        outputs={"bronze": str(run.settings.bronze_dir), "silver": repr(run.database)},
    )
    if gold:
        report.outputs |= {"events": str(gold.events_file), "payloads": str(gold.folder / "dashboard_stats")}
    if summary.suspect:
        report.notes.append(
            f"{summary.suspect} hours look cut short at the source; they are asked for again for a week."
        )
    if summary.differing:
        report.notes.append(f"{summary.differing} hours differ from the national series; they are asked for again.")
    if figures.unresolved:
        report.notes.append(f"{figures.unresolved} rows carry names that are not known; they count as UNKNOWN.")
    if run.settings.supabase_url is None:
        report.notes.append("SUPABASE_URL is not set: Gold is published locally only.")
    return report
