"""Gold from the whole history: all of it, each payload, and what a build costs when little changed."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import median
from typing import TypeVar
from unittest.mock import patch

import polars as pl
from sqlalchemy import text

from benchmarks import history
from benchmarks.measuring import Bench, Measured, apart, opened, size_of
from benchmarks.results import Figure
from sec_core.blobs.place import open_blobs
from sec_core.bronze.store import BronzeStore
from sec_core.clock import SystemClock
from sec_core.config import Settings
from sec_core.gold import build as building
from sec_core.gold import month_files, monthly, storm_catalogue
from sec_core.gold.build import build_gold, read_frames
from sec_core.gold.explain import explain
from sec_core.gold.payloads.registry import PAYLOADS
from sec_core.hours import Month
from sec_core.reference.tables import regiones
from sec_core.silver.universe import FIGURE_SCHEMA, write_universe

T = TypeVar("T")

_SIZES = """
    select (select coalesce(sum(pg_total_relation_size(inhrelid)), 0) from pg_inherits
            where inhparent = 'fact_observaciones'::regclass),
        pg_total_relation_size('fact_interrupciones'), pg_total_relation_size('tramos'),
        pg_total_relation_size('capturas') + pg_total_relation_size('revisiones') + pg_total_relation_size('cargas')
"""


@dataclass(frozen=True, slots=True)
class Built:
    """What a build of Gold came to.

    Attributes:
        seconds: Of each build without its site; the first one writes everything.
        events: Events in it.
        parts: Seconds of `_PARTS` in the last one, and of its site.
    """

    seconds: tuple[float, ...]
    events: int
    parts: dict[str, float]


# Parts of a build: what they are, and the function that each one is.
_PARTS = {
    "panel": ("observations and panel, files by month", month_files, "export"),
    "estimates": ("what estimates are made of, by month", monthly, "bring_up_to_date"),
    "storms": ("storms", storm_catalogue, "bring_up_to_date"),
    "indices": ("indices and their intervals", building, "make_indices"),
}

_ENDS = (Month(2017, 3), Month(2025, 11))
_EXPLAINED = (Month(2017, 2), Month(2021, 5), Month(2025, 11))


def measure(here: Bench, settings: Settings, size: history.Size, load_s: float) -> list[Figure]:
    """Build Gold of a loaded history.

    Args:
        here: Where.
        settings: The loaded history.
        size: How large its Bronze is.
        load_s: Seconds that loading it took.
    """
    _add_customers(settings)
    here.settle()
    first = apart(here, build, settings, 1)
    again = apart(here, build, settings, 3)
    # Each in a process of its own, as runs are: memory counts for one build.
    changed = sorted(
        (apart(here, build, settings, 1, Month(2021, 5)) for _ in range(3)), key=lambda each: each.result.seconds
    )
    months = tuple(each.result.seconds[0] for each in changed)
    early, late = ([apart(here, build, settings, 1, month).result for _ in range(3)] for month in _ENDS)
    payloads = apart(here, each_payload, settings).result
    explained = apart(here, explain_some, settings)
    slowest = max(explained.result)
    events = first.result.events
    whole = load_s + first.result.seconds[0]
    rebuilt = sorted(again.result.seconds)[1]
    return [
        Figure("gold_first_s", f"Gold with all its files, {events:,} events", first.result.seconds[0], "s",
               target="≤ 15", met=first.result.seconds[0] <= 15),
        *_cost("first", first),
        Figure("whole_s", "Bronze to Gold, the whole history", whole, "s", target="≤ 40", met=whole <= 40),
        Figure("gold_s", f"Gold and all payloads, {events:,} events", rebuilt, "s", target="≤ 3", met=rebuilt <= 3,
               runs=again.result.seconds),
        Figure("gold_month_s", "Gold when one month changed", months[1], "s", target="≤ 3", met=months[1] <= 3,
               runs=months),
        *_cost("month", changed[1]),
        *(_growth(what, early, late) for what in ("gold", "storms", "site")),
        *(Figure(f"payload_{name}_s", f"  payload {name}", seconds, "s") for name, seconds in payloads.items()),
        Figure("explain_s", "`sec explain`, a region's month from Bronze, the slowest of three", slowest, "s",
               target="≤ 5", met=slowest <= 5, runs=explained.result),
        Figure("explain_cpu_s", "  CPU of three", explained.client_s + explained.database_s, "s"),
        Figure("explain_peak_mb", "  peak memory", explained.peak_bytes / 1e6, "MB"),
        *_bytes(settings, size),
    ]  # fmt: skip


def _cost(name: str, built: Measured[Built]) -> list[Figure]:
    """CPU of a build with its site, peak memory, and the build's parts."""
    cpu_s = built.client_s + built.database_s
    return [
        *(
            Figure(f"gold_{name}_{part}_s", f"  of it: {what}", built.result.parts[part], "s")
            for part, (what, *_) in _PARTS.items()
            if part in built.result.parts
        ),
        Figure(f"gold_{name}_cpu_s", "  CPU, site and PostgreSQL included", cpu_s, "s"),
        Figure(f"gold_{name}_peak_mb", "  peak memory, site included", built.peak_bytes / 1e6, "MB",
               target="≤ 1 000", met=built.peak_bytes <= 1e9),
    ]  # fmt: skip


