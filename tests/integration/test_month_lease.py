"""One worker at a time for a month: who waits finds nothing left to do, and a killed holder loses it."""

import asyncio
import sys
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

from loguru import logger
from support.capturing import HastyClock
from support.fixtures import MakeSettings

from sec_core.db.database import Database
from sec_core.db.locks import LockClass, lease
from sec_core.hours import Month
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.server import Simulator
from sec_core.usecases.adapters import open_adapters
from sec_core.usecases.capture import capture_all

NOW = datetime(2026, 9, 30, 13, 36, tzinfo=UTC)
MONTH = Month(2026, 6)
HOLDER = """
import asyncio, sys
from sec_core.db.database import Database
from sec_core.db.locks import LockClass, lease

async def hold():
    async with lease(Database(sys.argv[1]), LockClass.CAPTURE_MONTH, 202408, "the holder", print):
        print("held", flush=True)
        await asyncio.sleep(60)

asyncio.run(hold())
"""


def hold(database: Database, number: int = 202408, said: list[str] | None = None) -> AbstractAsyncContextManager[None]:
    return lease(database, LockClass.CAPTURE_MONTH, number, f"run {number}", ([] if said is None else said).append)


async def test_workers_of_a_month_take_turns_and_those_of_others_do_not(database: Database) -> None:
    at_work: list[int] = []
    said: list[str] = []

    async def work(number: int) -> None:
        async with hold(database, number, said):
            assert number not in at_work
            at_work.append(number)
            await asyncio.sleep(0.1)
            at_work.remove(number)

    await asyncio.gather(*(work(number) for number in (202408, 202408, 202408, 202409)))
    assert said == ["run 202408"] * 2


async def test_waiting_is_said_once_and_can_be_cancelled(database: Database) -> None:
    said: list[str] = []

    async def wait() -> None:
        async with hold(database, said=said):
            raise AssertionError("held twice")

    async with hold(database):
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(1.3)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with hold(database, said=said):
        assert said == ["run 202408"]


async def test_a_killed_holder_loses_it(database: Database) -> None:
    command = (sys.executable, "-c", HOLDER, database.url)
    holder = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    holder.kill()
    await holder.wait()
    async with asyncio.timeout(20), hold(database):
        pass


async def test_three_runs_of_a_month_ask_for_each_hour_once(make_settings: MakeSettings) -> None:
    said: list[str] = []
    sink = logger.add(lambda message: said.append(message.record["message"]), level="INFO")
    with Simulator(world=WorldOptions.tiny(), now=NOW) as sim:
        settings = make_settings(base_url=sim.url, max_rate=5000, max_concurrency=8)

        def trigger(name: str) -> int:
            with open_adapters(settings, HastyClock(NOW), name) as run:
                return asyncio.run(capture_all(run, MONTH, wait_for_circuit=False, force=False)).asked

        asked = await asyncio.gather(*(asyncio.to_thread(trigger, name) for name in ("run 1", "run 2", "run 3")))
        assert len(sim.requests) == 720
    logger.remove(sink)
    assert sorted(asked) == [0, 0, 720]
    holder = f"run {1 + asked.index(720)}"
    assert [line for line in said if line.startswith("Waiting")].count(
        f"Waiting for {holder}, which is requesting the hours of 2026-06; nothing to do"
    ) == 2
