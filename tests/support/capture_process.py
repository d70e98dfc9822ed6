"""A process that captures, for tests with several of them: `python -m support.capture_process '<options as JSON>'`.

Options: `url`, `database_url`, `data_dir`, `months`, `settings` (further fields), `now` (ISO instant), and
`wait` (whether to wait out an open circuit). Prints one line of JSON at its end.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime
from typing import Any

from sec_core.bronze.capture import CaptureReport, capture_hours
from sec_core.bronze.ledger import Ledger
from sec_core.bronze.plan import hours_to_ask
from sec_core.bronze.store import BronzeStore
from sec_core.clock import SystemClock
from sec_core.config import load_settings
from sec_core.db.database import Database
from sec_core.errors import CircuitOpen
from sec_core.hours import Month
from sec_core.source.client import SourceClient
from sec_core.source.throttle import Throttle


async def run(options: dict[str, Any]) -> CaptureReport:
    """Capture what the options ask for."""
    settings = load_settings(
        _env_file=None,
        base_url=options["url"],
        database_url=options["database_url"],
        data_dir=options["data_dir"],
        **options.get("settings", {}),
    )
    database = Database(options["database_url"])
    clock = SystemClock()
    ledger = Ledger(database, BronzeStore(settings.bronze_dir))
    total = CaptureReport()
    async with Throttle.open(database, settings, clock) as throttle, SourceClient(settings, throttle, clock) as client:
        for text in options["months"]:
            hours = Month.parse(text).hours()[: options.get("hours")]
            while True:
                todo = hours_to_ask(hours, ledger.rows(hours), datetime.fromisoformat(options["now"]))
                try:
                    total += await capture_hours(todo, client=client, ledger=ledger, clock=clock)
                except CircuitOpen as error:
                    if not options.get("wait"):
                        raise
                    await asyncio.sleep(max((error.reopens_at - clock.now()).total_seconds(), 0.05))
                else:
                    break
    database.dispose()
    return total


if __name__ == "__main__":
    print(json.dumps({"asked": asyncio.run(run(json.loads(sys.argv[1]))).asked}))  # noqa: T201
