"""The parts of the main job, each as a flow of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from loguru import logger
from prefect import flow
from pydantic import Field

from flows.artifacts import show_month, show_report
from flows.parameters import MonthText, Part, WaitForSource, month_or_last, month_run_name
from flows.report import MonthIncomplete, SyncReport
from flows.steps import describe_month, work_on_month
from sec_core.config import load_settings
from sec_core.gold.build import GoldReport
from sec_core.gold.publish import PublishReport
from sec_core.gold.seia.load import load_seia
from sec_core.silver.universe import UniverseReport
from tasks.gold import build_gold_task
from tasks.publish import publish_task
from tasks.run_log import ensure_logging
from tasks.runtime import open_runtime
from tasks.universe import capture_universe


@flow(name="capture", flow_run_name=month_run_name, persist_result=False)
async def capture(
    month: MonthText | None = None,
    wait_for_circuit: WaitForSource = True,
    force: Annotated[bool, Field(title="Ask for settled hours too")] = False,
) -> SyncReport:
    """Ask the source for the hours of a month that are not settled, and keep what it says.

    Args:
        month: The month as YYYY-MM. Without one, the month before the present one in Chile.
        wait_for_circuit: Go on by itself when the source was left alone for a while; otherwise the run ends there.
        force: Ask for every hour of the month again; what differs is kept as a new revision.

    Returns:
        Figures of the month.

    Raises:
        MonthIncomplete: Some hours could not be had.
        SecError: Something else that a person should know; what was captured stays.
    """
    settings = load_settings()
    ensure_logging(settings)
    async with open_runtime(settings) as run:
        chosen = month_or_last(month, run.clock)
        work = await work_on_month(run, chosen, [Part.CAPTURE], wait_for_circuit=wait_for_circuit, force=force)
        report = await asyncio.to_thread(describe_month, run, chosen, work)
        await show_month(report, await asyncio.to_thread(run.ledger.states, chosen))
    if report.missing:
        raise MonthIncomplete(report)
    return report


@flow(name="load", flow_run_name=month_run_name, persist_result=False)
async def load(month: MonthText | None = None) -> SyncReport:
    """Bring PostgreSQL up to what Bronze holds of a month; the source is asked nothing.

    Args:
        month: The month as YYYY-MM. Without one, the month before the present one in Chile.

    Returns:
        Figures of the month.
    """
    settings = load_settings()
    ensure_logging(settings)
    async with open_runtime(settings) as run:
        chosen = month_or_last(month, run.clock)
        work = await work_on_month(run, chosen, [Part.LOAD], wait_for_circuit=False)
        report = await asyncio.to_thread(describe_month, run, chosen, work)
        await show_month(report, await asyncio.to_thread(run.ledger.states, chosen))
    return report


@flow(name="gold", flow_run_name="gold", persist_result=False)
async def gold() -> GoldReport:
    """Make all of Gold from what PostgreSQL holds, publish it locally, and draw the report.

    Returns:
        Files, counts and sizes.
    """
    settings = load_settings()
    ensure_logging(settings)
    async with open_runtime(settings):
        built = await build_gold_task()
        await show_report(built.page)
    return built


@flow(name="publish", flow_run_name="publish", persist_result=False)
async def publish(force: Annotated[bool, Field(title="Publish although much would be lost")] = False) -> PublishReport:
    """Send what Gold holds to Supabase, whole or not at all.

    Args:
        force: Publish although a payload would lose more than a fifth of its rows or its newest month.

    Returns:
        What was published.
    """
    settings = load_settings()
    ensure_logging(settings)
    async with open_runtime(settings):
        return await publish_task(force=force)


@flow(name="regional-customers", flow_run_name="regional-customers", persist_result=False)
async def regional_customers() -> UniverseReport:
    """Ask for the customers of each region and of the country, the denominators of every index.

    Returns:
        What was kept, and how many events are capped differently now.

    Raises:
        SourceError: The source did not answer all; nothing of this month is stored.
    """
    settings = load_settings()
    ensure_logging(settings)
    async with open_runtime(settings):
        return await capture_universe()


@flow(name="seia", flow_run_name="seia {file}", persist_result=False)
async def seia(file: Annotated[str, Field(title="File", examples=["seia.xlsx"])]) -> int:
    """Take in an export of the SEIA project list, and make Gold again with it.

    Args:
        file: The Excel export of the SEIA site, or its older CSV, as a path on the worker's machine.

    Returns:
        Number of electricity projects.

    Raises:
        InputError: The file is no export, or holds no electricity project; what was held stays.
    """
    settings = load_settings()
    ensure_logging(settings)
    async with open_runtime(settings) as run:
        report = await asyncio.to_thread(load_seia, run.database, Path(file))
        for row in report.rejected:
            logger.bind(stage="gold", code="rejected_row").warning("SEIA row left out: {row}", row=row)
        built = await build_gold_task()
        await show_report(built.page)
    return report.projects
