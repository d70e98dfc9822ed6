"""What the tasks of one run share: settings and the adapters made from them.

Tasks take plain parameters (a day, a month), so that Prefect can show and hash them. The adapters they work with are
opened once a run and found here.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sec_core.bronze.ledger import Ledger
from sec_core.bronze.store import BronzeStore
from sec_core.clock import Clock, SystemClock
from sec_core.db.database import Database, open_database
from sec_core.source.client import SourceClient
from sec_core.source.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sec_core.bronze.ledger_rules import Capture
    from sec_core.config import Settings


@dataclass(frozen=True, slots=True)
class Runtime:
    """The adapters of one run.

    Attributes:
        settings: Settings of the run.
        database: The Silver database, migrated.
        store: Bodies of Bronze.
        ledger: States of hours.
        client: The SEC's API, behind the limits and the circuit that all processes share.
        clock: Tells the time and waits.
    """

    settings: Settings
    database: Database
    store: BronzeStore
    ledger: Ledger
    client: SourceClient
    clock: Clock

    def body(self, capture: Capture) -> bytes:
        """Bytes of a capture, as the source sent them."""
        return self.store.read(capture.key)


_current: ContextVar[Runtime] = ContextVar("sec_runtime")


def runtime() -> Runtime:
    """The adapters of the run that the caller belongs to.

    Raises:
        LookupError: Called outside `open_runtime`.
    """
    return _current.get()


@asynccontextmanager
async def open_runtime(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Runtime]:
    """Open the adapters for a run and make them `runtime()`; a run inside a run shares those of the outer one.

    Args:
        settings: Where everything is.
        clock: Stands in for the machine's clock in tests.

    Yields:
        The adapters, valid inside the block.
    """
    outer = _current.get(None)
    if outer is not None:
        yield outer
        return
    clock = clock or SystemClock()
    database = open_database(settings)
    try:
        store = BronzeStore(settings.bronze)
        ledger = Ledger(database, store)
        async with (
            Throttle.open(database, settings, clock) as throttle,
            SourceClient(settings, throttle, clock) as client,
        ):
            opened = Runtime(settings, database, store, ledger, client, clock)
            token = _current.set(opened)
            try:
                yield opened
            finally:
                _current.reset(token)
    finally:
        database.dispose()
