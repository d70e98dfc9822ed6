"""Customers by region and of the country, the denominators of every index: seventeen questions, once a month."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

from sec_core.hours import Month
from sec_core.reference.tables import regiones
from sec_core.silver.universe import UniverseReport, known_universe, store_universe
from sec_core.source.answers import RegionCustomers
from sec_core.usecases.adapters import Adapters
from sec_core.usecases.progress import Step, report

if TYPE_CHECKING:
    from sec_core.source.client import Answer


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
