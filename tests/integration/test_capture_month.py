"""Months captured from the simulated SEC: every hour accounted for, whatever goes wrong."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest
from support.capturing import Capturing, HastyClock, capturing
from support.fixtures import MakeSettings, on_disk
from support.truth import truth_of

from sec_core.bronze.capture import capture_hours
from sec_core.bronze.ledger import Ledger
from sec_core.bronze.ledger_rules import HourState
from sec_core.errors import CircuitOpen, DatabaseUnavailable, StorageError, UnexpectedBody
from sec_core.hours import HOUR, Month
from sec_core.simulator.faults import FaultKind, FaultOptions, FaultRule
from sec_core.simulator.options import Revisions, WorldOptions
from sec_core.simulator.server import Simulator
from sec_core.source.shapes import AnsweredBy, Shape
from sec_core.usecases.adapters import Adapters
from sec_core.usecases.capture import capture_all, reconcile_week

MONTH = Month(2026, 8)
NOW = datetime(2026, 9, 30, 13, 36, tzinfo=UTC)
WORLD = WorldOptions.tiny(holes=(("2026-08-03T03", "2026-08-03T07"),))
DAY = MONTH.hours()[24:48]


class Scene(Protocol):
    def __call__(
        self, *rules: FaultRule, world: WorldOptions = WORLD, at: datetime = NOW, **settings: object
    ) -> AbstractAsyncContextManager[tuple[Simulator, Capturing]]: ...


@pytest.fixture
def scene(make_settings: MakeSettings) -> Scene:
    """Opens a simulated SEC and what captures from it; `shape` and `revisions` are the simulator's."""

    @asynccontextmanager
    async def opened(
        *rules: FaultRule, world: WorldOptions = WORLD, at: datetime = NOW, **changes: object
    ) -> AsyncIterator[tuple[Simulator, Capturing]]:
        options: dict[str, Any] = {name: changes.pop(name) for name in ("shape", "revisions") if name in changes}
        given = {"max_rate": 5000, "max_concurrency": 8, "circuit_failures": 1000, "retries": 4, **changes}
        with Simulator(world=world, now=NOW, faults=FaultOptions(rules=rules), **options) as sim:
            async with capturing(make_settings(base_url=sim.url, **given), HastyClock(at)) as capture:
                yield sim, capture

    return opened


def counts(capture: Capturing, month: Month = MONTH) -> Counter[HourState]:
    return Counter(capture.ledger.states(month).values())


def assert_rebuilt_equal(capture: Capturing) -> None:
    hours = MONTH.hours()
    before = capture.ledger.rows(hours), capture.ledger.values(MONTH.start, MONTH.end), capture.ledger.kept(MONTH)
    capture.ledger.rebuild()
    after = capture.ledger.rows(hours), capture.ledger.values(MONTH.start, MONTH.end), capture.ledger.kept(MONTH)
    assert after == before


async def test_a_month_is_complete_and_asked_for_once(scene: Scene) -> None:
    async with scene() as (sim, capture):
        report = await capture.run(MONTH.hours())
        assert (report.captured, report.empty, report.requests) == (739, 5, 744)
        assert counts(capture) == {HourState.CAPTURED: 739, HourState.EMPTY: 5}
        values = capture.ledger.values(MONTH.start, MONTH.end)
        assert {value.answered_by for value in values} == {AnsweredBy("127.0.0.1", "simulator")}
        assert [value.hour for value in values] == sorted(value.hour for value in values)
        for value in values[::50]:
            assert value.customers == truth_of(sim).national(value.hour)
            assert value.rows == truth_of(sim).row_count(value.hour)
        asked = len(sim.requests)
        again = await capture.run(MONTH.hours())
        assert (again.asked, again.empty) == (5, 5)
        assert len(sim.requests) == asked + 5
        assert_rebuilt_equal(capture)
        raw = sum(row.value.size for row in capture.ledger.rows(MONTH.hours()).values() if row.value)
        assert raw > 0


KINDS = [kind for kind in FaultKind if kind not in {FaultKind.SLOW, FaultKind.OVERSIZE, FaultKind.ENDLESS}]


def some(kind: FaultKind, share: float, attempts: tuple[int, int] | None = (1, 2)) -> FaultRule:
    size = 40_000_000 if kind is FaultKind.OVERSIZE else None
    return FaultRule(kind=kind, rate=share, attempts=attempts, delay_s=0.01, size=size)


