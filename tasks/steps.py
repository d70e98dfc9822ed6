"""The steps of a run as Prefect tasks: each is retried, limited, cached or seen, and does what the use case does."""

from __future__ import annotations

import asyncio
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from prefect import task
from prefect.client.schemas.objects import ConcurrencyLeaseHolder, State
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError, concurrency
from prefect.runtime import task_run
from prefect.states import Cancelled, Failed

from sec_core.bronze.calendar import hours_text
from sec_core.bronze.capture import CaptureReport
from sec_core.clock import in_chile
from sec_core.errors import CircuitOpen, ConfigError
from sec_core.gold.standing import BuiltGold
from sec_core.silver.load import LoadReport
from sec_core.silver.universe import UniverseReport
from sec_core.text import counted
from sec_core.usecases import capture, gold, upkeep
from sec_core.usecases.adapters import Steps
from sec_core.usecases.gold import SiteReport
from sec_core.usecases.upkeep import Watched
from tasks.limits import AT_REST, SOURCE_LIMIT
from tasks.runtime import PLAIN, RETRIED, adapters

if TYPE_CHECKING:
    # The monitor's runs come every ten minutes and load little.
    from sec_core.gold.publish import PublishReport

# A killed holder's slot is free again after this.
_LEASE_S = 60


def _parameter(_context: object, parameters: dict[str, Any]) -> str:
    return f"{task_run.task_name}-{parameters['digest']}"


_CACHED: dict[str, Any] = {**RETRIED, "cache_key_fn": _parameter, "persist_result": True}


@task(name="capture-day", task_run_name="capture {day}", retries=2, retry_delay_seconds=[20, 120], **PLAIN)
async def _capture_day(day: date, hours: list[datetime]) -> CaptureReport | State[Any]:
    """Ask the source for hours of one day in Chile and keep what it says, holding a slot of the limit on the source."""
    try:
        holder = ConcurrencyLeaseHolder(type="task_run", id=UUID(task_run.id))
        async with concurrency(SOURCE_LIMIT, strict=True, lease_duration=_LEASE_S, holder=holder):
            report = await capture.capture_day(adapters(), day, hours)
    except CircuitOpen as error:
        # Whether the run waits and asks again, or ends, is said by the run.
        text = f"The source is left alone until {in_chile(error.reopens_at)}: hours of this day were not asked for."
        return Cancelled(name=AT_REST, message=text, data=error)
    except ConcurrencySlotAcquisitionError as error:
        raise ConfigError(
            f"No slot of the limit {SOURCE_LIMIT} on the Prefect server: {error}.",
            next_step="`sec deploy` makes the limit.",
        ) from error
    if report.missed:
        failed = f"{len(report.missed)} of {counted(report.asked, 'hour')} failed"
        text = f"{failed}: {hours_text(report.missed)}. The run goes on."
        return Failed(name="HoursFailed", message=text, data=report)
    return report


async def capture_day(day: date, hours: list[datetime]) -> CaptureReport:
    """The task of a day; what it came to, also where the task failed over some hours."""
    state: State[Any] = await cast("Any", _capture_day)(day, hours, return_state=True)
    came = await state.aresult(raise_on_failure=False)
    if isinstance(came, BaseException):
        raise came
    return cast("CaptureReport", came)


@task(name="reconcile", task_run_name="reconcile with the national series", retries=1, retry_delay_seconds=60, **PLAIN)
async def reconcile_week(month: str) -> dict[datetime, int] | None:
    """Compare the captured hours of the last week with the source's national totals, if the month reaches into it."""
    return await capture.reconcile_week(adapters(), month)


@task(name="load-month", task_run_name="load {month}", retries=3, retry_delay_seconds=[5, 30, 120], **PLAIN)
async def load_month(month: str, force: bool = False) -> LoadReport:
    """Bring Silver up to what Bronze holds of a month; it is one transaction."""
    return await capture.load_month(adapters(), month, force)


@task(name="publish", task_run_name="publish", retries=2, retry_delay_seconds=[30, 300], **PLAIN)
async def publish(force: bool, other_source: bool, payloads: list[str]) -> PublishReport:
    """Send what `gold/` holds to Supabase in one step; without a project, say so and send nothing."""
    return await gold.publish_gold(adapters(), force, other_source, payloads)


@task(name="publish-site", task_run_name="put up the site", retries=2, retry_delay_seconds=[30, 300], **PLAIN)
async def publish_site() -> SiteReport:
    """Put the site where SEC_SITE_TARGET says; without it, say so and put it nowhere."""
    return await gold.publish_site(adapters())


@task(name="build-gold", task_run_name="build Gold", retries=2, retry_delay_seconds=[5, 60], **_CACHED)
async def build_gold_from(digest: str) -> BuiltGold:  # noqa: ARG001 - the cache's key
    """Make all of Gold, with the site, from what Silver holds."""
    return await gold.build_gold(adapters())


@task(name="regional-customers", task_run_name="customers by region", retries=1, retry_delay_seconds=60, **_CACHED)
async def refresh_customers_of(digest: str) -> UniverseReport:  # noqa: ARG001 - the cache's key
    """Ask for the customers of each region and of the country, keep the answers, and cap events by them."""
    return await capture.refresh_customers(adapters())


@task(name="watch-hours", task_run_name="ask for the newest hours", **PLAIN)
async def ask_newest(closed: int) -> Watched:
    """Ask for the open hour and for those closed ones that may have changed; the next try comes in ten minutes."""
    return await upkeep.ask_newest(adapters(), closed)


@task(name="load-hours", task_run_name="load the newest hours", retries=2, retry_delay_seconds=[2, 10], **PLAIN)
async def load_newest(hours: list[datetime]) -> list[LoadReport]:
    """Bring Silver, and with it the views of the last 30 days, up to what was captured."""
    return await upkeep.load_newest(adapters(), hours)


async def build_gold() -> BuiltGold:
    """Gold, from Prefect's cache where nothing that it is made from has changed and its files are all there."""
    digest, stands = await asyncio.to_thread(gold.standing_gold, adapters())
    return await build_gold_from.with_options(refresh_cache=stands is None)(digest)


async def refresh_customers() -> UniverseReport:
    """The customers of the present month, from Prefect's cache where the database has them."""
    digest, known = await asyncio.to_thread(capture.known_customers, adapters())
    return await refresh_customers_of.with_options(refresh_cache=known is None)(digest)


TASKS = Steps(
    capture_day, reconcile_week, refresh_customers, load_month, build_gold, publish, publish_site,
    ask_newest, load_newest,
)  # fmt: skip
