"""Flows about what Gold is made of: Gold itself, its publication, customers by region, projects of the SEIA."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from prefect import flow
from pydantic import Field

from flows.artifacts import show_gold
from sec_core.gold.publish import PublishReport
from sec_core.gold.seia.load import SeiaReport
from sec_core.gold.standing import BuiltGold
from sec_core.silver.universe import UniverseReport
from sec_core.usecases.gold import import_seia
from tasks.runtime import open_run
from tasks.steps import STEPS


@flow(name="gold", flow_run_name="gold", persist_result=False)
async def gold() -> BuiltGold:
    """Make all of Gold from what PostgreSQL holds, publish it locally, and draw the report."""
    with open_run():
        built = await STEPS.build_gold()
        await show_gold(built)
    return built


@flow(name="publish", flow_run_name="publish", persist_result=False)
async def publish(
    force: Annotated[bool, Field(title="Publish although much would be lost")] = False,
    payloads: Annotated[list[str], Field(title="Only of these payloads", examples=[["market_map"]])] = [],  # noqa: B006 - Prefect reads it for the form, and nobody changes it
) -> PublishReport:
    """Send what Gold holds to Supabase, whole or not at all.

    Args:
        force: Publish although a payload would lose more than a fifth of its rows or its newest month.
        payloads: The payloads that may lose so much; none means all.
    """
    with open_run():
        return await STEPS.publish(force, payloads)


@flow(name="regional-customers", flow_run_name="regional-customers", persist_result=False)
async def regional_customers() -> UniverseReport:
    """Ask for the customers of each region and of the country, the denominators of every index, once a month."""
    with open_run():
        return await STEPS.refresh_customers()


@flow(name="seia", flow_run_name="seia {file}", persist_result=False)
async def seia(file: Annotated[str, Field(title="File", examples=["seia.xlsx"])]) -> SeiaReport:
    """Take in an export of the SEIA project list, and make Gold again with it.

    Args:
        file: The Excel export of the SEIA site, or its older CSV, as a path on the worker's machine.
    """
    with open_run() as run:
        return await import_seia(run, file, steps=replace(STEPS, show_gold=show_gold))
