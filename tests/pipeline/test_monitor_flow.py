"""The monitor: the open hour replaced by later looks, the 30-day views at once, and a source that is left alone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
from sqlalchemy import text
from support.truth import truth_of

from flows.upkeep import _forget_runs, monitor
from sec_core.bronze.ledger import Ledger
from sec_core.bronze.store import BronzeStore
from sec_core.hours import HOUR
from sec_core.simulator.faults import FaultOptions, FaultRule
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.server import Simulator
from sec_core.usecases.monitor import MonitorReport
from tasks.runtime import open_run

if TYPE_CHECKING:
    import pytest
    from prefect import State

    from sec_core.config import Settings
    from sec_core.db.database import Database


OPEN = datetime(2026, 6, 10, 15, tzinfo=UTC)


class Hands:
    """A clock that is set by hand; the source and the pipeline share it."""

    def __init__(self, now: datetime) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def look(settings: Settings, clock: Hands) -> MonitorReport:
    with open_run(settings, clock):
        report = await monitor(closed_hours=2)
    assert isinstance(report, MonitorReport)
    return report


def in_view(database: Database, hour: datetime) -> int | None:
    """Customers of an hour as the live view shows them; None where it has no such hour."""
    query = text("select sum(clientes_afectados) from v_afectacion_horaria_30d where hora = :hour")
    with database.engine.connect() as connection:
        total = connection.execute(query, {"hour": hour}).scalar()
    return None if total is None else int(total)


async def test_the_open_hour_is_seen_at_once_and_each_later_look_replaces_it(
    pipeline: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Hands(OPEN + timedelta(minutes=5))
    with Simulator(world=WorldOptions.tiny(seed=5), clock=clock.now) as source:
        monkeypatch.setenv("SEC_BASE_URL", source.url)
        first = await look(pipeline.model_copy(update={"base_url": source.url}), clock)
        assert (first.open_hour, first.asked, first.captured, first.loaded) == (OPEN, 3, 3, 3)
        early = truth_of(source).national(OPEN)
        assert in_view(database, OPEN) == early

        clock.time = OPEN + timedelta(minutes=50)
        second = await look(pipeline.model_copy(update={"base_url": source.url}), clock)
        # The closed hours were answered less than an hour ago.
        assert (second.asked, second.captured, second.loaded) == (1, 1, 1)
        late = truth_of(source).national(OPEN)
        assert in_view(database, OPEN) == late != early

        clock.time = OPEN + HOUR + timedelta(minutes=6)
        third = await look(pipeline.model_copy(update={"base_url": source.url}), clock)
        assert (third.open_hour, third.asked) == (OPEN + HOUR, 3)
        assert in_view(database, OPEN) == truth_of(source).national(OPEN)
        assert in_view(database, OPEN + HOUR) == truth_of(source).national(OPEN + HOUR)
        assert third.differing == 0
        requests = [request for request in source.requests if request.endpoint == "GetHoraServer"]
        assert len(requests) == 3
    revisions = Ledger(database, BronzeStore(pipeline.bronze_dir)).revisions(OPEN)
    assert len({revision.capture.sha256 for revision in revisions}) == len(revisions) >= 2


async def test_old_runs_are_forgotten_and_others_stay(pipeline: Settings, prefect_url: str) -> None:
    assert pipeline.retries == 0
    now, names = datetime.now(UTC), {}
    async with httpx.AsyncClient(base_url=prefect_url) as client:
        flow = (await client.post("/flows/", json={"name": "old"})).raise_for_status().json()["id"]
        for name, tag, days in (
            ("old", "monitor", 4),
            ("new", "monitor", 2),
            ("health", "health", 6),
            ("x", "months", 60),
        ):
            state = {"type": "COMPLETED", "timestamp": (now - timedelta(days=days)).isoformat()}
            body = {"flow_id": flow, "tags": [tag], "state": state}
            names[(await client.post("/flow_runs/", json=body)).raise_for_status().json()["id"]] = name
        await _forget_runs(now)
        left = await client.post("/flow_runs/filter", json={"flows": {"id": {"any_": [flow]}}})
    assert sorted(names[run["id"]] for run in left.json()) == ["health", "new", "x"]


async def test_a_source_that_is_left_alone_is_no_failure_of_the_monitor(
    pipeline: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pipeline.retries == 0
    monkeypatch.setenv("SEC_CIRCUIT_FAILURES", "1")
    broken = FaultOptions(rules=(FaultRule(kind="status", endpoint=None),))
    with Simulator(world=WorldOptions.tiny(), faults=broken) as source:
        monkeypatch.setenv("SEC_BASE_URL", source.url)
        failed: State[Any] = await monitor(return_state=True)
        assert failed.is_failed()
        assert "503" in (failed.message or "")
        asked = len(source.requests)
        skipped: State[Any] = await monitor(return_state=True)
        assert (skipped.is_completed(), skipped.name) == (True, "SourceAtRest")
        assert "one probe" in (skipped.message or "")
        assert len(source.requests) == asked == 1