async def test_faults_of_every_kind_together(scene: Scene) -> None:
    rules = (some(FaultKind.SLOW, 0.05), *(some(kind, 0.05) for kind in KINDS if kind is not FaultKind.COLLAPSED))
    async with scene(*rules) as (sim, capture):
        await capture.run(MONTH.hours())
        fooled = {item.hour for item in sim.requests if item.fault is FaultKind.EMPTY}
        states = capture.ledger.states(MONTH)
        assert HourState.PENDING not in states.values()
        for hour, state in states.items():
            wrong = hour in fooled or not truth_of(sim).row_count(hour)
            assert state is (HourState.EMPTY if wrong else HourState.CAPTURED)
        assert_rebuilt_equal(capture)
        sim.set_faults(FaultOptions())
        await capture.run(MONTH.hours())
        assert counts(capture) == {HourState.CAPTURED: 739, HourState.EMPTY: 5}
        assert_rebuilt_equal(capture)


@pytest.mark.parametrize("kind", [*KINDS, FaultKind.OVERSIZE, FaultKind.ENDLESS])
async def test_each_fault_alone_until_it_heals(scene: Scene, kind: FaultKind) -> None:
    async with scene(some(kind, 0.2, (1, 9)), retries=1, timeout_s=1) as (sim, capture):
        try:
            await capture.run(DAY)
        except UnexpectedBody:
            assert kind not in {FaultKind.STATUS, FaultKind.DROP, FaultKind.EMPTY, FaultKind.COLLAPSED}
        met = {item.hour for item in sim.requests if item.hour and item.fault is kind}
        rows = capture.ledger.rows(DAY)
        assert met
        for hour in met & set(rows):
            assert (rows[hour].state is HourState.CAPTURED) == (kind is FaultKind.COLLAPSED)
        assert_rebuilt_equal(capture)
        sim.set_faults(FaultOptions())
        await capture.run(DAY)
        assert {row.state for row in capture.ledger.rows(DAY).values()} == {HourState.CAPTURED}
        assert not any(row.suspect for row in capture.ledger.rows(DAY).values())


async def test_another_shape_is_quarantined_and_ends_the_run_fast(scene: Scene) -> None:
    odd = FaultRule(kind=FaultKind.RENAMED_KEY, key="NOMBRE_COMUNA")
    async with scene(odd, circuit_failures=5) as (sim, capture):
        with pytest.raises(UnexpectedBody, match=r"missing keys NOMBRE_COMUNA; new keys NOMBRE_COMUNA_2"):
            await capture.run(MONTH.hours())
        assert len(sim.requests) <= 5 + 8
        bodies = capture.ledger.quarantine(MONTH.start, MONTH.end)
        assert bodies
        assert all("NOMBRE_COMUNA_2" in (body.reason or "") for body in bodies)
        assert b"NOMBRE_COMUNA_2" in capture.store.read(bodies[0].capture.key)
        assert capture.ledger.values(MONTH.start, MONTH.end) == []
        assert_rebuilt_equal(capture)


async def test_known_trouble_of_one_hour_keeps_nobody_from_the_others(scene: Scene) -> None:
    odd = FaultRule(kind=FaultKind.NEW_KEY, hours=("2026-08-02T05", "2026-08-02T05"))
    async with scene(odd, retries=0) as (_, capture):
        with pytest.raises(UnexpectedBody):
            await capture.run(DAY)
        report = await capture.run(DAY)
        assert report.quarantined == 1
        assert Counter(row.state for row in capture.ledger.rows(DAY).values()) == {
            HourState.CAPTURED: 23,
            HourState.QUARANTINED: 1,
        }


