"""The adapters that all use cases work with, opened in one place, and the steps of a run over them."""

from __future__ import annotations

import os
import platform
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from sec_core.bronze.ledger import Ledger
from sec_core.bronze.ledger_rules import HourState
from sec_core.bronze.store import BronzeStore
from sec_core.clock import Clock, SystemClock
from sec_core.config import Settings
from sec_core.db.database import Database, open_database
from sec_core.source.throttle import Throttle

if TYPE_CHECKING:
    from sec_core.bronze.capture import CaptureReport
    from sec_core.gold.publish import PublishReport
    from sec_core.gold.standing import BuiltGold
    from sec_core.silver.load import LoadReport
    from sec_core.silver.universe import UniverseReport
    from sec_core.source.client import SourceClient
    from sec_core.usecases.gold import SiteReport
    from sec_core.usecases.reports import SyncReport
    from sec_core.usecases.upkeep import Watched


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
    ask_newest: Callable[[int], Awaitable[Watched]]
    load_newest: Callable[[list[datetime]], Awaitable[list[LoadReport]]]
    show_month: Callable[[SyncReport, Mapping[datetime, HourState]], Awaitable[None]] = _show_nothing
    show_months: Callable[[list[SyncReport]], Awaitable[None]] = _show_nothing
    show_gold: Callable[[BuiltGold], Awaitable[None]] = _show_nothing

    async def bring_gold_up_to_date(self) -> BuiltGold:
        """Build Gold, and show what came of it."""
        built = await self.build_gold()
        await self.show_gold(built)
        return built


class Adapters:
    """Adapters over one database and one data folder.

    Attributes:
        settings: Settings of the run.
        database: The database, migrated.
        clock: Tells the time and waits.
        store: Bodies of Bronze.
        ledger: States of hours.
        name: What the run is called where another one waits for it.
        steps: How the steps of a run are taken: plain calls, unless a flow puts its tasks in their place.
    """

    def __init__(self, settings: Settings, database: Database, clock: Clock, name: str = "") -> None:
        self.settings = settings
        self.database = database
        self.clock = clock
        self.store = BronzeStore(settings.bronze)
        self.ledger = Ledger(database, self.store)
        self.name = name or f"process {os.getpid()} on {platform.node()}"
        self.steps = _direct(self)
        self._client: SourceClient | None = None

    def throttle(self) -> AbstractAsyncContextManager[Throttle]:
        """The limits and the circuit that all processes share."""
        return Throttle.open(self.database, self.settings, self.clock)

    @asynccontextmanager
    async def source(self) -> AsyncIterator[SourceClient]:
        """The SEC's API behind the shared limits and the circuit; a block inside another shares its client."""
        from sec_core.source.client import SourceClient

        if self._client is not None:
            yield self._client
            return
        async with self.throttle() as throttle, SourceClient(self.settings, throttle, self.clock) as client:
            self._client = client
            try:
                yield client
            finally:
                self._client = None


@contextmanager
def open_adapters(settings: Settings, clock: Clock | None = None, name: str = "") -> Iterator[Adapters]:
    """Connect to the database and make the adapters of a run of this name; closed at the end of the block.

    Raises:
        DatabaseError: The database can't be reached, started or used.
    """
    with closing(open_database(settings)) as database:
        yield Adapters(settings, database, clock or SystemClock(), name)


def _direct(adapters: Adapters) -> Steps:
    """The steps as plain calls, each imported when it is taken: a command starts at once."""

    def step(place: str) -> Callable[..., Awaitable[Any]]:
        return lambda *arguments: resolve_name(f"sec_core.usecases.{place}")(adapters, *arguments)

    return Steps(
        capture_day=step("capture:capture_day"),
        reconcile=step("capture:reconcile_week"),
        refresh_customers=step("capture:refresh_customers"),
        load_month=step("capture:load_month"),
        build_gold=step("gold:build_gold"),
        publish=step("gold:publish_gold"),
        publish_site=step("gold:publish_site"),
        ask_newest=step("upkeep:ask_newest"),
        load_newest=step("upkeep:load_newest"),
    )
