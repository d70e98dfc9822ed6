"""A backfill whose months workers on several machines share: one database, one object store, a Prefect server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest
from support.capturing import HastyClock, capturing
from support.schedules import pause_schedules
from support.silver_world import EXPORT
from support.truth import truth_of

from deployments.cli.main import main
from flows.months import backfill
from sec_core.blobs.open import open_blobs
from sec_core.config import load_settings
from sec_core.hours import Month, month_range
from sec_core.silver.load import load_month
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sec_core.blobs.place import StoreUrl
    from sec_core.config import Settings
    from sec_core.db.database import Database


FIRST, LAST = "2024-11", "2025-01"
MONTHS = month_range(Month.parse(FIRST), Month.parse(LAST))
MACHINES = 3
IN_FLIGHT = 12


@pytest.fixture
def source(pipeline: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A small simulated SEC that the settings point at."""
    with Simulator(world=WorldOptions.tiny(seed=11, rows_per_hour=8)) as simulator:
        monkeypatch.setenv("SEC_BASE_URL", simulator.url)
        monkeypatch.setenv("SEC_MAX_CONCURRENCY", str(IN_FLIGHT))
        assert pipeline.retries == 0
        yield simulator


@pytest.fixture
def machines(
    source: Simulator, bucket: StoreUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[Path]]:
    """The folders of three machines, each with a worker of its own; ended afterwards."""
    assert source.url
    monkeypatch.setenv("PREFECT_WORKER_QUERY_SECONDS", "2")
    monkeypatch.setenv("SEC_DATA_DIR", str(bucket / "sec"))
    monkeypatch.setenv("SEC_STATE_DIR", str(tmp_path / "office"))
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
                command = [sys.executable, "-c", "from deployments.cli.main import run; run()", "worker"]
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


def silver(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Every row of Silver in a fixed order, without the instants of capture."""
    found: dict[str, list[dict[str, Any]]] = {}
    with database.engine.connect() as connection:
        for table, order in EXPORT.items():
            rows = connection.exec_driver_sql(f"select * from {table} order by {order}").mappings()
            found[table] = [{name: row[name] for name in row if name != "capturado_en"} for row in rows]
    return found


async def work_alone(database: Database, settings: Settings) -> None:
    """What one worker does with all months, into an empty database (but for the regions' customers) and a folder."""
    with database.engine.begin() as connection:
        connection.exec_driver_sql(f"truncate {', '.join(EXPORT)}, reglas, capturas, revisiones")
    async with capturing(settings, HastyClock()) as capture:
        for month in MONTHS:
            await capture.run(month.hours())
            load_month(database, capture.store.read_kept, month, settings, values=capture.ledger)


@pytest.mark.timeout(300)
def test_three_machines_share_the_months_and_get_what_one_worker_gets(
    machines: list[Path], source: Simulator, prefect_url: str, database: Database, tmp_path: Path
) -> None:
    began = datetime.now(UTC)
    reports = asyncio.run(backfill(first=FIRST, last=LAST, share=True))
    truth = truth_of(source)
    hours = truth.hours_with_data(hour for month in MONTHS for hour in month.hours())
    rows = sum(truth.row_count(hour) for hour in hours)
    assert [report.month for report in reports] == ["2025-01", "2024-12", "2024-11"]
    assert sum(report.rows for report in reports) == rows
    query = {"flow_runs": {"name": {"like_": "rerun-month "}, "start_time": {"after_": began.isoformat()}}}
    runs = httpx.post(f"{prefect_url}/flow_runs/filter", json=query).raise_for_status().json()
    assert [run["state_type"] for run in runs] == ["COMPLETED"] * 3

    # Several machines had a part in it, kept nothing of the data to themselves, and asked as politely as one.
    logs = [b"".join(path.read_bytes() for path in folder.glob("state/logs/sec-*.jsonl")) for folder in machines]
    assert sum(b"Requesting " in log for log in logs) >= 2
    kept = [path for folder in machines for path in folder.rglob("*") if path.suffix in {".zst", ".parquet", ".sql"}]
    assert kept == []
    assert max(request.in_flight for request in source.requests) <= IN_FLIGHT

    shared = silver(database)
    assert len(shared["fact_interrupciones"]) == len(truth.events(hours))
    gold = open_blobs(load_settings(_env_file=None).gold)
    assert orjson.loads(gold.read("dashboard_stats/meta.json"))[0]["totales"]["filas"] == rows
    assert gold.read("site/index.html").startswith(b"<!")
    alone = load_settings(_env_file=None, data_dir=tmp_path / "alone", max_concurrency=16)
    asyncio.run(work_alone(database, alone))
    assert silver(database) == shared
