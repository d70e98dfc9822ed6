"""One worker at a time for a month: who waits finds nothing left to do, and a killed holder loses it."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from sec_core.db.locks import LockClass, lease

if TYPE_CHECKING:
    from sec_core.db.database import Database

HOLDER = """
import asyncio, sys
from sec_core.db.database import Database
from sec_core.db.locks import LockClass, lease

async def hold():
    async with lease(Database(sys.argv[1]), LockClass.CAPTURE_MONTH, 202408):
        print("held", flush=True)
        await asyncio.sleep(60)

asyncio.run(hold())
"""


async def test_workers_of_a_month_take_turns_and_those_of_others_do_not(database: Database) -> None:
    at_work: list[int] = []
    done: list[bool] = []

    async def work(number: int) -> bool:
        async with lease(database, LockClass.CAPTURE_MONTH, number) as waited:
            assert number not in at_work
            at_work.append(number)
            await asyncio.sleep(0.1)
            at_work.remove(number)
            done.append(waited)
            return waited

    waited = await asyncio.gather(*(work(number) for number in (202408, 202408, 202408, 202409)))
    assert sorted(waited[:3]) == [False, True, True]
    assert waited[3] is False


async def test_waiting_is_said_once_and_can_be_cancelled(database: Database) -> None:
    said: list[str] = []

    async def wait() -> None:
        async with lease(database, LockClass.CAPTURE_MONTH, 202408, on_wait=lambda: said.append("waiting")):
            raise AssertionError("held twice")

    async with lease(database, LockClass.CAPTURE_MONTH, 202408):
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(1.3)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert said == ["waiting"]
    async with lease(database, LockClass.CAPTURE_MONTH, 202408) as waited:
        assert waited is False


async def test_a_killed_holder_loses_it(database: Database) -> None:
    command = (sys.executable, "-c", HOLDER, database.url)
    holder = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    holder.kill()
    await holder.wait()
    async with asyncio.timeout(20), lease(database, LockClass.CAPTURE_MONTH, 202408):
        pass