def _growth(what: str, early: Sequence[Built], late: Sequence[Built]) -> Figure:
    """A change of the newest month over one of the first: whether cost grows with what lies before."""
    first, last = (
        median(each.seconds[0] if what == "gold" else each.parts[what] for each in builds) for builds in (early, late)
    )
    ratio, label = last / first, f"The newest month changed over one of the first: {what}"
    return Figure(f"{what}_growth", label, ratio, target="≤ 1.1", met=ratio <= 1.1, runs=(first, last))


def build(settings: Settings, times: int, touched: Month | None = None) -> Built:
    """Build Gold some times, each time after the hours of a month were written again; seconds of each."""
    sql = text("update cargas set clientes = clientes where hora >= :first and hora < :last")
    seconds: list[float] = []
    events = 0
    parts: dict[str, float] = {}
    with opened(settings) as database, ExitStack() as stack:
        for name, (_, module, function) in (_PARTS | {"site": ("the site", building, "draw")}).items():
            stack.enter_context(patch.object(module, function, _timed(getattr(module, function), name, parts)))
        for _ in range(times):
            if touched is not None:
                with database.engine.begin() as connection:
                    connection.execute(sql, {"first": touched.start, "last": touched.end})
            begun = time.perf_counter()
            events = build_gold(database, settings, SystemClock()).events
            seconds.append(time.perf_counter() - begun - parts["site"])
    return Built(tuple(seconds), events, parts)


def _timed(work: Callable[..., T], name: str, seconds: dict[str, float]) -> Callable[..., T]:
    def timed(*arguments: object) -> T:
        begun = time.perf_counter()
        try:
            return work(*arguments)
        finally:
            seconds[name] = time.perf_counter() - begun

    return timed


def explain_some(settings: Settings) -> tuple[float, ...]:
    """Explain `reliability` of a region in some months; seconds of each. All of them must come out equal."""
    store = BronzeStore(settings.bronze)
    seconds = []
    with opened(settings) as database:
        for month in _EXPLAINED:
            begun = time.perf_counter()
            found = explain(database, settings, store, "reliability", {"mes": str(month), "nombre_region": "MAULE"})
            seconds.append(time.perf_counter() - begun)
            if not found.equal:
                raise RuntimeError(f"{month} of MAULE: {found.differences[:3]}")
    return tuple(seconds)


def _add_customers(settings: Settings) -> None:
    """Customers of each region: without them there are no indices to compute."""
    rows = [(date(2021, 5, 1), region.codigo, 450_000, None, datetime.now(UTC), None) for region in regiones()]
    with opened(settings) as database:
        write_universe(database, pl.DataFrame(rows, schema=FIGURE_SCHEMA, orient="row"))


def each_payload(settings: Settings) -> dict[str, float]:
    """Seconds of reading Silver and of each payload."""
    clock = SystemClock()
    with opened(settings) as database:
        begun = time.perf_counter()
        collected, _, _ = read_frames(database, open_blobs(settings.gold), settings, clock)
        seconds = {"(reading)": time.perf_counter() - begun}
    for spec in PAYLOADS:
        begun = time.perf_counter()
        spec.build(collected)
        seconds[spec.id] = time.perf_counter() - begun
    return seconds


def _bytes(settings: Settings, size: history.Size) -> list[Figure]:
    with opened(settings) as database, database.engine.connect() as connection:
        row = connection.exec_driver_sql(_SIZES).one()
    data = Path(str(settings.data))
    bronze = size_of(data / "bronze")
    share = bronze / size.raw_bytes
    named = zip(("observations", "events", "stretches", "ledger"), row, strict=True)
    return [
        Figure("raw_mb", "Bytes: the answers as received", size.raw_bytes / 1e6, "MB"),
        Figure("bronze_mb", "Bytes: Bronze", bronze / 1e6, "MB"),
        Figure("bronze_share", "Bronze over the answers", share, target="≤ 0.08", met=share <= 0.08),
        *(Figure(f"{name}_mb", f"Bytes: {name} in PostgreSQL", float(count) / 1e6, "MB") for name, count in named),
        Figure("gold_mb", "Bytes: Gold", size_of(data / "gold") / 1e6, "MB"),
        *(
            Figure(f"gold_{name}_mb", f"  of it: {name}/", size_of(data / "gold" / name) / 1e6, "MB")
            for name in ("observaciones", "panel", "kept", "site")
        ),
    ]
