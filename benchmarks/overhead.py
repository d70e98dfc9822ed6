"""What Prefect adds to a month, in time and in its own tables, and how fast the command starts."""

import asyncio
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from benchmarks.measuring import Bench, apart
from benchmarks.results import Figure
from benchmarks.simulated_source import simulated_source
from sec_core.config import Settings
from sec_core.hours import Month
from sec_core.usecases.adapters import open_adapters
from sec_core.usecases.months import rerun

# The first one warms everything up and is not counted.
MONTHS: Final = (Month(2025, 3), Month(2025, 4), Month(2025, 5))

NOW: Final = datetime(2026, 9, 30, 13, 36, tzinfo=UTC)
STARTS: Final = 5


def measure(here: Bench) -> list[Figure]:
    """The same months by flows and without Prefect, and commands that find nothing to do."""
    unhurried = {"max_concurrency": 8, "max_rate": 10_000.0}
    with simulated_source(MONTHS, now=NOW, latency_s=0.0) as source:
        plain = here.settings("bare", "bare", base_url=source.url, **unhurried)
        bare = apart(here, without_prefect, plain, MONTHS).result
        flows, grown = apart(
            here, with_prefect, here.settings("flows", "flows", base_url=source.url, **unhurried), MONTHS
        ).result
    extra = tuple(flow - alone for flow, alone in zip(flows, bare, strict=True))[1:]
    growth = grown / len(extra) / 1e6
    variables = environment(plain)
    return [
        Figure("month_bare_s", "A month captured, loaded, built, drawn: without Prefect", median(bare[1:]), "s",
               runs=tuple(bare[1:])),
        Figure("month_flow_s", "The same by a flow", median(flows[1:]), "s", runs=tuple(flows[1:])),
        Figure("prefect_s", "Prefect's overhead a month", median(extra), "s", target="≤ 5", met=median(extra) <= 5,
               runs=extra),
        Figure("prefect_growth_mb", "Growth of Prefect's tables a month", growth, "MB", target="≤ 2", met=growth <= 2),
        _command("--help", variables, 0.5),
        _command(f"load --month {MONTHS[-1]}", variables, 1.5),
        _command("gold", variables, 1.5),
        _command("status", variables, 0.7),
    ]  # fmt: skip


def without_prefect(settings: Settings, months: Sequence[Month]) -> list[float]:
    """Do months by the use case alone; seconds of each."""
    seconds = []
    with open_adapters(settings) as adapters:
        for month in months:
            begun = time.perf_counter()
            asyncio.run(rerun(adapters, str(month)))
            seconds.append(time.perf_counter() - begun)
    return seconds


def with_prefect(settings: Settings, months: Sequence[Month]) -> tuple[list[float], int]:
    """Do months by the flow `rerun-month`; seconds of each, and bytes that Prefect's tables grew after the first."""
    from deployments.stack.api import prepare_environment  # noqa: PLC0415
    from deployments.stack.services import prefect_api  # noqa: PLC0415

    assert settings.database_url is not None  # noqa: S101  (a place always gives one)
    address = settings.database_url.get_secret_value()
    os.environ |= environment(settings)
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
            with psycopg.connect(address, dbname=f"{conninfo_to_dict(address)['dbname']}_prefect") as connection:
                row = connection.execute("select pg_database_size(current_database())").fetchone()
            sizes.append(int(row[0]) if row else 0)
    return seconds, sizes[-1] - sizes[0]


def environment(settings: Settings) -> dict[str, str]:
    """The settings as other processes read them."""
    assert settings.database_url is not None  # noqa: S101  (a place always gives one)
    return {
        "SEC_DATA_DIR": str(settings.data_dir),
        "SEC_DATABASE_URL": settings.database_url.get_secret_value(),
        "SEC_BASE_URL": str(settings.base_url),
        "SEC_MAX_CONCURRENCY": str(settings.max_concurrency),
        "SEC_MAX_RATE": str(settings.max_rate),
    }


def _command(words: str, variables: dict[str, str], most_s: float) -> Figure:
    """How long a command takes that finds nothing to do."""
    command = [str(Path(sys.executable).with_name("sec")), *words.split()]
    runs = []
    for _ in range(STARTS):
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=os.environ | variables)  # noqa: S603  (ourselves)
        runs.append(time.perf_counter() - begun)
    name = f"{words.split(maxsplit=1)[0].strip('-')}_s"
    middle = median(runs)
    return Figure(name, f"`sec {words}`", middle, "s", target=f"≤ {most_s}", met=middle <= most_s, runs=tuple(runs))
