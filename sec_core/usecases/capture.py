"""Asking the source for a month: which hours, a day at a time, waiting where the circuit is open."""

import asyncio
import math
from collections import defaultdict
from dataclasses import replace
from datetime import date, datetime, timedelta

from loguru import logger

from sec_core.bronze.capture import CaptureReport, capture_hours, compare
from sec_core.bronze.ledger_rules import NATIONAL_WINDOW, HourState, hours_to_ask
from sec_core.clock import in_chile
from sec_core.db.locks import LockClass, lease
from sec_core.errors import CircuitOpen, SourceError
from sec_core.hours import CHILE, Month
from sec_core.usecases.adapters import Adapters
from sec_core.usecases.progress import Step, report, side_by_side

_MARGIN = timedelta(seconds=1)
# So long a run waits for a source that answers none of its hours, then it ends.
_LONGEST_WAIT = timedelta(days=1)


async def capture_day(adapters: Adapters, day: date, hours: list[datetime]) -> CaptureReport:
    """Ask the source for hours of one day in Chile and keep what it says; raises as `capture_hours` does."""

    def tell(_hour: datetime, state: HourState) -> None:
        report(Step(stage="capture", month=f"{day:%Y-%m}", done=1, label=state.value))

    async with adapters.source() as client:
        return await capture_hours(hours, client=client, ledger=adapters.ledger, clock=adapters.clock, on_hour=tell)


async def capture_all(adapters: Adapters, month: Month, *, wait_for_circuit: bool, force: bool) -> CaptureReport:
    """Ask for all hours of a month that are not settled; with `force` for the others too.

    One run at a time works on a month. Another one waits, and finds nothing left of what the first one was answered.

    Args:
        adapters: The adapters.
        month: The month.
        wait_for_circuit: Wait until an open circuit lets a probe out, and go on then; else the work ends there.
        force: Ask for settled hours too.

    Raises:
        CircuitOpen: The circuit is open, and `wait_for_circuit` is off or the source has answered no hour for a day;
            what was captured is kept.
        UnexpectedBody: The source's answers have changed.
    """
    asked_since = adapters.clock.now()

    def waiting(holder: str) -> None:
        _wait(month, f"Waiting for {holder}, which is requesting the hours of {month}; nothing to do")

    number = month.year * 100 + month.month
    async with (
        lease(adapters.database, LockClass.CAPTURE_MONTH, number, adapters.name, waiting),
        adapters.source() as client,
    ):
        await asyncio.to_thread(adapters.ledger.repair, month)
        total, began, sent_before = CaptureReport(), adapters.clock.now(), client.requests
        candidates = month.hours()
        rows_before = rows = await asyncio.to_thread(adapters.ledger.rows, candidates)
        while True:
            hours = hours_to_ask(
                candidates, rows, adapters.clock.now(), force=force, asked_since=asked_since, rows_before=rows_before
            )
            report(Step(stage="capture", month=str(month), total=len(hours), note=""))
            logger.bind(stage="capture", month=str(month)).info("Requesting {count} hours", count=len(hours))
            try:
                total += await _capture_days(adapters, hours)
            except CircuitOpen as error:
                rows = await asyncio.to_thread(adapters.ledger.rows, candidates)
                answered = [row.last_asked for row in rows.values() if row.last_asked and not row.failures]
                if not wait_for_circuit or adapters.clock.now() - max([began, *answered]) > _LONGEST_WAIT:
                    raise
                _wait(month, f"Waiting for the source until {in_chile(error.reopens_at)}; nothing to do")
                pause = max(error.reopens_at - adapters.clock.now(), timedelta()) + _MARGIN
                await adapters.clock.sleep(pause.total_seconds())
            else:
                # The days' own counts overlap: they share one client.
                return replace(total, requests=client.requests - sent_before)


def _wait(month: Month, why: str) -> None:
    logger.bind(stage="capture", code="waiting", month=str(month)).info("{}", why)
    report(Step(stage="capture", month=str(month), note=why))


def days_at_once(max_concurrency: int) -> int:
    """How many days a run works on at once: enough that the last hours of one day leave no request slot idle."""
    return 1 + math.ceil(max_concurrency / 12)


async def _capture_days(adapters: Adapters, hours: list[datetime]) -> CaptureReport:
    days: dict[date, list[datetime]] = defaultdict(list)
    for hour in hours:
        days[hour.astimezone(CHILE).date()].append(hour)
    at_once = days_at_once(adapters.settings.max_concurrency)
    reports = await side_by_side(lambda day: adapters.steps.capture_day(day, days[day]), days, at_once)
    return sum(reports, CaptureReport())


async def ask_besides(adapters: Adapters, month: Month) -> list[str]:
    """Ask what belongs to a capture besides the hours: customers once a month, and the national series.

    Returns:
        Notes: a failure here costs no hour, and the next run asks again.
    """
    try:
        await adapters.steps.refresh_customers()
        await adapters.steps.reconcile(str(month))
    except SourceError as error:
        logger.bind(stage="capture", code=error.code).warning("Not all could be asked for: {error}", error=error)
        return [f"Not all could be asked for besides the hours: {error}"]
    return []


async def reconcile_week(adapters: Adapters, month: str) -> dict[datetime, int] | None:
    """Compare the captured hours of the last week with the national series, and ask again for those that differ.

    Both totals are kept in the ledger (`total_nacional`, `diferencia_nacional`).

    Returns:
        Hours that still differ then: customers of the series less those of the rows. None if the month ended before
        the week began.

    Raises:
        SourceError: The source did not answer.
    """
    ledger, clock = adapters.ledger, adapters.clock
    if Month.parse(month).end < clock.now() - NATIONAL_WINDOW:
        return None
    log = logger.bind(stage="capture", code="national_difference")
    async with adapters.source() as client:
        series = await client.national_series()
        await asyncio.to_thread(adapters.store.put_answer, "Get", series.received_at, series.body)
        differing = await asyncio.to_thread(compare, series, ledger, clock.now())
        if not differing:
            return {}
        log.warning("Requesting {count} hours again that differ from the national series", count=len(differing))
        await capture_hours(differing, client=client, ledger=ledger, clock=clock)
    rows = await asyncio.to_thread(ledger.rows, sorted(differing))
    still = {hour: row.national_difference for hour, row in sorted(rows.items()) if row.national_difference}
    for hour, difference in still.items():
        log.bind(hour=hour.isoformat()).warning(
            "the national series has {difference:+d} customers against the hour's rows", difference=difference
        )
    return still
