"""The monitor: the hour under way and the last closed ones, into PostgreSQL and its 30-day views."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel

from sec_core.bronze.ledger_rules import candidates, hours_to_watch
from sec_core.errors import CircuitOpen
from sec_core.hours import open_hour
from sec_core.usecases.adapters import Adapters

if TYPE_CHECKING:
    from sec_core.bronze.capture import CaptureReport
    from sec_core.silver.load import LoadReport


class MonitorReport(BaseModel):
    """What a look at the newest hours found, in hours.

    Attributes:
        open_hour: The hour under way at the source, UTC; None if the circuit is open.
        unchanged: Hours whose answer was held already.
        empty: Hours for which the source says that it has no data.
        events_changed: Events that this made, changed or removed.
        differing: Closed hours whose sum differs from the national series.
        storms: A line for each storm under way, with its identity in brackets.
    """

    open_hour: datetime | None = None
    asked: int = 0
    captured: int = 0
    unchanged: int = 0
    empty: int = 0
    failed: int = 0
    loaded: int = 0
    events_changed: int = 0
    differing: int = 0
    storms: list[str] = []
    note: str = ""


@dataclass(frozen=True, slots=True)
class Watched:
    """Hours that were requested, the open one first, what became of them, and how many closed ones differ."""

    open_hour: datetime
    hours: list[datetime]
    report: CaptureReport
    differing: int


async def ask_newest(adapters: Adapters, closed: int) -> Watched:
    """Ask for the open hour, and for those of the `closed` hours before it that may have changed.

    Raises:
        CircuitOpen: The circuit is open.
        SourceUnavailable: The source does not answer.
        UnexpectedBody: The source's answers have changed.
    """
    from sec_core.bronze.capture import capture_hours, compare

    ledger = adapters.ledger
    async with adapters.source() as client:
        now = await client.server_time()
        hours = candidates(now, closed)
        due = hours_to_watch(hours, await asyncio.to_thread(ledger.rows, hours), now)
        report = await capture_hours(due, client=client, ledger=ledger, clock=adapters.clock)
        differing = await asyncio.to_thread(compare, await client.national_series(), ledger, now)
    return Watched(open_hour(now), due, report, len(differing))


async def load_newest(adapters: Adapters, hours: list[datetime]) -> list[LoadReport]:
    """Bring Silver, and with it the views of the last 30 days, up to what was captured of some hours."""
    from sec_core.silver.load import load_hours

    return await asyncio.to_thread(
        load_hours, adapters.database, adapters.store.read_kept, hours, adapters.settings, values=adapters.ledger
    )


async def watch(
    adapters: Adapters,
    closed_hours: int,
    ask: Callable[[int], Awaitable[Watched]],
    load: Callable[[list[datetime]], Awaitable[list[LoadReport]]],
) -> MonitorReport:
    """Ask for the newest hours and load what is new; an open circuit is no failure.

    Args:
        adapters: The adapters.
        closed_hours: How many closed hours to look at.
        ask: `ask_newest` over these adapters.
        load: `load_newest` over the same.
    """
    from sec_core.gold.storms_now import under_way

    try:
        watched = await ask(closed_hours)
    except CircuitOpen as error:
        return MonitorReport(note=str(error))
    loads = await load(watched.hours)
    storms = await asyncio.to_thread(under_way, adapters.database, adapters.settings)
    return MonitorReport(
        **{name: value for name, value in asdict(watched.report).items() if name in MonitorReport.model_fields},
        open_hour=watched.open_hour,
        loaded=sum(load.hours_loaded for load in loads),
        events_changed=sum(load.events_new + load.events_changed + load.events_removed for load in loads),
        differing=watched.differing,
        storms=[f"{storm.text} [{storm.id}]" for storm in storms],
    )
