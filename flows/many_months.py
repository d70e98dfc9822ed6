"""Flows over several months: backfill, rerun of failed months, and reprocessing without asking the source."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Literal, cast

from loguru import logger
from prefect import flow
from prefect.deployments import arun_deployment
from prefect.flow_runs import wait_for_flow_run
from pydantic import Field, WithJsonSchema

from flows.artifacts import show_month, show_months
from flows.parameters import ALL_PARTS, MonthText, Order, Part, WaitForSource
from flows.report import MonthsIncomplete, SyncReport
from flows.steps import Work, describe_month, finish, work_on_month
from sec_core.clock import SystemClock
from sec_core.config import load_settings
from sec_core.errors import SecError
from sec_core.hours import Month, month_range, past_or_present
from sec_core.silver.load import MONTHS_AT_ONCE
from sec_core.silver.universe import rebuild_universe
from tasks.load import load_month_task
from tasks.progress import Step, report
from tasks.run_log import ensure_logging
from tasks.runtime import open_runtime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from prefect.client.schemas.objects import FlowRun

    from tasks.runtime import Runtime

RERUN_MONTH = "rerun-month/rerun-month"
ALL_FAILED: Literal["all failed"] = "all failed"
# The form leaves a constant blank, and then refuses it as missing: a list of one choice can be chosen.
AllFailed = Annotated[
    Literal["all failed"], WithJsonSchema({"type": "string", "enum": ["all failed"], "title": "All that miss hours"})
]


@flow(name="backfill", flow_run_name="backfill {first} to {last}", persist_result=False)
async def backfill(
    first: MonthText,
    last: MonthText,
    order: Order = Order.NEWEST_FIRST,
    wait_for_circuit: WaitForSource = True,
    share: Annotated[bool, Field(title="Share among workers")] = False,
) -> list[SyncReport]:
    """Capture and load many months, then build and publish Gold once.

    It can be stopped at any time: run again, it asks only for what is missing.

    Args:
        first: The earliest month as YYYY-MM.
        last: The latest month as YYYY-MM.
        order: Whether to begin with the newest month or the oldest.
        wait_for_circuit: Go on by itself when the source was left alone for a while; otherwise the run ends there.
        share: Make a run of `rerun-month` of each month, which any number of workers can take; needs deployments.
            Otherwise this run works through them one after the other.

    Returns:
        Figures of each month, in the order of work.

    Raises:
        MonthsIncomplete: Some hours could not be had; everything else was done.
        SecError: Something else that a person should know; what was captured stays.
    """
    months = _months(first, last)
    if order is Order.NEWEST_FIRST:
        months.reverse()
    if share:
        return await _share_out(months, wait_for_circuit=wait_for_circuit)
    return await _work_through(months, ALL_PARTS, wait_for_circuit=wait_for_circuit)


@flow(name="rerun-month", flow_run_name="rerun-month {months}", persist_result=False)
async def rerun_month(
    months: MonthText | Annotated[list[MonthText], Field(min_length=1, title="Several months")] | AllFailed,
    redo: Annotated[list[Part], Field(min_length=1)] = ALL_PARTS,
    wait_for_circuit: WaitForSource = True,
) -> list[SyncReport]:
    """Mend months: ask only for what is missing or unsettled, load, build and publish again.

    Args:
        months: A month as YYYY-MM, a list of months, or "all failed" for every month that misses hours.
        redo: What to do again.
        wait_for_circuit: Go on by itself when the source was left alone for a while; otherwise the run ends there.

    Returns:
        Figures of each month.

    Raises:
        MonthsIncomplete: Some hours could not be had; everything else was done.
        SecError: Something else that a person should know; what was captured stays.
    """
    if months == ALL_FAILED:
        chosen = None
    else:
        now = SystemClock().now()
        named = [months] if isinstance(months, str) else months
        chosen = sorted({past_or_present(Month.parse(text), now) for text in named})
    return await _work_through(chosen, redo, wait_for_circuit=wait_for_circuit)


@flow(name="reprocess", flow_run_name="reprocess {first} to {last}", persist_result=False)
async def reprocess(first: MonthText, last: MonthText) -> list[SyncReport]:
    """Make Silver and Gold again from Bronze, asking the source nothing.

    Bodies in quarantine whose shape the code knows by now are taken in. The customers of regions, which cap events, are
    made again of all months that they were asked for in.

    Args:
        first: The earliest month as YYYY-MM.
        last: The latest month as YYYY-MM.

    Returns:
        Figures of each month.
    """
    settings = load_settings()
    ensure_logging(settings)
    async with open_runtime(settings) as run:
        await asyncio.to_thread(rebuild_universe, run.database, run.store)
        reports = await _load_again(run, _months(first, last))
        await finish(Work(), [Part.GOLD, Part.PUBLISH])
        await show_months(reports)
    return reports


async def _load_again(run: Runtime, months: Sequence[Month]) -> list[SyncReport]:
    """Load months from Bronze alone, some side by side; figures in the order of the months."""
    at_once = asyncio.Semaphore(MONTHS_AT_ONCE)
    failures: list[SecError] = []

    async def one(month: Month) -> SyncReport | None:
        async with at_once:
            if failures:
                return None
            try:
                learned = await asyncio.to_thread(run.ledger.relearn, month.start, month.end)
                work = Work(loaded=await load_month_task(str(month), force=True))
            except SecError as error:
                failures.append(error)
                return None
            if learned:
                work.notes.append(f"{learned} bodies came out of quarantine.")
            return await asyncio.to_thread(describe_month, run, month, work)

    # The newest first: where the history ends is known then, and no event is opened only to be closed.
    reports = await asyncio.gather(*(one(month) for month in reversed(months)))
    if failures:
        raise failures[0]
    return [report for report in reports if report is not None][::-1]


async def _work_through(
    months: Sequence[Month] | None, parts: Sequence[Part], *, wait_for_circuit: bool
) -> list[SyncReport]:
    """Work on months in turn (None: those that miss hours), finish once, and fail at the end if hours are missing."""
    settings = load_settings()
    ensure_logging(settings)
    reports: list[SyncReport] = []
    async with open_runtime(settings) as run:
        chosen = await asyncio.to_thread(_incomplete, run) if months is None else months
        report(Step(stage="months", total=len(chosen)))
        each = [part for part in parts if part in {Part.CAPTURE, Part.LOAD}]
        began = time.monotonic()
        for number, month in enumerate(chosen, start=1):
            work = await work_on_month(run, month, each, wait_for_circuit=wait_for_circuit)
            described = await asyncio.to_thread(describe_month, run, month, work)
            await show_month(described, await asyncio.to_thread(run.ledger.states, month))
            reports.append(described)
            report(Step(stage="months", done=1))
            left_s = (time.monotonic() - began) / number * (len(chosen) - number)
            logger.bind(stage="run", month=str(month)).info(
                "month {number} of {total} is done; about {minutes:.0f} minutes left",
                number=number,
                total=len(chosen),
                minutes=left_s / 60,
            )
        await finish(Work(), parts)
        await show_months(reports)
    if any(described.missing for described in reports) and Part.CAPTURE in parts:
        raise MonthsIncomplete(reports)
    return reports


async def _share_out(months: Sequence[Month], *, wait_for_circuit: bool) -> list[SyncReport]:
    """Hand each month to whichever worker is free, wait for all of them, and finish once."""
    settings = load_settings()
    ensure_logging(settings)
    parameters = {"redo": [Part.CAPTURE.value, Part.LOAD.value], "wait_for_circuit": wait_for_circuit}
    started = [
        await arun_deployment(RERUN_MONTH, parameters={**parameters, "months": str(month)}, timeout=0)
        for month in months
    ]
    logger.bind(stage="run").info("{count} months are handed to the workers", count=len(started))
    for month, started_run in zip(months, started, strict=True):
        ended = await cast("Awaitable[FlowRun]", wait_for_flow_run(started_run.id, timeout=None, poll_interval=2))
        logger.bind(stage="run", month=str(month)).info(
            "ended as {state}", state=ended.state.name if ended.state else "unknown"
        )
    async with open_runtime(settings) as run:
        reports = [await asyncio.to_thread(describe_month, run, month, Work()) for month in months]
        await finish(Work(), [Part.GOLD, Part.PUBLISH])
        await show_months(reports)
    if any(described.missing for described in reports):
        raise MonthsIncomplete(reports)
    return reports


def _months(first: str, last: str) -> list[Month]:
    """The months of a range, each of which the source can have data for."""
    now = SystemClock().now()
    return month_range(past_or_present(Month.parse(first), now), past_or_present(Month.parse(last), now))


def _incomplete(run: Runtime) -> list[Month]:
    """Months that the ledger knows and that miss hours, newest first."""
    summaries = run.ledger.month_summary(run.ledger.months(), run.clock.now())
    months = [summary.month for summary in summaries if not summary.complete]
    if not months:
        logger.bind(stage="run").info("no month misses an hour")
    return sorted(months, reverse=True)
