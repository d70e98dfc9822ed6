"""Steps of a run. Called directly they are plain functions; a flow passes the same steps as Prefect tasks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sec_core.bronze.ledger_rules import HourState
from sec_core.errors import InputError
from sec_core.gold.standing import BuiltGold
from sec_core.hours import Month
from sec_core.usecases.progress import in_thread
from sec_core.usecases.reports import SyncReport

if TYPE_CHECKING:
    from sec_core.bronze.capture import CaptureReport
    from sec_core.gold.publish import PublishReport
    from sec_core.silver.load import LoadReport
    from sec_core.silver.universe import UniverseReport
    from sec_core.usecases.adapters import Adapters
    from sec_core.usecases.gold import SiteReport


async def _show_nothing(*_shown: object) -> None:
    """A command shows the report that it gets back."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of a run that its caller may retry, limit, cache or show; months are written `YYYY-MM`."""

    capture_day: Callable[[date, list[datetime]], Awaitable[CaptureReport]]
    reconcile: Callable[[str], Awaitable[dict[datetime, int] | None]]
    refresh_customers: Callable[[], Awaitable[UniverseReport]]
    load_month: Callable[[str, bool], Awaitable[LoadReport]]
    build_gold: Callable[[], Awaitable[BuiltGold]]
    publish: Callable[[bool, bool, list[str]], Awaitable[PublishReport]]
    publish_site: Callable[[], Awaitable[SiteReport]]
    show_month: Callable[[SyncReport, Mapping[datetime, HourState]], Awaitable[None]] = _show_nothing
    show_months: Callable[[list[SyncReport]], Awaitable[None]] = _show_nothing
    show_gold: Callable[[BuiltGold], Awaitable[None]] = _show_nothing

    async def bring_gold_up_to_date(self) -> BuiltGold:
        """Build Gold, and show what came of it."""
        built = await self.build_gold()
        await self.show_gold(built)
        return built


def direct(adapters: Adapters) -> Steps:
    """The steps as plain calls, each imported when it is taken: a command starts at once."""

    def step(module: str, name: str) -> Callable[..., Awaitable[Any]]:
        def call(*arguments: object) -> Awaitable[Any]:
            taken: Awaitable[Any] = getattr(import_module(f"sec_core.usecases.{module}"), name)(adapters, *arguments)
            return taken

        return call

    return Steps(
        capture_day=step("capture", "capture_day"),
        reconcile=step("capture", "reconcile_week"),
        refresh_customers=step("customers", "refresh_customers"),
        load_month=step("steps", "load_month"),
        build_gold=step("gold", "build_gold"),
        publish=step("steps", "publish_gold"),
        publish_site=step("gold", "publish_site"),
    )


async def load_month(adapters: Adapters, month: str, force: bool = False) -> LoadReport:
    """Bring Silver up to what Bronze holds of a month, in one transaction; `force` loads all its hours again."""
    from sec_core.silver.load import load_month as load

    bodies, settings, ledger = adapters.store.read_kept, adapters.settings, adapters.ledger
    return await in_thread(
        "load", month, load, adapters.database, bodies, Month.parse(month), settings, values=ledger, force=force
    )


async def publish_gold(adapters: Adapters, force: bool, other_source: bool, payloads: list[str]) -> PublishReport:
    """Send Gold to Supabase in one step; nothing without a project.

    Args:
        adapters: The adapters.
        force: Publish although much would be lost: of these payloads, or of all where none is named.
        other_source: See `publish.publish`.
        payloads: Names of payloads that may lose something.

    Raises:
        InputError: Payloads are named that there are not, or without `force`.
    """
    from sec_core.db.locks import Lock, turn
    from sec_core.gold.publish import ALL, publish

    if payloads and not force:
        raise InputError(
            "All payloads are published together; named are those that may lose something, with --force.",
            next_step="See `sec publish --help`.",
        )
    allowed = payloads or [ALL] if force else []

    def send() -> PublishReport:
        with turn(adapters.database, Lock.PUBLICATION):
            return publish(adapters.settings, adapters.clock, force=allowed, other_source=other_source)

    return await in_thread("publish", "", send)