async def test_bodies_whose_shape_was_learned_are_taken_in_without_asking(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sec_core.source import shapes  # noqa: PLC0415

    odd = FaultRule(kind=FaultKind.NEW_KEY, hours=("2026-08-02T05", "2026-08-02T05"))
    async with scene(odd, shape=Shape.AGGREGATED, retries=0) as (sim, capture):
        with pytest.raises(UnexpectedBody):
            await capture.run(DAY)
        await capture.run(DAY)
        asked = len(sim.requests)
        assert capture.ledger.relearn(MONTH.start, MONTH.end) == 0
        learned = {**shapes.KEYS, Shape.AGGREGATED: shapes.KEYS[Shape.AGGREGATED] | {"NOMBRE_ALIMENTADOR"}}
        monkeypatch.setattr(shapes, "KEYS", learned)
        monkeypatch.setitem(shapes._TYPES, "NOMBRE_ALIMENTADOR", str | int | None)
        assert capture.ledger.relearn(MONTH.start, MONTH.end) == 1
        assert len(sim.requests) == asked
        assert {row.state for row in capture.ledger.rows(DAY).values()} == {HourState.CAPTURED}
        assert capture.ledger.quarantine(MONTH.start, MONTH.end) == []
        assert_rebuilt_equal(capture)


async def test_corrupt_cycles_are_asked_again_and_marked_if_they_stay(scene: Scene) -> None:
    def collapsed(attempts: tuple[int, int] | None) -> FaultRule:
        return FaultRule(kind=FaultKind.COLLAPSED, hours=("2026-08-02T05", "2026-08-02T05"), attempts=attempts)

    world = WorldOptions.tiny(rows_per_hour=120)
    async with scene(collapsed((1, 1)), world=world) as (sim, capture):
        report = await capture.run(DAY)
        assert (report.asked, report.requests, report.revisions, report.suspect) == (24, 25, 1, 0)
        cut = DAY[5]
        row = capture.ledger.rows([cut])[cut]
        assert (row.suspect, row.revisions) == (False, 2)
        sim.set_faults(FaultOptions(rules=(collapsed(None),)))
        report = await capture.run([cut], force=True)
        assert (report.requests, report.suspect) == (2, 1)
        assert capture.ledger.rows([cut])[cut].suspect
        assert capture.ledger.month_summary([MONTH], NOW)[0].suspect == 1
        assert_rebuilt_equal(capture)
        sim.set_faults(FaultOptions())
        assert (await capture.run(DAY)).asked == 1, "a suspect hour is not settled"
        assert not capture.ledger.rows([cut])[cut].suspect


async def test_a_second_look_that_fails_leaves_the_doubt(scene: Scene) -> None:
    hour = ("2026-08-02T05", "2026-08-02T05")
    collapsed = FaultRule(kind=FaultKind.COLLAPSED, hours=hour, attempts=(1, 1))
    away = FaultRule(kind=FaultKind.STATUS, hours=hour, attempts=(2, 9))
    async with scene(collapsed, away, world=WorldOptions.tiny(rows_per_hour=120), retries=0) as (_, capture):
        report = await capture.run(DAY)
        assert (report.captured, report.failed, report.suspect) == (24, 1, 1)
        assert [hour for hour, row in capture.ledger.rows(DAY).items() if row.suspect] == [DAY[5]]
        assert_rebuilt_equal(capture)


async def test_revisions_are_kept_beside_what_they_revise(scene: Scene) -> None:
    revised = Revisions(share=1, after_asks=1, most=1)
    async with scene(revisions=revised, at=DAY[-1] + 2 * HOUR) as (_, capture):
        first = await capture.run(DAY)
        second = await capture.run(DAY)
        third = await capture.run(DAY)
        assert (first.captured, first.revisions) == (24, 0)
        assert (second.captured, second.revisions, second.unchanged) == (24, 24, 0)
        assert (third.captured, third.unchanged) == (0, 24)
        kept = capture.ledger.revisions(DAY[3])
        assert len({body.capture.sha256 for body in kept}) == len(kept) == 2
        value = capture.ledger.values(DAY[3], DAY[4])[0]
        assert value.captured_at == kept[1].capture.captured_at
        assert all(capture.store.read(body.capture.key) for body in kept)
        assert_rebuilt_equal(capture)


async def test_hours_that_differ_from_the_national_series_are_asked_again(scene: Scene) -> None:
    cut = ("2026-09-28T05", "2026-09-28T05")
    faults = FaultRule(kind=FaultKind.COLLAPSED, hours=cut, attempts=(1, 1))
    hours = [hour for hour in Month(2026, 9).hours() if NOW - timedelta(days=3) < hour < NOW - HOUR]
    # Too few rows for the neighbours to betray the cut hour.
    world = WorldOptions.tiny(rows_per_hour=8, stale_rows=1)
    async with scene(faults, world=world) as (sim, capture):
        await capture.run(hours)
        assert any(item.fault is FaultKind.COLLAPSED for item in sim.requests)
        sent = len(sim.hours_asked())
        adapters = Adapters(capture.settings, capture.database, capture.clock)
        assert await reconcile_week(adapters, "2026-09") == {}
        assert len(sim.hours_asked()) == sent + 1
        rows = capture.ledger.rows(hours)
        assert all(row.national_difference == 0 for row in rows.values())


async def test_an_open_circuit_stops_the_work_and_what_came_is_kept(scene: Scene) -> None:
    down = FaultRule(kind=FaultKind.STATUS, requests=(11, 1_000_000))
    async with scene(down, circuit_failures=5, max_concurrency=2) as (sim, capture):
        with pytest.raises(CircuitOpen) as raised:
            await capture.run(DAY)
        assert raised.value.reopens_at > NOW + timedelta(minutes=29)
        states = Counter(row.state for row in capture.ledger.rows(DAY).values())
        assert states[HourState.CAPTURED] == 10
        assert states[HourState.FAILED] >= 1
        asked = len(sim.requests)
        assert 15 <= asked <= 16
        with pytest.raises(CircuitOpen):
            await capture.run(DAY)
        assert len(sim.requests) == asked
        assert_rebuilt_equal(capture)


async def test_a_run_ends_though_some_hours_always_fail(scene: Scene) -> None:
    bad = FaultRule(kind=FaultKind.STATUS, status=500, hours=("2026-08-10T03", "2026-08-10T06"))
    async with scene(bad, circuit_failures=3, circuit_cooldown_s=0.2, retries=1) as (sim, capture):
        adapters = Adapters(capture.settings, capture.database, HastyClock(NOW))
        for _ in range(2):
            sent = len(sim.requests)
            await capture_all(adapters, MONTH, wait_for_circuit=True, force=False)
            failed = [hour for hour, state in capture.ledger.states(MONTH).items() if state is HourState.FAILED]
            assert failed == [hour for hour in MONTH.hours() if "10T03" <= f"{hour - 4 * HOUR:%dT%H}" <= "10T06"]
            asked = Counter(item.hour for item in sim.requests[sent:])
            assert max(asked[hour] for hour in failed) <= 2 * (1 + capture.settings.retries)
        assert counts(capture) == {HourState.CAPTURED: 735, HourState.EMPTY: 5, HourState.FAILED: 4}


class JumpingClock(HastyClock):
    """A clock on which waits take no time at all."""

    async def sleep(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)
        await super().sleep(0)


async def test_a_run_waits_a_day_for_a_source_that_is_away_and_asks_it_once_each_half_hour(
    scene: Scene,
) -> None:
    down = FaultRule(kind=FaultKind.STATUS, status=500, endpoint=None)
    async with scene(down, circuit_failures=3, retries=1) as (sim, capture):
        adapters = Adapters(capture.settings, capture.database, JumpingClock(NOW))
        with pytest.raises(CircuitOpen):
            await capture_all(adapters, MONTH, wait_for_circuit=True, force=False)
        probes = [item for item in sim.requests if item.endpoint == "GetHoraServer"]
        assert 45 <= len(probes) <= 50
        assert len(sim.requests) - len(probes) <= 3 + capture.settings.max_concurrency
        # What failed before the circuit opened is not blamed for the probes.
        assert counts(capture)[HourState.FAILED] < 20


async def test_a_lost_database_loses_no_body(scene: Scene) -> None:
    async with scene() as (_, capture):
        await capture.run(DAY[:4])
        with capture.database.engine.begin() as connection:
            connection.exec_driver_sql("alter table capturas rename to capturas_gone")
        with pytest.raises(Exception, match="capturas"):
            await capture_hours(DAY[4:8], client=capture.client, ledger=capture.ledger, clock=capture.clock)
        with capture.database.engine.begin() as connection:
            connection.exec_driver_sql("alter table capturas_gone rename to capturas")
        (on_disk(capture.settings.bronze) / "journal" / f"{MONTH}.jsonl").unlink()
        found = {name.hour for name in capture.store.bodies(MONTH)}
        fresh = Ledger(capture.database, capture.store)
        fresh.repair(MONTH)
        assert {hour for hour, row in fresh.rows(DAY).items() if row.state is HourState.CAPTURED} == found
        assert fresh.repair(MONTH) == 0


async def test_an_empty_data_folder_does_not_wipe_the_ledger(scene: Scene) -> None:
    async with scene() as (_, capture):
        with pytest.raises(StorageError, match="SEC_DATA_DIR"):
            capture.ledger.rebuild()


async def test_an_unreachable_database_is_one_clear_error(scene: Scene) -> None:
    async with scene(database_url="postgresql://nobody@127.0.0.1:9/none") as (_, capture):
        with pytest.raises(DatabaseUnavailable):
            await capture.client.hour(DAY[0])
        with pytest.raises(DatabaseUnavailable):
            capture.ledger.states(MONTH)
