"""Capture killed at random instants: what it leaves, taken up again, equals an undisturbed run's.

`SEC_TEST_KILLS` sets how often (default 20).
"""

import os
import random
import time
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path

from support.capture_process import start_capture
from support.fixtures import MakeSettings, on_disk
from support.truth import truth_of

from sec_core.bronze.ledger import Ledger
from sec_core.bronze.ledger_rules import HourState
from sec_core.bronze.store import BronzeStore, digest
from sec_core.db.database import Database
from sec_core.hours import Month
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.server import Simulator

NOW = datetime(2026, 9, 30, 13, 36, tzinfo=UTC)
MONTH = Month(2026, 8)
WORLD = WorldOptions.tiny(holes=(("2026-08-03T03", "2026-08-03T07"),), regions=("06",))
KILLS = int(os.environ.get("SEC_TEST_KILLS", "20"))


def start(sim: Simulator, database: Database, folder: Path) -> BaseProcess:
    return start_capture(
        url=sim.url, database_url=database.url, data_dir=str(folder), now=NOW.isoformat(), months=[str(MONTH)],
        settings={"max_rate": 5000, "max_concurrency": 8},
    )  # fmt: skip


def test_killed_at_random_instants(database: Database, make_settings: MakeSettings) -> None:
    settings = make_settings()
    seed = random.Random(20260803)
    with Simulator(world=WORLD, now=NOW) as sim:
        total = len(MONTH.hours())
        # Each run is killed some requests after its start: in the middle of asking, keeping or writing down.
        for _ in range(KILLS):
            process = start(sim, database, on_disk(settings.data))
            goal = len(sim.requests) + seed.randint(1, max(2, 2 * total // KILLS))
            while len(sim.requests) < goal and process.is_alive():
                time.sleep(0.001)
            time.sleep(seed.random() * 0.02)
            process.kill()
            process.join()
        last = start(sim, database, on_disk(settings.data))
        last.join(300)
        assert last.exitcode == 0
        asked_again = len(sim.requests) - total
        truth = {hour: truth_of(sim).row_count(hour) for hour in MONTH.hours()}
        customers = {hour: truth_of(sim).national(hour) for hour in MONTH.hours()}

    store = BronzeStore(on_disk(settings.bronze))
    ledger = Ledger(database, store)
    rows = ledger.rows(MONTH.hours())
    states: dict[datetime, HourState] = ledger.states(MONTH)
    assert {hour: state.value for hour, state in states.items()} == {
        hour: "captured" if count else "empty" for hour, count in truth.items()
    }
    # Nothing doubled: one body an hour, the ledger's own, whole and with the right content.
    bodies = list(store.bodies(MONTH))
    assert [body.hour for body in bodies] == MONTH.hours()
    hashes = {each.key: each.sha256 for each in ledger.kept(MONTH)}
    for body in bodies:
        assert digest(store.read(body.key)) == hashes[body.key]
    for hour, row in rows.items():
        assert row.revisions == 1
        assert (row.value.customers if row.value else 0) == customers[hour]
    # Only what was in flight or about to be (16), not yet written down (16), or empty (5) was asked for again.
    assert asked_again <= (KILLS + 1) * (16 + 16 + 5)
    ledger.rebuild()
    assert ledger.rows(MONTH.hours()) == rows
