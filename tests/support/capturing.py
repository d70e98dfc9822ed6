"""What capture needs, opened for a test: throttle, client, store and ledger on a real database."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sec_core.bronze.capture import CaptureReport, capture_hours
from sec_core.bronze.ledger import Finding, Ledger
from sec_core.bronze.ledger_rules import hours_to_ask
from sec_core.bronze.store import BronzeStore
from sec_core.clock import Clock, SystemClock
from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.simulator.answers import hour_body
from sec_core.simulator.faults import FaultOptions
from sec_core.simulator.server import Simulator
from sec_core.source.client import SourceClient
from sec_core.source.shapes import AnsweredBy, Shape, classify
from sec_core.source.throttle import Throttle
from support.truth import truth_of


class HastyClock(SystemClock):
    """A clock that can be set, with waits of at most a hundredth of a second; notes the waits asked for."""

    def __init__(self, start: datetime | None = None) -> None:
        self.waits: list[float] = []
        self.ahead = timedelta(0) if start is None else start - datetime.now(UTC)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(min(seconds, 0.01))


@dataclass(frozen=True, slots=True)
class Capturing:
    """Adapters for capture."""

    settings: Settings
    database: Database
    throttle: Throttle
    client: SourceClient
    store: BronzeStore
    ledger: Ledger
    clock: Clock

    async def run(self, hours: Iterable[datetime], *, force: bool = False) -> CaptureReport:
        """Ask for those of the hours that are not settled."""
        wanted = list(hours)
        rows = self.ledger.rows(wanted)
        todo = hours_to_ask(wanted, rows, self.clock.now(), force=force)
        return await capture_hours(todo, client=self.client, ledger=self.ledger, clock=self.clock)


def keep_answers(source: Simulator, database: Database, settings: Settings, hours: Iterable[datetime]) -> None:
    """Let Bronze hold what a source would say about those of the hours that have data, without asking it."""
    world, at = truth_of(source).world, source.now()
    bodies = {hour: hour_body(world, hour, Shape.DETAILED) for hour in hours if world.has_data(hour)}
    by = AnsweredBy("127.0.0.1", "simulator")
    findings = [Finding(hour, at, body, classify(body), answered_by=by) for hour, body in bodies.items()]
    Ledger(database, BronzeStore(settings.bronze)).record(findings)


@asynccontextmanager
async def capturing(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Capturing]:
    """Open everything; requests leave as fast as the settings let them, but backoff takes no time."""
    clock = clock or HastyClock()
    assert settings.database_url is not None
    database = Database(settings.database_url.get_secret_value())
    store = BronzeStore(settings.bronze)
    try:
        async with (
            Throttle.open(database, settings, clock) as throttle,
            SourceClient(settings, throttle, clock) as client,
        ):
            yield Capturing(settings, database, throttle, client, store, Ledger(database, store), clock)
    finally:
        database.close()


def faults(sim: Simulator, *rules: str) -> int:
    """Give a simulated SEC these faults and no others; how many requests it had before."""
    sim.set_faults(FaultOptions.model_validate({"rules": rules}))
    return len(sim.requests)
