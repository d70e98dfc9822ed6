"""Loads that are killed, a PostgreSQL that is killed, and workers side by side: the tables end the same."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy
from support.load_process import MONTHS, made_up_bronze
from support.silver_world import clear, export

from sec_core.db import embedded
from sec_core.db.database import Database
from sec_core.db.seed import seed_dimensions
from sec_core.errors import DatabaseError
from sec_core.silver.load import load_month

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sec_core.config import Settings

KILLS = int(os.environ.get("SEC_CRASH_KILLS", "5"))
"""Of the loading process, and as many of PostgreSQL; more by option."""
TESTS = Path(__file__).resolve().parent.parent

Export = dict[str, list[tuple[Any, ...]]]


def start(url: str, data_dir: Path, months: list[str]) -> subprocess.Popen[str]:
    """A worker that has its bodies ready and begins to load."""
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    process = subprocess.Popen(
        [sys.executable, "-m", "support.load_process", url, str(data_dir), *months],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def load_all(database: Database, settings: Settings) -> Export:
    bronze = made_up_bronze()
    for month in MONTHS:
        load_month(database, bronze.read, month, settings, values=bronze)
    return export(database)


@contextlib.contextmanager
def watching(database: Database) -> Iterator[list[tuple[int, ...]]]:
    """Notes all the while how a reader sees each month: hours, rows by `cargas`, rows there are, rows too many."""
    seen: list[tuple[int, ...]] = []
    over = threading.Event()
    query = sqlalchemy.text(
        """
        select count(*), coalesce(sum(n_observaciones), 0),
            (select count(*) from fact_observaciones where hora >= :first and hora < :last),
            (select coalesce(sum(n_filas), 0) from fact_observaciones where hora >= :first and hora < :last)
                - coalesce(sum(n_filas), 0)
        from cargas where hora >= :first and hora < :last
        """
    )

    def watch() -> None:
        while not over.is_set():
            with contextlib.suppress(DatabaseError, sqlalchemy.exc.DBAPIError), database.engine.connect() as connection:
                for month in MONTHS:
                    row = connection.execute(query, {"first": month.start, "last": month.end}).one()
                    seen.append(tuple(int(value) for value in row))
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
    full = {len(month.hours()[::4]) for month in MONTHS}
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
        for number in range(KILLS):
            if number % 3 == 2:
                clear(database)  # otherwise little would be left to do after a few rounds
            process = start(database.url, tmp_path / "worker", rng.sample(names, 3))
            time.sleep(rng.uniform(0.0, 1.5))
            process.kill()
            process.communicate()
    assert_whole(seen)
    assert load_all(database, settings) == expected


def test_a_killed_server_leaves_months_whole(tmp_path: Path, make_settings: Callable[..., Settings]) -> None:
    folder = tmp_path / "postgres"
    url = embedded.ensure_running(folder)
    database = Database(embedded.ensure_database(url, "crash"))
    try:
        database.migrate()
        seed_dimensions(database)
        settings = make_settings(database_url=database.url)
        expected = load_all(database, settings)
        clear(database)
        rng = random.Random(13)
        for _ in range(max(1, KILLS // 2)):
            process = start(database.url, tmp_path / "worker", [str(month) for month in MONTHS])
            time.sleep(rng.uniform(0.1, 1.2))
            os.kill(_postmaster(folder), signal.SIGKILL)
            process.communicate()
            database.dispose()
            embedded.ensure_running(folder)
        assert load_all(database, settings) == expected
    finally:
        database.dispose()
        embedded.stop(folder)


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
        outputs = [worker.communicate()[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert outputs == ["done\n", "done\n"]
    assert_whole(seen)
    assert export(database) == expected
