"""A backfill of a year whose months two workers share gives what one alone gives."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pytest
from support.schedules import pause_schedules
from support.truth import truth_of

from deployments.cli.main import main
from flows.months import backfill
from sec_core.bronze.ledger import Ledger
from sec_core.bronze.store import BronzeStore
from sec_core.db import embedded
from sec_core.db.address import Address
from sec_core.db.database import Database
from sec_core.db.seed import seed_dimensions
from sec_core.hours import Month, month_range
from sec_core.silver.load import load_month
from sec_core.silver.universe import rebuild_universe
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sec_core.config import Settings


FIRST, LAST = "2024-03", "2025-02"
TABLES = ("fact_observaciones", "fact_interrupciones", "calidad_imputacion", "nombres_no_resueltos")


@pytest.fixture
def source(pipeline: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A small simulated SEC that the settings point at."""
    with Simulator(world=WorldOptions.tiny(seed=11, rows_per_hour=2, stale_rows=2)) as simulator:
        monkeypatch.setenv("SEC_BASE_URL", simulator.url)
        assert pipeline.retries == 0
        yield simulator


@pytest.fixture
def workers(pipeline: Settings, source: Simulator) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two workers, each a process of its own; ended afterwards."""
    assert main(["deploy"]) == 0
    pause_schedules(os.environ["PREFECT_API_URL"])
    assert source.url
    pipeline.root.mkdir(parents=True, exist_ok=True)
    log = pipeline.root / "workers.log"
    with log.open("ab") as output:
        started = [
            subprocess.Popen(
                [sys.executable, "-c", "from deployments.cli.main import run; run()", "worker"],
                env=os.environ | {"PREFECT_WORKER_QUERY_SECONDS": "2"},
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


@pytest.fixture
def other_database(server_url: str) -> Iterator[Database]:
    """An empty database beside that of the test; it goes with the server."""
    other = Database(embedded.ensure_database(Address.parse(server_url), f"other_{secrets.token_hex(6)}"))
    other.migrate()
    seed_dimensions(other.engine)
    yield other
    other.dispose()


def digests(database: Database) -> dict[str, str]:
    """Every row that Silver derives, as an ordered digest."""
    with database.engine.connect() as connection:
        return {
            name: str(
                connection.exec_driver_sql(
                    f"select count(*) || ' ' || md5(string_agg(t::text, '|' order by t::text)) from {name} t"
                ).scalar()
            )
            for name in TABLES
        }


@pytest.mark.timeout(600)
def test_two_workers_share_a_year_and_get_what_one_gets_and_what_the_source_has(
    workers: list[subprocess.Popen[bytes]],
    source: Simulator,
    prefect_url: str,
    database: Database,
    other_database: Database,
    pipeline: Settings,
) -> None:
    began = datetime.now(UTC)
    reports = asyncio.run(backfill(first=FIRST, last=LAST, share=True))
    truth = truth_of(source)
    months = month_range(Month.parse(FIRST), Month.parse(LAST))
    hours = truth.hours_with_data(hour for month in months for hour in month.hours())
    assert all(worker.poll() is None for worker in workers)
    assert [report.month for report in reports] == [str(month) for month in reversed(months)]
    assert sum(report.rows for report in reports) == sum(truth.row_count(hour) for hour in hours)
    shared = digests(database)
    assert int(shared["fact_interrupciones"].split()[0]) == len(truth.events(hours))
    asked = source.hours_asked()
    assert len(asked) == len(set(asked)), "no hour was asked for twice"
    query = {"flow_runs": {"name": {"like_": "rerun-month "}, "start_time": {"after_": began.isoformat()}}}
    runs = httpx.post(f"{prefect_url}/flow_runs/filter", json=query).raise_for_status().json()
    assert [run["state_type"] for run in runs] == ["COMPLETED"] * 12
    # One alone, in the order of time, from the same answers.
    store = BronzeStore(pipeline.bronze)
    ledger = Ledger(other_database, store)
    ledger.rebuild()
    rebuild_universe(other_database, store)
    for month in months:
        load_month(other_database, store.read_kept, month, pipeline, values=ledger)
    assert digests(other_database) == shared
