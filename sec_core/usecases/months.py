"""The order of a run over one month or many: capture, load, Gold, publication. It is written here and nowhere else."""

import asyncio
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from loguru import logger

from sec_core.clock import Clock
from sec_core.errors import SecError, SourceError
from sec_core.hours import Month, month_range, past_or_present
from sec_core.silver.load import MONTHS_AT_ONCE
from sec_core.silver.universe import rebuild_universe
from sec_core.text import counted
from sec_core.usecases.adapters import Adapters
from sec_core.usecases.capture import ask_besides, capture_all
from sec_core.usecases.reports import MonthsIncomplete, Step, SyncReport, describe_month, report, side_by_side


class Part(StrEnum):
    """A part of the work on a month, as the form lists it."""

    CAPTURE = "missing hours"
    LOAD = "load"
    GOLD = "gold"
    PUBLISH = "publish"


ALL_PARTS = list(Part)
ALL_FAILED: Literal["all failed"] = "all failed"


class Order(StrEnum):
    """In which order months are worked through."""

    NEWEST_FIRST = "newest first"
    OLDEST_FIRST = "oldest first"


def month_or_last(month: str | None, clock: Clock) -> Month:
    """The month `YYYY-MM`, else the one before the present month in Chile; InputError if the source can't have it."""
    now = clock.now()
    return past_or_present(Month.parse(month), now) if month else Month.of(now).shift(-1)


def in_order(first: str, last: str, order: Order, clock: Clock) -> list[Month]:
    """The months of a range of `YYYY-MM`; InputError if the source can't have one of them."""
    now = clock.now()
    months = month_range(past_or_present(Month.parse(first), now), past_or_present(Month.parse(last), now))
    return months if order is Order.OLDEST_FIRST else months[::-1]


async def sync_month(
    adapters: Adapters, month: str | None = None, *, wait_for_circuit: bool = False, other_source: bool = False
) -> SyncReport:
    """Capture a month, load it, build Gold and publish it. Only hours that are not settled are requested.

    Args:
        adapters: The adapters, whose steps are taken.
        month: The month as YYYY-MM; without one, the month before the present one in Chile.
        wait_for_circuit: Go on by itself when the circuit opens; otherwise the run ends there.
        other_source: Publish although the data is not the SEC's.

    Raises:
        MonthsIncomplete: Some hours could not be had; all others were captured, loaded and published.
        SecError: Something else that a person should know; what was captured stays.
    """
    return await _Work(adapters, ALL_PARTS, wait_for_circuit, other_source=other_source).on_one(month)


async def capture_month(
    adapters: Adapters, month: str | None = None, *, wait_for_circuit: bool = False, force: bool = False
) -> SyncReport:
    """Ask for the hours of a month that are not settled, with `force` for all; otherwise as `sync_month`."""
    return await _Work(adapters, [Part.CAPTURE], wait_for_circuit, force).on_one(month)


async def load_month(adapters: Adapters, month: str | None = None) -> SyncReport:
    """Bring Silver up to what Bronze holds of a month, without a request to the source."""
    return await _Work(adapters, [Part.LOAD]).on_one(month)


async def backfill(
    adapters: Adapters,
    first: str,
    last: str,
    *,
    order: Order = Order.NEWEST_FIRST,
    wait_for_circuit: bool = True,
    other_source: bool = False,
) -> list[SyncReport]:
    """Capture and load a range of months, then build and publish Gold once; raises as `rerun` does."""
    months = in_order(first, last, order, adapters.clock)
    return await _Work(adapters, ALL_PARTS, wait_for_circuit, other_source=other_source).on_all(months)


async def rerun(
    adapters: Adapters,
    months: str | Sequence[str],
    *,
    redo: Collection[Part] = ALL_PARTS,
    wait_for_circuit: bool = True,
    other_source: bool = False,
) -> list[SyncReport]:
    """Mend months, asking only for what is missing or unsettled.

    Args:
        adapters: The adapters, whose steps are taken.
        months: A month as YYYY-MM, several, or `ALL_FAILED` for all closed ones that miss hours.
        redo: What to do again.
        wait_for_circuit: Go on by itself when the circuit opens; otherwise the run ends there.
        other_source: Publish although the data is not the SEC's.

    Raises:
        MonthsIncomplete: Some hours could not be had; everything else was done.
        SecError: Something else that a person should know; what was captured stays.
    """
    if months == ALL_FAILED:
        chosen = await asyncio.to_thread(_incomplete, adapters)
    else:
        named = [months] if isinstance(months, str) else months
        chosen = sorted({month_or_last(month, adapters.clock) for month in named})
    return await _Work(adapters, redo, wait_for_circuit, other_source=other_source).on_all(chosen)


async def reprocess(adapters: Adapters, first: str, last: str, *, other_source: bool = False) -> list[SyncReport]:
    """Make Silver and Gold again from Bronze for a range of months, asking the source nothing.

    Bodies in quarantine whose shape the code knows by now are taken in. The customers of regions, which cap events, are
    made again for all months that Bronze has them of.
    """
    # The newest first: where the history ends is known then, and no event is opened only to be closed.
    months = in_order(first, last, Order.NEWEST_FIRST, adapters.clock)
    await asyncio.to_thread(rebuild_universe, adapters.database, adapters.store)

    async def one(month: Month) -> SyncReport:
        learned = await asyncio.to_thread(adapters.ledger.relearn, month.start, month.end)
        loaded = await adapters.steps.load_month(str(month), True)
        notes = [f"{counted(learned, 'body', 'bodies')} left quarantine."] if learned else []
        done = SyncReport(month=str(month), loaded_hours=loaded.hours_loaded, notes=notes)
        return await asyncio.to_thread(describe_month, adapters, done)

    reports = (await side_by_side(one, months, MONTHS_AT_ONCE))[::-1]
    return await _Work(adapters, [Part.GOLD, Part.PUBLISH], other_source=other_source).end(reports)


