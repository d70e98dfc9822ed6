"""The monitor: the open hour replaced by later looks, the 30-day views at once, and a source that is left alone."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from prefect import State
from sqlalchemy import text
from support.fixtures import on_disk
from support.prefect_server import newest_artifact
from support.stack import ask
from support.truth import truth_of

from deployments.stack.matters import Told, learn_all
from deployments.stack.notices import ended_since
from flows.months import monthly_sync
from flows.upkeep import RUNS_KEPT, _forget_runs, monitor
from sec_core.bronze.ledger import Ledger
from sec_core.bronze.store import BronzeStore
from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.hours import HOUR
from sec_core.simulator.faults import FaultOptions, FaultRule
from sec_core.simulator.options import Outage, WorldOptions
from sec_core.simulator.server import Simulator
from sec_core.usecases.upkeep import MonitorReport
from tasks.runtime import open_run

OPEN = datetime(2026, 6, 10, 15, tzinfo=UTC)
SANTIAGO = ("13101", "13120", "13123", "13132")


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
    revisions = Ledger(database, BronzeStore(on_disk(pipeline.bronze))).revisions(OPEN)
    assert len({revision.capture.sha256 for revision in revisions}) == len(revisions) >= 2


async def test_the_oldest_runs_of_what_runs_all_day_are_forgotten(
    pipeline: Settings, prefect_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pipeline.retries == 0
    monkeypatch.setitem(RUNS_KEPT, "often", 2)
    flow = ask(prefect_url, "flows/", name="often")["id"]
    for _ in range(4):
        ask(prefect_url, "flow_runs/", flow_id=flow, state={"type": "COMPLETED"})
    await _forget_runs()
    assert len(ask(prefect_url, "flow_runs/filter", flows={"id": {"any_": [flow]}})) == 2


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


async def test_a_storm_is_told_of_once_and_is_in_the_artifacts_of_its_month(
    pipeline: Settings, database: Database, prefect_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outages = tuple(Outage(code, "CGE", OPEN, (1000, 4000, 6000, 5000, 3000, 500, 0)) for code in SANTIAGO)
    # Hours without any row would count as without data.
    outages += (Outage("05109", "CGE", OPEN - timedelta(days=12), (5,) * 1000),)
    world = WorldOptions(rows_per_hour=0, stale_rows=0, blank_share=0, outages=outages)
    known = text("insert into clientes_comunales values ('2026-05-01', :code, 90000, 'viviendas', 'x')")
    with database.engine.begin() as connection:
        connection.execute(known, [{"code": code} for code in SANTIAGO])
    clock, began = Hands(OPEN), datetime.now(UTC)
    told, said, heard = Told(looked=began, healthy=began), [], []
    with Simulator(world=world, clock=clock.now) as source, httpx.Client(base_url=prefect_url) as prefect:
        monkeypatch.setenv("SEC_BASE_URL", source.url)
        settings = pipeline.model_copy(update={"base_url": source.url})
        for minutes in (5, 65, 125, 135, 145, 245, 425, 545):
            clock.time = OPEN + timedelta(minutes=minutes)
            with open_run(settings, clock):
                state: State[Any] = await monitor(closed_hours=8, return_state=True)
            said.append((state.message or "").partition("so far ")[2].partition(" [")[0])
            learn_all(told, ended_since(prefect, began), prefect_url)
            for due in told.due(datetime.now(UTC)):
                heard.append(due.notice.text)
                told.tell(due, datetime.now(UTC))
        # An hour that is open has a few customers more or less than in the end.
        assert re.fullmatch(r"24,00\d customers, 4 comunas, 24,00\d out now and rising\.", said[2])
        assert re.fullmatch(r"24,000 customers, 4 comunas, 12,00\d out now and falling\.", said[5])
        assert [bool(line) for line in said] == [False, True, True, True, True, True, False, False]
        (notice,) = [line for line in heard if "saw a storm" in line]
        assert said[1] in notice

        clock.time = datetime(2026, 7, 2, 12, tzinfo=UTC)
        with open_run(settings, clock):
            await monthly_sync("2026-06")
    assert [row["peak"] for row in json.loads(newest_artifact(prefect_url, "storms"))] == [24_000]
