"""The steps up to Silver: asking for the hours of a month, and for what belongs to them, and loading the answers."""

import asyncio
import hashlib
from collections import defaultdict
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from loguru import logger

from sec_core.bronze.capture import CaptureReport, capture_hours, compare
from sec_core.bronze.ledger_rules import NATIONAL_WINDOW, HourState, days_at_once, hours_to_ask
from sec_core.clock import in_chile
from sec_core.db.locks import LockClass, lease
from sec_core.errors import CircuitOpen, SourceError
from sec_core.hours import CHILE, Month
from sec_core.reference.tables import regiones
from sec_core.silver import load
from sec_core.silver.universe import UniverseReport, known_universe, store_universe
from sec_core.source.answers import RegionCustomers
from sec_core.source.client import Answer
from sec_core.text import counted
from sec_core.usecases.adapters import Adapters
from sec_core.usecases.reports import Step, in_thread, report, side_by_side

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
            logger.bind(stage="capture", month=str(month)).info("Requesting {}", counted(len(hours), "hour"))
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


async def load_month(adapters: Adapters, month: str, force: bool = False) -> load.LoadReport:
    """Bring Silver up to what Bronze holds of a month, in one transaction; `force` loads all its hours again."""
    held = adapters.store.read_kept, Month.parse(month), adapters.settings
    return await in_thread(
        "load", month, load.load_month, adapters.database, *held, values=adapters.ledger, force=force
    )


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
        log.warning("Requesting {hours} again: not as in the national series", hours=counted(len(differing), "hour"))
        await capture_hours(differing, client=client, ledger=ledger, clock=clock)
    rows = await asyncio.to_thread(ledger.rows, sorted(differing))
    still = {hour: row.national_difference for hour, row in sorted(rows.items()) if row.national_difference}
    for hour, difference in still.items():
        log.bind(hour=hour.isoformat()).warning(
            "the national series has {difference:+d} customers against the hour's rows", difference=difference
        )
    return still


def known_customers(adapters: Adapters) -> tuple[str, UniverseReport | None]:
    """A digest of what the customers of the present month in Chile depend on, and they, if all regions' are known."""
    month = Month.of(adapters.clock.now())
    asked = (str(month), str(adapters.settings.base_url), str(regiones()), str(adapters.database))
    digest = hashlib.sha256("\n".join(asked).encode()).hexdigest()
    return digest, known_universe(adapters.database, month)


async def refresh_customers(adapters: Adapters) -> UniverseReport:
    """Ask for the customers of each region and of the country unless this month's are known; cap events by them.

    Raises:
        SourceError: The source did not answer all; nothing of this month is stored.
    """
    _, known = await asyncio.to_thread(known_customers, adapters)
    if known is not None:
        return known
    report(Step(stage="universe", total=len(regiones()) + 1))
    regions: list[RegionCustomers] = []
    async with adapters.source() as client:
        for region in regiones():
            answer = await client.regional_customers(region.nombre_sec)
            await _keep(adapters, "GetClientesRegional", answer, region.codigo)
            regions += answer.value
        country = await client.national_customers()
        await _keep(adapters, "GetClientesNacional", country)
    return await asyncio.to_thread(store_universe, adapters.database, regions, country.value, country.received_at)


async def _keep(adapters: Adapters, endpoint: str, answer: Answer[Any], subject: str = "") -> None:
    put, by = adapters.store.put_answer, answer.answered_by
    await asyncio.to_thread(put, endpoint, answer.received_at, answer.body, subject=subject, answered_by=by)
    report(Step(stage="universe", done=1))
