"""The adapters that all use cases work with, opened in one place."""

from __future__ import annotations

import os
import platform
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager
from typing import TYPE_CHECKING

from sec_core.bronze.ledger import Ledger
from sec_core.bronze.store import BronzeStore
from sec_core.clock import Clock, SystemClock
from sec_core.config import Settings
from sec_core.db.database import Database, open_database
from sec_core.source.throttle import Throttle
from sec_core.usecases.steps import direct

if TYPE_CHECKING:
    from sec_core.source.client import SourceClient


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
        self.steps = direct(self)
        self._client: SourceClient | None = None

    def throttle(self) -> AbstractAsyncContextManager[Throttle]:
        """The limits and the circuit that all processes share."""
        from sec_core.source.throttle import Throttle

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
