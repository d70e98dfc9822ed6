"""What a month costs in bytes and in requests to an object store, by shape and by where data is kept.

The figures of `docs/scaling.md`. The month is as large as real ones: 744 hours, 480 detailed rows in an ordinary one.
"""

import asyncio
import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
import psycopg

from benchmarks.measuring import Bench, size_of
from benchmarks.results import Figure
from benchmarks.simulated_source import simulated_source
from sec_core.clock import SystemClock
from sec_core.config import Settings, load_settings
from sec_core.hours import Month
from sec_core.source.shapes import Shape
from sec_core.usecases.adapters import Adapters, open_adapters
from sec_core.usecases.gold import build_gold
from sec_core.usecases.months import capture_month, load_month
from sec_core.usecases.upkeep import apply_retention, ask_newest, load_newest, seal_ready

MONTH: Final = Month(2026, 3)
NOW: Final = datetime(2026, 9, 30, 13, 36, tzinfo=UTC)
METHODS: Final = ("PUT", "GET", "HEAD", "LIST", "DELETE")
TABLES: Final = """
    select what, sum(pg_total_relation_size(c.oid))::float8 / 1e6
    from pg_class c join unnest(%s::text[], %s::text[]) as t (pattern, what) on c.relname like pattern
    where relkind = 'r' group by 1 order by 1
"""
PATTERNS: Final = {
    "fact_observaciones%": "observations",
    "fact_interrupciones": "events and stretches",
    "tramos": "events and stretches",
    "capturas": "ledger",
    "revisiones": "ledger",
    "cargas": "ledger",
}


class _Then(SystemClock):
    def now(self) -> datetime:
        return NOW


@dataclass(frozen=True, slots=True)
class _Store:
    """An S3-compatible server of this machine, and its log of requests."""

    endpoint: str
    folder: Path
    log: Path

    def requests(self) -> Counter[str]:
        """How many requests it has answered until now, by method; a GET of a listing counts as LIST."""
        found = re.findall(r'"([A-Z]+) (\S+) HTTP', self.log.read_text())
        return Counter("LIST" if "list-type=2" in path else method for method, path in found)


def measure(here: Bench) -> list[Figure]:
    """Each shape in a folder, then in an object store."""
    figures: list[Figure] = []
    with _store(here.folder) as store:
        for shape in Shape:
            with simulated_source((MONTH,), now=NOW, latency_s=0.0, shape=shape) as source:
                figures += _month(here, source.url, f"{shape}, folder", None)
                figures += _month(here, source.url, f"{shape}, object store", store)
    return figures


def _month(here: Bench, url: str, label: str, store: _Store | None) -> list[Figure]:
    """Take a month through all steps, and tell what each cost and what is left of it."""
    name = re.sub(r"\W+", "_", label)
    plain = here.settings(name, name, base_url=url)
    settings = load_settings(
        _env_file=None,
        data_dir=f"s3://bench/{name}" if store else plain.data_dir,
        state_dir=here.folder / name,
        database_url=plain.database_url,
        base_url=url,
        max_concurrency=16,
        max_rate=10_000.0,
    )
    data = store.folder / "bench" / name if store else here.folder / name
    figures: list[Figure] = []

    def size(what: str, *below: str) -> None:
        figures.append(Figure(f"{name}_{what}_mb", f"{label}: {what}", sum(_size(data / each) for each in below), "MB"))

    def step(what: str, work: Callable[[], object]) -> None:
        before, begun = store.requests() if store else Counter(), time.perf_counter()
        work()
        wall_s = time.perf_counter() - begun
        figures.append(Figure(f"{name}_{what}_s", f"{label}: {what}", wall_s, "s"))
        if store:
            made = store.requests() - before
            figures.extend(
                Figure(f"{name}_{what}_{method}", f"{label}: {what}, {method}", made[method]) for method in METHODS
            )

    with open_adapters(settings, _Then()) as adapters:
        step("capture", lambda: asyncio.run(capture_month(adapters, str(MONTH))))
        size("Bronze, loose", "bronze/por_fecha")
        step("load", lambda: asyncio.run(load_month(adapters, str(MONTH))))
        step("Gold", lambda: asyncio.run(build_gold(adapters)))
        for each in ("observaciones", "panel", "kept", "site", ""):
            size(f"Gold {each}".strip(), f"gold/{each}")
        figures += _tables(settings, name, label)
        step("seal", lambda: seal_ready(adapters, str(MONTH)))
        size("Bronze, sealed", "bronze/por_fecha", "bronze/sellado")
        size("journal", "bronze/journal")
        step("look", lambda: asyncio.run(_look(adapters)))
        apply_retention(adapters.database, settings, keep_days=30)
        size("archive", "archive")
    return figures


async def _look(adapters: Adapters) -> None:
    """A look of the monitor that has no earlier one: the open hour and one closed hour."""
    await load_newest(adapters, (await ask_newest(adapters, 1)).hours)


def _size(path: Path) -> float:
    return size_of(path) / 1e6


def _tables(settings: Settings, name: str, label: str) -> list[Figure]:
    assert settings.database_url is not None  # noqa: S101  (a bench gives one)
    with psycopg.connect(settings.database_url.get_secret_value()) as connection:
        rows = connection.execute(TABLES, (list(PATTERNS), list(PATTERNS.values()))).fetchall()
        counts = connection.execute(
            "select (select count(*) from fact_observaciones), (select count(*) from fact_interrupciones)"
        ).fetchone()
    assert counts is not None  # noqa: S101  (an aggregate gives a row)
    return [
        *(Figure(f"{name}_{what}_mb", f"{label}: PostgreSQL, {what}", size, "MB") for what, size in rows),
        Figure(f"{name}_observations", f"{label}: observations", counts[0]),
        Figure(f"{name}_events", f"{label}: events", counts[1]),
    ]


@contextmanager
def _store(folder: Path) -> Iterator[_Store]:
    """An object store on loopback for the length of a block; clients find it by the environment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = _Store(f"http://127.0.0.1:{port}", folder / "objects", folder / "objects.log")
    command = [sys.executable, "-m", "localbucket", str(store.folder), "--port", str(port)]
    with store.log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)  # noqa: S603  (ourselves)
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench-secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": store.endpoint,
    }
    try:
        httpx.HTTPTransport(retries=10).handle_request(httpx.Request("PUT", f"{store.endpoint}/bench"))
        yield store
    finally:
        process.terminate()
        process.wait()
