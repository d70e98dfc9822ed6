"""The throttle when something is wrong with the database, the clock or one hour, and the circuit closed by hand."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from loguru import logger
from sqlalchemy import text
from support.capturing import HastyClock, capturing, faults
from support.fixtures import MakeSettings

from deployments.cli.main import main
from sec_core.clock import SystemClock
from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.errors import CircuitOpen, DatabaseError, SourceUnavailable
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.server import Simulator
from sec_core.source.circuit import CircuitStatus, Failure
from sec_core.source.throttle import Throttle
from sec_core.usecases.adapters import open_adapters

NOW = datetime(2026, 9, 30, 13, 36, tzinfo=UTC)
HOUR = datetime(2026, 9, 29, 3, tzinfo=UTC)  # midnight in Chile
STEP = timedelta(hours=1)


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with Simulator(world=WorldOptions.tiny(), now=NOW) as running:
        yield running


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(message.record["message"]), level="INFO")
    yield lines
    logger.remove(sink)


def run(database: Database, statement: str) -> None:
    with database.engine.begin() as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize(
    "harm",
    [
        "alter table ritmo_fuente rename to elsewhere",
        "alter table circuito_fuente rename to elsewhere",
        "delete from ritmo_fuente",
        "update circuito_fuente set abierto_en = 'infinity', estado = 'open'",
        (
            "do $$ begin "
            "execute format('alter database %I set default_transaction_read_only = on', current_database()); end $$"
        ),
    ],
)
async def test_whatever_the_database_refuses_fails_all_who_wait_at_once(
    database: Database, make_settings: MakeSettings, harm: str
) -> None:
    run(database, harm)
    async with Throttle.open(database, make_settings(max_concurrency=2), SystemClock()) as throttle:

        async def ask() -> None:
            async with throttle.permit():
                pytest.fail("no request may leave")

        found = await asyncio.wait_for(asyncio.gather(*(ask() for _ in range(6)), return_exceptions=True), 30)
    assert {isinstance(error, DatabaseError) for error in found} == {True}, found
    assert all("\n" not in str(error) for error in found)


@pytest.mark.parametrize("column", ["proxima_en", "pausa_hasta"])
async def test_times_that_a_changed_clock_left_are_passed_over_and_said(
    database: Database, make_settings: MakeSettings, log: list[str], column: str
) -> None:
    run(database, f"update ritmo_fuente set {column} = clock_timestamp() + interval '3 hours'")
    began = time.monotonic()
    async with Throttle.open(database, make_settings(max_rate=5), SystemClock()) as throttle:
        for _ in range(3):
            async with throttle.permit() as permit:
                permit.outcome = True
    assert time.monotonic() - began < 30
    assert [line for line in log if "clock was changed" in line]
    # The rate holds for the requests that follow.
    assert time.monotonic() - began > 2 / 5


async def test_a_circuit_that_a_changed_clock_left_open_reopens_in_time(
    database: Database, make_settings: MakeSettings, log: list[str]
) -> None:
    for ahead in ("interval '5 hours'", "interval '10 days'"):
        run(
            database,
            "update circuito_fuente set estado = 'open', fallos_seguidos = 5, reabre_en = clock_timestamp() + "
            f"interval '30 minutes' + {ahead}, abierto_en = clock_timestamp() + {ahead}",
        )
        async with Throttle.open(database, make_settings(), SystemClock()) as throttle:
            for _ in range(2):
                with pytest.raises(CircuitOpen) as raised:
                    async with throttle.permit():
                        pytest.fail("no request may leave")
                left = raised.value.reopens_at - datetime.now(UTC)
                assert timedelta(minutes=29) < left < timedelta(minutes=31)
    assert len([line for line in log if "a clock was changed" in line]) == 2


async def test_long_waits_are_said_with_their_reason(
    database: Database, make_settings: MakeSettings, log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sec_core.source.throttle.LONG_WAIT_S", 0.5)
    settings = make_settings(max_rate=1, max_concurrency=1)
    clock = SystemClock()
    async with Throttle.open(database, settings, clock) as one, Throttle.open(database, settings, clock) as two:
        for throttle, failure in ((one, None), (one, Failure("x", "429", timedelta(seconds=3))), (two, None)):
            async with throttle.permit() as permit:
                permit.outcome = failure or True
    assert [line.rpartition(": ")[2] for line in log if line.startswith("Waiting")] == [
        "the rate is SEC_MAX_RATE",
        "the source asked for a pause",
    ]


async def test_one_hour_that_always_fails_keeps_nobody_from_the_others(
    sim: Simulator, make_settings: MakeSettings
) -> None:
    settings = make_settings(base_url=sim.url, max_rate=2000, retries=8, circuit_failures=3)
    faults(sim, "status,status=500,hours=2026-09-29T00..2026-09-29T00")
    async with capturing(settings) as capture:
        for _ in range(2):
            with pytest.raises(SourceUnavailable):
                await capture.client.hour(HOUR)
        assert (await capture.throttle.circuit()).status is CircuitStatus.CLOSED
        assert (await capture.client.hour(HOUR + STEP)).value.usable
        faults(sim, "status,status=500")
        both = await asyncio.gather(capture.client.hour(HOUR), capture.client.hour(HOUR + STEP), return_exceptions=True)
        assert {type(error) for error in both} <= {SourceUnavailable, CircuitOpen}
        assert (await capture.throttle.circuit()).status is CircuitStatus.OPEN


async def test_a_probe_asks_for_what_is_known_to_be_answered(sim: Simulator, make_settings: MakeSettings) -> None:
    settings = make_settings(base_url=sim.url, max_rate=2000, retries=0, circuit_failures=1)
    clock = HastyClock()
    async with capturing(settings, clock) as fresh, capturing(settings, clock) as known:
        faults(sim)
        assert (await known.client.hour(HOUR + STEP)).value.usable
        bad = "hours=2026-09-29T00..2026-09-29T00"
        for client, probe in ((fresh.client, "GetHoraServer"), (known.client, "GetPorFecha")):
            before = faults(sim, f"status,status=500,{bad}")
            with pytest.raises(SourceUnavailable):
                await client.hour(HOUR)
            with pytest.raises(CircuitOpen):
                await client.hour(HOUR)
            clock.ahead += timedelta(hours=1)
            with pytest.raises(SourceUnavailable):
                await client.hour(HOUR)
            asked = [(item.endpoint, item.hour) for item in sim.requests[before:]]
            bad_hour = ("GetPorFecha", HOUR)
            assert asked == [bad_hour, (probe, None if probe == "GetHoraServer" else HOUR + STEP), bad_hour]
            # Only a probe is told from a failure of the hour.
            faults(sim, "status,status=500,endpoint=all")
            clock.ahead += timedelta(hours=1)
            failures: list[object] = []
            with pytest.raises(CircuitOpen, match="still doesn't answer"):
                await client.hour(HOUR + STEP, on_failure=failures.append)
            assert failures == []
            await known.throttle.close_circuit("a test", "the next client")


def test_the_circuit_is_closed_by_hand(
    commands: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_adapters(commands) as adapters:
        run(
            adapters.database,
            "update circuito_fuente set estado = 'open', fallos_seguidos = 7, abierto_en = now(), "
            "reabre_en = '2026-09-30T13:30Z', codigo_error = 'source_unavailable', ultimo_error = '503'",
        )
    assert main(["circuit"]) == 0
    state = "open, 7 failures in a row, reopens at 2026-09-30 10:30 in Chile (13:30 UTC). The last one: 503"
    assert capsys.readouterr().out == f"{state}\n"
    assert main(["circuit", "close"]) == 1
    assert main(["circuit", "close", "--why", "  "]) == 1
    assert "why" in capsys.readouterr().err
    monkeypatch.setenv("LOGNAME", "ana")
    assert main(["circuit", "close", "--why", "the SEC said by phone\nthat it is back"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"The circuit is closed. Before: {state}\n"
    assert "circuit open -> closed by hand, by ana: the SEC said by phone that it is back" in captured.err
    assert "answers again" not in captured.err
    assert main(["circuit"]) == 0
    assert capsys.readouterr().out == "closed, 0 failures in a row.\n"
