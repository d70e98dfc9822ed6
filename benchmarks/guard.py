"""The guard against slow growth: counts and ratios of CPU that hardly vary, held against those on record.

`python -m benchmarks.guard` takes half a minute and fails where a figure is more than twice the one in
`benchmarks/baseline.json`; `--record` writes that file anew. Nothing here is a wall time: calls of Python functions,
rows that PostgreSQL read, bytes it wrote to its log, and CPU over the CPU of a floor in the same run mean the same on
a slow or busy machine.
"""

import asyncio
import cProfile
import pstats
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import orjson
import psycopg
import typer
from rich.console import Console
from rich.table import Table

from benchmarks import history, load
from benchmarks.measuring import Bench, apart, bench, opened
from benchmarks.simulated_source import simulated_source
from sec_core.bronze.capture import capture_hours
from sec_core.bronze.ledger import Ledger
from sec_core.bronze.ledger_table import LedgerTables
from sec_core.bronze.store import BronzeStore
from sec_core.clock import SystemClock
from sec_core.config import Settings
from sec_core.db.checks import check_zones
from sec_core.gold.build import build_gold
from sec_core.hours import Month
from sec_core.silver.load import load_month
from sec_core.silver.observations import decode
from sec_core.source.client import SourceClient
from sec_core.source.shapes import Shape
from sec_core.source.throttle import Throttle

BASELINE: Final = Path(__file__).with_name("baseline.json")
# How many times the figure on record is too much.
MOST: Final = 2.0

MONTHS: Final = history.MONTHS[:3]
CAPTURED: Final = Month(2025, 3)
HOURS: Final = 240
NOW: Final = datetime(2026, 9, 30, 13, 36, tzinfo=UTC)


def main(
    record: Annotated[bool, typer.Option("--record", help="Take today's figures as the baseline.")] = False,
) -> None:
    """Fail if a part of the pipeline costs twice what it did."""
    figures = measure()
    if record:
        BASELINE.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")
    known: dict[str, float] = orjson.loads(BASELINE.read_bytes())
    table = Table(title="Costs that must not double", title_justify="left")
    for column in ("figure", "now", "on record", "times"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for name, value in figures.items():
        times = value / known[name]
        table.add_row(name, f"{value:,.4g}", f"{known[name]:,.4g}", f"{'[red]' if times > MOST else ''}{times:.2f}")
    Console().print(table)
    grown = [name for name, value in figures.items() if value > MOST * known[name]]
    if grown:
        Console(stderr=True).print(
            f"More than {MOST:g} times what is on record: {', '.join(grown)}. "
            "Mend it, or where it has to be so, run `python -m benchmarks.guard --record` and say why in the commit."
        )
        raise typer.Exit(1)


def measure() -> dict[str, float]:
    """The figures, by name."""
    with bench() as here:
        with simulated_source([CAPTURED], now=NOW, latency_s=0.0) as source:
            limits = {"max_concurrency": 16, "max_rate": 10_000.0}
            capturing = here.settings("capture", "capture", base_url=source.url, **limits)
            figures = {"capture: Python calls a request": apart(here, capture_calls, capturing).result}
        bronze = here.settings("data", "history")
        apart(here, history.make, bronze, MONTHS)
        here.copy("history", "load")
        loading = here.settings("data", "load")
        wal = _wal(here)
        apart(here, load.load_each, loading, MONTHS[:-1])
        figures["load: Python calls a month"] = apart(here, load_calls, loading).result
        figures["load: WAL bytes a raw row"] = (_wal(here) - wal) / _raw_rows(loading)
        here.copy("history", "ratio")
        figures["load: CPU over that of reading and decoding"] = apart(
            here, load_ratio, here.settings("data", "ratio")
        ).result
        read = _rows_read(loading)
        apart(here, load.one_hour, loading, MONTHS[-1], 1)
        figures["one hour: rows that PostgreSQL read"] = float(_rows_read(loading) - read)
        figures["Gold: Python calls"] = apart(here, gold_calls, loading).result
    return figures


def capture_calls(settings: Settings) -> float:
    """Calls of Python functions a request, in the thread that asks."""

    async def ask() -> None:
        clock = SystemClock()
        ledger = Ledger(database, BronzeStore(settings.bronze))
        async with (
            Throttle.open(database, settings, clock) as throttle,
            SourceClient(settings, throttle, clock) as client,
        ):
            await capture_hours(CAPTURED.hours()[:HOURS], client=client, ledger=ledger, clock=clock)

    with opened(settings) as database:
        check_zones(database.engine, CAPTURED.start, CAPTURED.end)  # imports Polars, once in a process
        return _calls(lambda: asyncio.run(ask())) / HOURS


def load_calls(settings: Settings) -> float:
    """Calls of Python functions in loading the newest month."""
    with opened(settings) as database:
        ledger, store = history.bronze_of(settings, database)

        def work(month: Month) -> None:
            load_month(database, store.read_kept, month, settings, values=ledger)

        work(MONTHS[0])  # finds nothing to do, and has everything imported
        return _calls(lambda: work(MONTHS[-1]))


def load_ratio(settings: Settings) -> float:
    """CPU of loading the months after the first one, over that of reading and decoding their bodies."""
    load.load_each(settings, MONTHS[:1])
    begun = time.process_time()
    load.load_each(settings, MONTHS[1:])
    loaded = time.process_time()
    with opened(settings) as database:
        store = BronzeStore(settings.bronze)
        for month in MONTHS[1:]:
            values = LedgerTables(database).values(month.start, month.end)
            decode([store.read_kept(value) for value in values], Shape.DETAILED)
    return (loaded - begun) / (time.process_time() - loaded)


def gold_calls(settings: Settings) -> float:
    """Calls of Python functions in building Gold again."""
    with opened(settings) as database:
        build_gold(database, settings, SystemClock())
        return _calls(lambda: build_gold(database, settings, SystemClock()))


def _calls(work: Callable[[], object]) -> float:
    profile = cProfile.Profile()
    profile.runcall(work)
    calls: int = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]
    return float(calls)


def _wal(here: Bench) -> int:
    here.settle()
    return int(_value(here.settings("data", "history"), "select pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))


def _rows_read(settings: Settings) -> int:
    # Sessions that have ended have said what they did.
    sql = "select tup_returned + tup_fetched from pg_stat_database where datname = current_database()"
    return int(_value(settings, sql))


def _raw_rows(settings: Settings) -> int:
    return int(_value(settings, "select sum(n_filas) from cargas"))


def _value(settings: Settings, sql: str) -> float:
    assert settings.database_url is not None  # noqa: S101  (a bench always gives one)
    with psycopg.connect(settings.database_url.get_secret_value()) as connection:
        row = connection.execute(sql.encode()).fetchone()
    return float(row[0]) if row else 0.0


if __name__ == "__main__":
    typer.run(main)
