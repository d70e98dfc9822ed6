"""Customers by region and of the country: seventeen questions, once a month."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE
from sqlalchemy import text

from sec_core.hours import Month
from sec_core.reference.tables import regiones
from sec_core.silver.universe import UniverseReport, store_universe
from tasks.progress import Step, report
from tasks.retry import worth_another_try
from tasks.runtime import runtime

if TYPE_CHECKING:
    from sec_core.source.answers import RegionCustomers
    from tasks.runtime import Runtime

_KNOWN = text("select count(*) from clientes_regionales where mes = :month and codigo_region <> '00'")


def universe_is_known(run: Runtime) -> bool:
    """Whether the present month in Chile has the customers of every region already."""
    with run.database.engine.connect() as connection:
        month = Month.of(run.clock.now()).first_day
        known: int = connection.execute(_KNOWN, {"month": month}).scalar_one()
    return known == len(regiones())


@task(
    name="regional-customers",
    task_run_name="customers by region",
    retries=1,
    retry_delay_seconds=60,
    retry_condition_fn=worth_another_try,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def capture_universe() -> UniverseReport:
    """Ask for the customers of each region and of the country, keep the answers, and cap events by them.

    Returns:
        What was kept and how many events changed.

    Raises:
        SourceError: The source did not answer all; nothing of this month is stored.
    """
    run = runtime()
    report(Step(stage="universe", total=len(regiones()) + 1))
    regions: list[RegionCustomers] = []
    for region in regiones():
        answer = await run.client.regional_customers(region.nombre_sec)
        await asyncio.to_thread(
            run.store.put_answer,
            "GetClientesRegional",
            answer.answer.received_at,
            answer.answer.body,
            subject=region.codigo,
        )
        regions += answer.regions
        report(Step(stage="universe", done=1))
    national = await run.client.national_customers()
    received = national.answer.received_at
    await asyncio.to_thread(run.store.put_answer, "GetClientesNacional", received, national.answer.body)
    report(Step(stage="universe", done=1))
    return await asyncio.to_thread(store_universe, run.database, regions, national.customers, received)
