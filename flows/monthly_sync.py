"""The main job: a month from the API to Gold."""

from __future__ import annotations

import asyncio

from prefect import flow

from flows.artifacts import show_month
from flows.parameters import ALL_PARTS, MonthText, WaitForSource, month_or_last, month_run_name
from flows.report import MonthIncomplete, SyncReport
from flows.steps import describe_month, work_on_month
from sec_core.config import load_settings
from tasks.run_log import ensure_logging
from tasks.runtime import open_runtime


@flow(name="monthly-sync", flow_run_name=month_run_name, persist_result=False)
async def monthly_sync(month: MonthText | None = None, wait_for_circuit: WaitForSource = True) -> SyncReport:
    """Capture a month, load it, build Gold and publish it.

    Only hours that are not settled are asked for, so running it again is cheap and mends what failed.

    Args:
        month: The month as YYYY-MM. Without one, the month before the present one in Chile.
        wait_for_circuit: Go on by itself when the source was left alone for a while; otherwise the run ends there.

    Returns:
        Figures of the month and where the outputs lie.

    Raises:
        MonthIncomplete: Some hours could not be had; all others were captured, loaded and published.
        SecError: Something else that a person should know; what was captured stays.
    """
    settings = load_settings()
    ensure_logging(settings)
    async with open_runtime(settings) as run:
        chosen = month_or_last(month, run.clock)
        work = await work_on_month(run, chosen, ALL_PARTS, wait_for_circuit=wait_for_circuit)
        report = await asyncio.to_thread(describe_month, run, chosen, work)
        await show_month(report, await asyncio.to_thread(run.ledger.states, chosen))
    if report.missing:
        raise MonthIncomplete(report)
    return report
