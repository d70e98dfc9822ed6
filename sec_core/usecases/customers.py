"""Customers by region and of the country, the denominators of every index: seventeen questions, once a month."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from sec_core.hours import Month
from sec_core.reference.tables import regiones
from sec_core.silver.universe import UniverseReport, known_universe, store_universe
from sec_core.usecases.progress import Step, report

if TYPE_CHECKING:
    from sec_core.source.answers import RegionCustomers
    from sec_core.usecases.adapters import Adapters


def known_customers(adapters: Adapters) -> UniverseReport | None:
    """The customers of the present month in Chile, if those of every region are known."""
    return known_universe(adapters.database, Month.of(adapters.clock.now()))


def customers_digest(adapters: Adapters) -> str:
    """A digest of what the customers of a month depend on: the month, the source, the regions and the database."""
    month = Month.of(adapters.clock.now())
    asked = (str(month), str(adapters.settings.base_url), str(regiones()), str(adapters.database))
    return hashlib.sha256("\n".join(asked).encode()).hexdigest()


async def refresh_customers(adapters: Adapters) -> UniverseReport:
    """Ask for the customers of each region and of the country unless this month's are known; cap events by them.

    Raises:
        SourceError: The source did not answer all; nothing of this month is stored.
    """
    if (known := await asyncio.to_thread(known_customers, adapters)) is not None:
        return known
    report(Step(stage="universe", total=len(regiones()) + 1))
    regions: list[RegionCustomers] = []
    async with adapters.source() as client:
        for region in regiones():
            answer = await client.regional_customers(region.nombre_sec)
            regions += answer.value
            received, body = answer.received_at, answer.body
            await asyncio.to_thread(
                adapters.store.put_answer,
                "GetClientesRegional",
                received,
                body,
                subject=region.codigo,
                answered_by=answer.answered_by,
            )
            report(Step(stage="universe", done=1))
        country = await client.national_customers()
    received = country.received_at
    await asyncio.to_thread(
        adapters.store.put_answer, "GetClientesNacional", received, country.body, answered_by=country.answered_by
    )
    report(Step(stage="universe", done=1))
    return await asyncio.to_thread(store_universe, adapters.database, regions, country.value, received)
