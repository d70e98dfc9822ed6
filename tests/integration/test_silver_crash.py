"""Loads that are killed, a PostgreSQL that is killed, and workers side by side: the tables end the same."""

import contextlib
import os
import queue
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy
from support.fixtures import other_database
from support.load_process import MONTHS, STEP, made_up_bronze
from support.silver_world import clear, export

from sec_core.config import Settings
from sec_core.db import embedded
from sec_core.db.database import Database
from sec_core.db.schema import migrate, seed_dimensions
from sec_core.errors import DatabaseUnavailable
from sec_core.silver.load import load_month

# Of the loading process, and as many of PostgreSQL; more by option.
KILLS = int(os.environ.get("SEC_CRASH_KILLS", "10"))
UNSYNCED = {"fsync": "off", "synchronous_commit": "off", "shared_buffers": "64MB"}
TESTS = Path(__file__).resolve().parent.parent

Export = dict[str, list[tuple[Any, ...]]]


def start(url: str, data_dir: Path, months: list[str]) -> subprocess.Popen[str]:
    """A worker that will load months; it takes a second until it is ready."""
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    return subprocess.Popen(
        [sys.executable, "-m", "support.load_process", url, str(data_dir), *months],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def go(process: subprocess.Popen[str]) -> None:
    """Wait until the worker is ready and let it load."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()


def load_all(database: Database, settings: Settings) -> Export:
    bronze = made_up_bronze()
    for month in MONTHS:
        load_month(database, bronze.read, month, settings, values=bronze)
    return export(database)


def look(database: Database) -> list[tuple[int, ...]]:
    """How a reader sees each month: hours, rows by `cargas`, rows there are, rows too many."""
    query = sqlalchemy.text(
        """
        select count(*), coalesce(sum(n_observaciones), 0),
            (select count(*) from fact_observaciones where hora >= :first and hora < :last),
            (select coalesce(sum(n_filas), 0) from fact_observaciones where hora >= :first and hora < :last)
                - coalesce(sum(n_filas), 0)
        from cargas where hora >= :first and hora < :last
        """
    )

    with database.engine.connect() as connection:
        rows = [connection.execute(query, {"first": month.start, "last": month.end}).one() for month in MONTHS]
    return [tuple(int(value) for value in row) for row in rows]


@contextlib.contextmanager
def watching(database: Database) -> Iterator[list[tuple[int, ...]]]:
    """Looks all the while."""
    seen: list[tuple[int, ...]] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            seen.extend(look(database))
            time.sleep(0.01)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def assert_whole(seen: list[tuple[int, ...]]) -> None:
    """Every look at a month saw all of it or nothing."""
    full = {len(month.hours()[::STEP]) for month in MONTHS}
    assert seen
    for hours, by_loads, observed, surplus in seen:
        assert hours in {0, *full}
        assert (by_loads, surplus) == (observed, 0)


def test_a_killed_load_leaves_a_month_whole_or_untouched(
    database: Database, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = make_settings()
    expected = load_all(database, settings)
    clear(database)
    rng = random.Random(11)
    names = [str(month) for month in MONTHS]
    with watching(database) as seen:
        workers = [start(database.url, tmp_path / "worker", rng.sample(names, 3)) for _ in range(min(2, KILLS))]
        for number in range(KILLS):
            if number % 2:
                clear(database)  # otherwise little would be left to do after a few rounds
            process = workers.pop(0)
            go(process)
            if number + 2 < KILLS:
                workers.append(start(database.url, tmp_path / "worker", rng.sample(names, 3)))
            time.sleep(rng.uniform(0.0, 0.5))
            process.kill()
            process.communicate()
    assert_whole(seen)
    assert load_all(database, settings) == expected


def test_a_killed_server_leaves_months_whole(tmp_path: Path, make_settings: Callable[..., Settings]) -> None:
    folder = tmp_path / "postgres"
    # What a killed process has written is the system's: syncing would only slow the test down.
    database = Database(other_database(embedded.ensure_running(folder, extra_settings=UNSYNCED), "crash"))
    try:
        migrate(database.engine)
        seed_dimensions(database.engine)
        settings = make_settings(database_url=database.url)
        expected = load_all(database, settings)
        rng = random.Random(13)
        with loading(database, settings) as interrupted:
            for number in range(KILLS):
                time.sleep(rng.uniform(0.05, 0.6))
                server = psutil.Process(_postmaster(folder))
                server.kill()
                server.wait(timeout=30)
                embedded.ensure_running(folder, extra_settings=UNSYNCED)
                assert_whole(look(database))
                interrupted.put(number)
        assert load_all(database, settings) == expected
    finally:
        database.close()
        embedded.stop(folder)


@contextlib.contextmanager
def loading(database: Database, settings: Settings) -> Iterator[queue.Queue[int]]:
    """Empties Silver and loads all months, over and over; waits for the queue whenever the server is gone."""
    back: queue.Queue[int] = queue.Queue()
    over = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        while not over.is_set():
            try:
                clear(database)
                load_all(database, settings)
            except DatabaseUnavailable:
                with contextlib.suppress(queue.Empty):
                    back.get(timeout=30)
            except BaseException as error:  # noqa: BLE001 - told to the test
                failures.append(error)
                return

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield back
    finally:
        over.set()
        back.put(-1)
        thread.join()
    assert not failures


def _postmaster(folder: Path) -> int:
    return int(next(folder.rglob("postmaster.pid")).read_text().splitlines()[0])


@pytest.mark.parametrize("second", [[0, 1, 2], [2, 1, 0]], ids=["same order", "other order"])
def test_workers_side_by_side_give_what_one_gives(
    second: list[int], database: Database, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = make_settings()
    expected = load_all(database, settings)
    clear(database)
    orders = [[str(month) for month in MONTHS], [str(MONTHS[index]) for index in second]]
    with watching(database) as seen:
        workers = [start(database.url, tmp_path / f"worker{n}", order) for n, order in enumerate(orders)]
        for worker in workers:
            go(worker)
        outputs = [worker.communicate()[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert outputs == ["done\n", "done\n"]
    assert_whole(seen)
    assert export(database) == expected
