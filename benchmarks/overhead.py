"""What Prefect adds to a month, in time and in its own tables, and how fast the command starts."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import psycopg

from benchmarks.measuring import apart, opened
from benchmarks.results import Figure
from benchmarks.simulated_source import simulated_source
from sec_core.bronze.capture import capture_hours
from sec_core.bronze.ledger import Ledger
from sec_core.bronze.store import BronzeStore
from sec_core.clock import SystemClock
from sec_core.gold.build import build_gold
from sec_core.hours import Month
from sec_core.silver.load import load_month
from sec_core.source.client import SourceClient
from sec_core.source.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measuring import Bench
    from sec_core.config import Settings

MONTHS: Final = (Month(2025, 3), Month(2025, 4), Month(2025, 5))
"""The first one warms everything up and is not counted."""

NOW: Final = datetime(2026, 9, 30, 13, 36, tzinfo=UTC)
STARTS: Final = 5


def measure(here: Bench) -> list[Figure]:
    """The same months by flows and without Prefect, and starts of the command."""
    unhurried = {"max_concurrency": 8, "max_rate": 10_000.0}
    with simulated_source(MONTHS, now=NOW, latency_s=0.0) as source:
        bare = apart(
            here, without_prefect, here.settings("bare", "bare", base_url=source.url, **unhurried), MONTHS
        ).result
        flows, grown = apart(
            here, with_prefect, here.settings("flows", "flows", base_url=source.url, **unhurried), MONTHS
        ).result
    extra = tuple(flow - alone for flow, alone in zip(flows, bare, strict=True))[1:]
    growth = grown / len(extra) / 1e6
    starts = tuple(_start_s() for _ in range(STARTS))
    return [
        Figure("month_bare_s", "A month captured, loaded, built, drawn: without Prefect", median(bare[1:]), "s",
               runs=tuple(bare[1:])),
        Figure("month_flow_s", "The same by a flow", median(flows[1:]), "s", runs=tuple(flows[1:])),
        Figure("prefect_s", "Prefect's overhead a month", median(extra), "s", target="≤ 5", met=median(extra) <= 5,
               runs=extra),
        Figure("prefect_growth_mb", "Growth of Prefect's tables a month", growth, "MB", target="≤ 2", met=growth <= 2),
        Figure("help_s", "`sec --help`", median(starts), "s", target="≤ 0.5", met=median(starts) <= 0.5, runs=starts),
    ]  # fmt: skip


def without_prefect(settings: Settings, months: Sequence[Month]) -> list[float]:
    """Do months by calls of the core alone; seconds of each."""
    return [asyncio.run(_month(settings, month)) for month in months]


async def _month(settings: Settings, month: Month) -> float:
    clock = SystemClock()
    begun = time.perf_counter()
    with opened(settings) as database:
        store = BronzeStore(settings.bronze)
        ledger = Ledger(database, store)
        async with (
            Throttle.open(database, settings, clock) as throttle,
            SourceClient(settings, throttle, clock) as client,
        ):
            await capture_hours(month.hours(), client=client, ledger=ledger, clock=clock)
        load_month(database, store.read_kept, month, settings, values=ledger)
        build_gold(database, settings, clock)
    return time.perf_counter() - begun


def with_prefect(settings: Settings, months: Sequence[Month]) -> tuple[list[float], int]:
    """Do months by the flow `rerun-month`; seconds of each, and bytes that Prefect's tables grew after the first."""
    from deployments.stack.api import prepare_environment  # noqa: PLC0415
    from deployments.stack.server import prefect_api  # noqa: PLC0415

    assert settings.database_url is not None  # noqa: S101  (a place always gives one)
    address = settings.database_url.get_secret_value()
    os.environ |= {
        "SEC_DATA_DIR": str(settings.data_dir),
        "SEC_DATABASE_URL": address,
        "SEC_BASE_URL": str(settings.base_url),
        "SEC_MAX_CONCURRENCY": str(settings.max_concurrency),
        "SEC_MAX_RATE": str(settings.max_rate),
    }
    prepare_environment(settings)
    seconds = []
    sizes = []
    with prefect_api(settings):
        from flows.months import rerun_month  # noqa: PLC0415  (imports Prefect)

        logging.disable(logging.WARNING)
        for month in months:
            begun = time.perf_counter()
            asyncio.run(rerun_month(months=str(month)))
            seconds.append(time.perf_counter() - begun)
            time.sleep(3)  # events and logs follow in batches
            with psycopg.connect(f"{address}_prefect") as connection:
                row = connection.execute("select pg_database_size(current_database())").fetchone()
            sizes.append(int(row[0]) if row else 0)
    return seconds, sizes[-1] - sizes[0]


def _start_s() -> float:
    begun = time.perf_counter()
    command = Path(sys.executable).with_name("sec")
    subprocess.run([command, "--help"], check=True, stdout=subprocess.DEVNULL)  # noqa: S603  (ourselves)
    return time.perf_counter() - begun
