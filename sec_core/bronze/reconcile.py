"""Captured hours against the source's own national series (`Get`), which must equal the sum of their rows."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from loguru import logger

from sec_core.bronze.capture import CaptureReport, capture_hours
from sec_core.bronze.ledger import Ledger
from sec_core.bronze.plan import candidates, hours_to_watch
from sec_core.bronze.store import BronzeStore
from sec_core.clock import Clock
from sec_core.hours import open_hour
from sec_core.source.client import Answer, SourceClient


def compare(series: Answer[dict[datetime, int]], ledger: Ledger, now: datetime) -> dict[datetime, int]:
    """Write the series' totals of closed hours into the ledger; gives hours whose rows sum to something else."""
    totals = {hour: total for hour, total in series.value.items() if hour < open_hour(now)}
    return ledger.record_national(totals, series.received_at)


async def reconcile(*, client: SourceClient, store: BronzeStore, ledger: Ledger, clock: Clock) -> dict[datetime, int]:
    """Compare the captured hours of the last week with the national series, and ask again for those that differ.

    Both totals are kept in the ledger (`total_nacional`, `diferencia_nacional`). The open hour is left out: it moves.
    Raises as `capture_hours` does.

    Returns:
        Hours that still differ then: customers of the series less those of the rows.
    """
    series = await client.national_series()
    at = series.received_at
    await asyncio.to_thread(store.put_answer, "Get", at, series.body)
    differing = await asyncio.to_thread(compare, series, ledger, clock.now())
    if not differing:
        return {}
    logger.bind(stage="capture", code="national_difference").warning(
        "Requesting {count} hours again that differ from the national series", count=len(differing)
    )
    await capture_hours(differing, client=client, ledger=ledger, clock=clock)
    rows = await asyncio.to_thread(ledger.rows, sorted(differing))
    still = {hour: row.national_difference for hour, row in sorted(rows.items()) if row.national_difference}
    for hour, difference in still.items():
        logger.bind(stage="capture", code="national_difference", hour=hour.isoformat()).warning(
            "the national series has {difference:+d} customers against the hour's rows", difference=difference
        )
    return still


@dataclass(frozen=True, slots=True)
class Watched:
    """Hours that were requested, the open one first, what became of them, and how many closed ones differ."""

    open_hour: datetime
    hours: list[datetime]
    report: CaptureReport
    differing: int


async def watch_hours(closed: int, *, client: SourceClient, ledger: Ledger, clock: Clock) -> Watched:
    """Ask for the open hour, and for those of the `closed` hours before it that may have changed.

    Raises:
        CircuitOpen: The circuit is open.
        SourceUnavailable: The source does not answer.
        UnexpectedBody: The source's answers have changed.
    """
    now = await client.server_time()
    hours = candidates(now, closed)
    rows = await asyncio.to_thread(ledger.rows, hours)
    due = hours_to_watch(hours, rows, now)
    report = await capture_hours(due, client=client, ledger=ledger, clock=clock)
    differing = await asyncio.to_thread(compare, await client.national_series(), ledger, now)
    return Watched(open_hour(now), due, report, len(differing))
