"""A process that captures, for tests with several of them: `python -m support.capture_process '<options as JSON>'`.

Options: `url`, `database_url`, `data_dir`, `months`, `settings` (further fields), `now` (ISO instant), and
`wait` (whether to wait out an open circuit).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from sec_core.bronze.capture import capture_hours
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

TESTS = Path(__file__).resolve().parent.parent


def start(url: str, database: Database, folder: Path, now: datetime, **options: object) -> subprocess.Popen[bytes]:
    """Start such a process."""
    known = {"url": url, "database_url": database.url, "data_dir": str(folder), "now": now.isoformat(), **options}
    return subprocess.Popen(
        [sys.executable, "-m", "support.capture_process", json.dumps(known)],
        cwd=TESTS,
        env=os.environ | {"PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


async def run(options: dict[str, Any]) -> None:
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
    database.dispose()


if __name__ == "__main__":
    asyncio.run(run(json.loads(sys.argv[1])))
