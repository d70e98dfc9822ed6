"""A backfill whose months two workers share."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pytest

from deployments.cli.main import main
from flows.many_months import backfill
from sec_core.hours import Month, month_range
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sec_core.config import Settings
    from sec_core.db.database import Database


FIRST, LAST = "2024-11", "2025-01"


@pytest.fixture
def source(pipeline: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A small simulated SEC that the settings point at."""
    with Simulator(world=WorldOptions.tiny(seed=11, rows_per_hour=8)) as simulator:
        monkeypatch.setenv("SEC_BASE_URL", simulator.url)
        assert pipeline.retries == 0
        yield simulator


@pytest.fixture
def workers(pipeline: Settings, source: Simulator) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two workers, each a process of its own; ended afterwards."""
    assert main(["deploy"]) == 0
    assert source.url
    pipeline.root.mkdir(parents=True, exist_ok=True)
    log = pipeline.root / "workers.log"
    with log.open("ab") as output:
        started = [
            subprocess.Popen(
                [sys.executable, "-c", "from deployments.cli.main import run; run()", "worker"],
                env=dict(os.environ),
                stdout=output,
                stderr=output,
            )
            for _ in range(2)
        ]
        try:
            yield started
        finally:
            for worker in started:
                worker.terminate()
            for worker in started:
                worker.wait(60)


def test_two_workers_share_the_months_and_get_what_the_source_has(
    workers: list[subprocess.Popen[bytes]], source: Simulator, prefect_url: str, database: Database
) -> None:
    began = datetime.now(UTC)
    reports = asyncio.run(backfill(first=FIRST, last=LAST, share=True))
    truth = source.truth
    months = month_range(Month.parse(FIRST), Month.parse(LAST))
    hours = truth.hours_with_data(hour for month in months for hour in month.hours())
    events = truth.events(hours)
    rows = sum(truth.row_count(hour) for hour in hours)
    assert all(worker.poll() is None for worker in workers)
    assert [report.month for report in reports] == ["2025-01", "2024-12", "2024-11"]
    assert sum(report.rows for report in reports) == rows
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("select count(*) from fact_interrupciones").scalar() == len(events)
    names = [f"rerun-month {report.month}" for report in reports]
    query = {"flow_runs": {"name": {"any_": names}, "start_time": {"after_": began.isoformat()}}}
    runs = httpx.post(f"{prefect_url}/flow_runs/filter", json=query).raise_for_status().json()
    assert [run["state_type"] for run in runs] == ["COMPLETED"] * 3
