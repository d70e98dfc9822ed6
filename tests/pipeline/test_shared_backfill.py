"""A backfill whose months workers on several machines share: one database, one object store, a Prefect server."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from support.capturing import keep_answers
from support.commands import SEC
from support.silver_world import export
from support.stack import ask, pause_schedules
from support.truth import truth_of

from deployments.cli.main import main
from flows.months import backfill
from sec_core.blobs.place import StoreUrl, open_blobs
from sec_core.bronze.ledger import Ledger
from sec_core.bronze.store import BronzeStore
from sec_core.config import load_settings
from sec_core.db.database import Database
from sec_core.hours import Month, month_range
from sec_core.silver.load import load_month
from sec_core.silver.universe import rebuild_universe
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.server import Simulator

FIRST, LAST = "2024-08", "2024-10"
MONTHS = month_range(Month.parse(FIRST), Month.parse(LAST))
MACHINES = 3
IN_FLIGHT = 12
ASKED_FROM = 24  # days before are held
WORLD = WorldOptions.tiny(seed=11, rows_per_hour=8)


@pytest.fixture
def machines(
    source: Simulator, bucket: StoreUrl, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[Path]]:
    """The folders of three machines, each with a worker of its own; ended afterwards."""
    assert source.url
    monkeypatch.setenv("SEC_MAX_CONCURRENCY", str(IN_FLIGHT))
    monkeypatch.setenv("PREFECT_WORKER_QUERY_SECONDS", "2")
    monkeypatch.setenv("SEC_DATA_DIR", str(bucket / "sec"))
    monkeypatch.setenv("SEC_STATE_DIR", str(tmp_path / "office"))
    old = (hour for month in MONTHS for hour in month.hours() if hour.day < ASKED_FROM)
    keep_answers(source, database, load_settings(_env_file=None), old)
    assert main(["deploy"]) == 0
    pause_schedules(os.environ["PREFECT_API_URL"])
    folders = [tmp_path / f"machine-{number}" for number in range(MACHINES)]
    started = []
    try:
        for folder in folders:
            folder.mkdir()
            with (folder / "worker.log").open("ab") as output:
                # One month at a time: a worker leaves the others to the other machines.
                environment = os.environ | {"SEC_STATE_DIR": str(folder / "state"), "SEC_WORKER_LIMIT": "1"}
                command = [*SEC, "worker"]
                started.append(
                    subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
                )
        yield folders
        assert all(worker.poll() is None for worker in started)
    finally:
        for worker in started:
            worker.terminate()
        for worker in started:
            worker.wait(60)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("site_drawn")
def test_three_machines_share_the_months_and_get_what_one_worker_gets(
    machines: list[Path], source: Simulator, prefect_url: str, database: Database, shared_database: Database
) -> None:
    began = datetime.now(UTC)
    reports = asyncio.run(backfill(first=FIRST, last=LAST, share=True))
    truth = truth_of(source)
    hours = truth.hours_with_data(hour for month in MONTHS for hour in month.hours())
    rows = sum(truth.row_count(hour) for hour in hours)
    assert [report.month for report in reports] == ["2024-10", "2024-09", "2024-08"]
    assert sum(report.rows for report in reports) == rows
    query = {"flow_runs": {"name": {"like_": "rerun-month "}, "start_time": {"after_": began.isoformat()}}}
    runs = ask(prefect_url, "flow_runs/filter", **query)
    assert [run["state_type"] for run in runs] == ["COMPLETED"] * 3

    # Several machines had a part in it, kept nothing of the data to themselves, and asked as politely as one.
    logs = [b"".join(path.read_bytes() for path in folder.glob("state/logs/sec-*.jsonl")) for folder in machines]
    assert sum(b"Requesting " in log for log in logs) >= 2
    kept = [path for folder in machines for path in folder.rglob("*") if path.suffix in {".zst", ".parquet", ".sql"}]
    assert kept == []
    assert max(request.in_flight for request in source.requests) <= IN_FLIGHT
    asked = source.hours_asked()
    assert len(asked) == len(set(asked)), "no hour was asked for twice"

    shared = export(database)
    assert len(shared["fact_interrupciones"]) == len(truth.events(hours))
    settings = load_settings(_env_file=None)
    gold = open_blobs(settings.gold)
    assert orjson.loads(gold.read("dashboard_stats/meta.json"))[0]["totales"]["filas"] == rows
    assert gold.read("site/index.html").startswith(b"<!")

    # One alone, in the order of time, from the same answers.
    store = BronzeStore(settings.bronze)
    ledger = Ledger(shared_database, store)
    ledger.rebuild()
    rebuild_universe(shared_database, store)
    for month in MONTHS:
        load_month(shared_database, store.read_kept, month, settings, values=ledger)
    assert export(shared_database) == shared
