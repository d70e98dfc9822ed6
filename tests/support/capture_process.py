"""Processes that capture, for tests that kill them or have several."""

import asyncio
import os
from datetime import datetime
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sec_core.bronze.capture import capture_hours
from sec_core.bronze.ledger import Ledger
from sec_core.bronze.ledger_rules import hours_to_ask
from sec_core.bronze.store import BronzeStore
from sec_core.clock import SystemClock
from sec_core.config import load_settings
from sec_core.db.database import Database
from sec_core.errors import CircuitOpen
from sec_core.hours import Month
from sec_core.source.client import SourceClient
from sec_core.source.throttle import Throttle
from support.fixtures import on_disk

_TESTS = Path(__file__).resolve().parents[1]
# A fork of a process that has imported everything starts at once, and shares nothing with the test.
_CLEAN = get_context("forkserver")
_CLEAN.set_forkserver_preload([__name__])


def start_capture(**options: object) -> BaseProcess:
    """Start a process that captures.

    Args:
        options: `url`, `database_url`, `data_dir`, `months`, `settings` (further fields), `now` (ISO instant), `hours`
            (how many of each month), and `wait` (whether to wait out an open circuit).
    """
    process = _CLEAN.Process(target=_capture, args=(options,))
    with patch.dict(os.environ, PYTHONPATH=f"{_TESTS}{os.pathsep}{_TESTS.parent}"):
        process.start()
    return process


def _capture(options: dict[str, Any]) -> None:
    asyncio.run(_run(options))


async def _run(options: dict[str, Any]) -> None:
    settings = load_settings(
        _env_file=None,
        base_url=options["url"],
        database_url=options["database_url"],
        data_dir=options["data_dir"],
        **options.get("settings", {}),
    )
    database = Database(options["database_url"])
    clock = SystemClock()
    ledger = Ledger(database, BronzeStore(on_disk(settings.bronze)))
    async with Throttle.open(database, settings, clock) as throttle, SourceClient(settings, throttle, clock) as client:
        for text in options["months"]:
            hours = Month.parse(text).hours()[: options.get("hours")]
            while True:
                todo = hours_to_ask(hours, ledger.rows(hours), datetime.fromisoformat(options["now"]))
                try:
                    await capture_hours(todo, client=client, ledger=ledger, clock=clock)
                except CircuitOpen as error:
                    if not options.get("wait"):
                        raise
                    await asyncio.sleep(max((error.reopens_at - clock.now()).total_seconds(), 0.05))
                else:
                    break
    database.close()