async def conclude(adapters: Adapters, months: Sequence[Month], *, other_source: bool = False) -> list[SyncReport]:
    """Build and publish Gold once after others have captured and loaded these months; raises as `rerun` does."""
    reports = [await asyncio.to_thread(describe_month, adapters, SyncReport(month=str(month))) for month in months]
    return await _Work(adapters, ALL_PARTS, other_source=other_source).end(reports)


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to be done with each month, and how."""

    adapters: Adapters
    parts: Collection[Part]
    wait_for_circuit: bool = False
    force: bool = False
    other_source: bool = False

    async def on_one(self, month: str | None) -> SyncReport:
        (only,) = await self.on_all([month_or_last(month, self.adapters.clock)])
        return only

    async def on_all(self, months: Sequence[Month]) -> list[SyncReport]:
        """Work on months in turn, finish once, and fail at the end if hours are missing."""
        reports: list[SyncReport] = []
        report(Step(stage="months", total=len(months)))
        began = time.monotonic()
        trouble: SecError | None = None
        for number, month in enumerate(months, start=1):
            done = SyncReport(month=str(month))
            try:
                trouble = await self._capture(month, done)
                if Part.LOAD in self.parts:
                    done.loaded_hours = (await self.adapters.steps.load_month(str(month), False)).hours_loaded
                if len(months) == 1 and (trouble is None or done.loaded_hours):
                    await self.finish(done)
            except SecError as error:
                # What there is of the month is shown all the same.
                with suppress(SecError):
                    await self._show(month, done)
                raise trouble or error from error.__cause__
            reports.append(await self._show(month, done))
            report(Step(stage="months", done=1))
            if trouble is not None:
                # It is the source's: the months that are left would meet it too.
                break
            if (left := len(months) - number) > 0:
                minutes = (time.monotonic() - began) / number * left / 60
                logger.bind(stage="run", month=str(month)).info(
                    "Month {} of {} is done; about {:.0f} minutes left", number, len(months), minutes
                )
        finish = len(months) != 1 and (trouble is None or any(each.loaded_hours for each in reports))
        return await self.end(reports, trouble, finish=finish)

    async def _capture(self, month: Month, done: SyncReport) -> SecError | None:
        """Capture a month, if asked for; what ended that early is returned, and the run raises it when all is done."""
        if Part.CAPTURE not in self.parts:
            return None
        async with self.adapters.source():
            try:
                captured = await capture_all(
                    self.adapters, month, wait_for_circuit=self.wait_for_circuit, force=self.force
                )
                done.requests, done.revisions = captured.requests, captured.captured
                done.notes += await ask_besides(self.adapters, month)
            except SourceError as error:
                done.notes.append(error.message)
                return error
        return None

    async def finish(self, done: SyncReport | None = None) -> None:
        """Build Gold and publish it, as far as asked for: the last steps, noted in the report of an only month."""
        steps, gold, done = self.adapters.steps, self.adapters.settings.gold, done or SyncReport(month="")
        if Part.GOLD in self.parts:
            built = await steps.bring_gold_up_to_date()
            done.outputs |= {what: str(gold / name) for what, name in built.outputs.items()}
        if Part.PUBLISH in self.parts:
            done.notes.append((await steps.publish(False, self.other_source, [])).line())
            site = await steps.publish_site()
            if site.target:
                done.notes.append(site.line())

    async def _show(self, month: Month, done: SyncReport) -> SyncReport:
        described = await asyncio.to_thread(describe_month, self.adapters, done)
        states = await asyncio.to_thread(self.adapters.ledger.states, month)
        await self.adapters.steps.show_month(described, states)
        return described

    async def end(
        self, reports: list[SyncReport], trouble: SecError | None = None, *, finish: bool = True
    ) -> list[SyncReport]:
        """Finish what concerns all months, show them, and raise what there is to raise."""
        if finish:
            await self.finish()
        await self.adapters.steps.show_months(reports)
        if trouble is not None:
            raise trouble
        if Part.CAPTURE in self.parts and any(each.missing for each in reports):
            raise MonthsIncomplete(reports)
        return reports


def _incomplete(adapters: Adapters) -> list[Month]:
    """Closed months that the ledger knows and that miss hours, newest first; says how many, and how long they take."""
    now, rate = adapters.clock.now(), adapters.settings.max_rate
    closed = [month for month in adapters.ledger.months() if month < Month.of(now)]
    summaries = adapters.ledger.month_summary(closed, now)
    missing = {each.month: each.expected - each.captured - each.empty for each in summaries}
    months = sorted((month for month, hours in missing.items() if hours), reverse=True)
    hours = sum(missing.values())
    text = "No closed month misses an hour"
    if months:
        few = [f"{each} ({missing[each]})" for each in months[:12]] + ["..."] * (len(months) > 12)
        text = f"{counted(len(months), 'closed month misses', 'closed months miss')} {counted(hours, 'hour')}"
        text += f": {', '.join(few)}"
        text += f"; about {counted(max(1, round(hours / rate / 60)), 'minute')} at {rate:g} requests a second"
    logger.bind(stage="run").info("{}", text)
    report(Step(stage="months", note=text))
    return months
