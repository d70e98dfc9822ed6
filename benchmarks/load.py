"""Bronze to observations to events: how long, by stage, against a floor that no loader can beat, and how it grows."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Final

import polars as pl

from benchmarks import history, usual
from benchmarks.history import bronze_of
from benchmarks.measuring import Bench, Measured, apart, opened
from benchmarks.results import Figure
from sec_core.config import Settings
from sec_core.db.checks import check_server
from sec_core.hours import Month
from sec_core.reference.tables import default_names
from sec_core.silver.load import MONTHS_AT_ONCE, load_hours, load_month
from sec_core.silver.observations import Snapshot, decode, observe
from sec_core.silver.reports import month_figures
from sec_core.simulator.world import World
from sec_core.source.shapes import Shape

# Months of the histories that are loaded; the last one is the whole.
LENGTHS: Final = (1, 12, 108)
# Months that are also loaded as one would write it first, see `usual`.
USUAL_MONTHS: Final = 6
# How often the whole is loaded; the median counts.
RUNS: Final = 3

# Tables that a load writes.
KEPT: Final = (
    "fact_observaciones", "fact_interrupciones", "tramos", "cargas", "nombres_no_resueltos", "calidad_imputacion",
    "dim_tiempo",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stages:
    """Seconds that parts of a load took, one after the other, without overlap.

    Attributes:
        read_s: Reading the bodies and decompressing them.
        decode_s: JSON to frames of rows.
        observe_s: Imputing, resolving names and summing up.
        move_s: Moving the rows, as they were decoded, into a table without indexes.
    """

    read_s: float
    decode_s: float
    observe_s: float
    move_s: float


def measure(here: Bench, source: Settings) -> tuple[list[Figure], Settings]:
    """Load histories of several lengths, each into a database of its own.

    Args:
        here: Where.
        source: The whole history's Bronze, and a database that holds nothing but its ledger.

    Returns:
        Figures, and the settings of the database that holds the whole history.
    """
    figures: list[Figure] = []
    for length in LENGTHS:
        runs = []
        for _ in range(RUNS if length == LENGTHS[-1] else 1):
            here.drop("loaded")
            here.copy("history", "loaded")
            settings = here.settings("data", "loaded")
            here.settle()
            runs.append(apart(here, load_all, settings, history.MONTHS[:length]))
        figures += _loaded(length, runs)
    figures += _against_the_floor(here, source)
    figures += _reruns(here, settings)
    return figures, settings


def load_all(settings: Settings, months: Sequence[Month]) -> int:
    """Load months as *reprocess* does, some side by side and the newest first. Their rows."""
    with opened(settings) as database, ThreadPoolExecutor(MONTHS_AT_ONCE) as pool:
        ledger, store = bronze_of(settings, database)

        def one(month: Month) -> int:
            load_month(database, store.read_kept, month, settings, values=ledger)
            return month_figures(database, month).rows

        return sum(pool.map(one, reversed(months)))


def load_each(settings: Settings, months: Sequence[Month]) -> list[float]:
    """Load months without any overlap between them; seconds of each."""
    seconds = []
    with opened(settings) as database:
        ledger, store = bronze_of(settings, database)
        for month in months:
            begun = time.perf_counter()
            load_month(database, store.read_kept, month, settings, values=ledger)
            seconds.append(time.perf_counter() - begun)
    return seconds


def stages(settings: Settings, months: Sequence[Month]) -> Stages:
    """What the parts of loading months cost."""
    names = default_names()
    read_s = decode_s = observed_s = move_s = 0.0
    with opened(settings) as database:
        ledger, store = bronze_of(settings, database)
        for month in months:
            values = ledger.values(month.start, month.end)
            begun = time.perf_counter()
            bodies = [Snapshot(value.hour, value.shape, store.read_kept(value)) for value in values if value.shape]
            read = time.perf_counter()
            rows = decode([body.body for body in bodies], Shape.DETAILED)
            decoded = time.perf_counter()
            with database.adbc() as connection:
                text = rows.with_columns(pl.col(pl.Categorical).cast(pl.String), pl.col("cuerpo").cast(pl.Int32))
                connection.append("floor", text, create=not move_s)
            moved = time.perf_counter()
            observe(bodies, names)
            observed_s += time.perf_counter() - moved
            read_s, decode_s, move_s = read_s + read - begun, decode_s + decoded - read, move_s + moved - decoded
        with database.adbc() as connection:
            connection.execute("drop table floor")
    return Stages(read_s, decode_s, observed_s - decode_s, move_s)


def copy_kept(settings: Settings) -> float:
    """Copy all rows that a load has kept into tables without indexes; seconds, without reading them.

    As a load brings them: frames of a month, in one transaction a month. Observations come into a table that is new in
    it, which PostgreSQL need not log.
    """
    seconds = 0.0
    with opened(settings) as database, database.adbc() as connection:
        kept = {table: connection.query(f"select * from {table}") for table in KEPT}
        for table in KEPT[1:]:
            connection.execute(f"create table bare_{table} as select * from {table} with no data")
        connection.commit()
        for n, month in enumerate(history.MONTHS):
            parts = {table: _slice(rows, n, len(history.MONTHS)) for table, rows in kept.items()}
            begun = time.perf_counter()
            connection.execute("set local synchronous_commit = off")
            new = f"bare_{KEPT[0]}_{month.year}{month.month:02}"
            connection.execute(f"create table {new} as select * from {KEPT[0]} with no data")
            for table, rows in parts.items():
                connection.append(new if table == KEPT[0] else f"bare_{table}", rows)
            connection.commit()
            seconds += time.perf_counter() - begun
    return seconds


def _slice(rows: pl.DataFrame, n: int, count: int) -> pl.DataFrame:
    """One of `count` parts of equal length."""
    first, last = rows.height * n // count, rows.height * (n + 1) // count
    return rows[first:last]


def rerun(settings: Settings, month: Month) -> float:
    """Load a month again inside a history; seconds, without the start of the process."""
    with opened(settings) as database:
        ledger, store = bronze_of(settings, database)
        check_server(database.engine, database.address)
        begun = time.perf_counter()
        load_month(database, store.read_kept, month, settings, values=ledger, force=True)
        return time.perf_counter() - begun


def one_hour(settings: Settings, month: Month, count: int) -> list[float]:
    """Give hours of a month a new revision each, one after the other, and load it as the monitor does; seconds."""
    world = World(history.WORLD)
    seconds = []
    with opened(settings) as database:
        ledger, store = bronze_of(settings, database)
        for hour in history.hours_of(month)[-count:]:
            ledger.record([history.finding(world, hour, revision=1)])
            begun = time.perf_counter()
            load_hours(database, store.read_kept, [hour], settings, values=ledger)
            seconds.append(time.perf_counter() - begun)
    return seconds


def _loaded(length: int, runs: Sequence[Measured[int]]) -> list[Figure]:
    name, label = f"load_{length}", f"{length} months" if length > 1 else "1 month"
    whole = length == LENGTHS[-1]
    done = sorted(runs, key=lambda run: run.wall_s)[len(runs) // 2]
    rates = tuple(run.result / run.wall_s for run in runs)
    rate = median(rates)
    return [
        Figure(f"{name}_s", f"{label}: Bronze to events", done.wall_s, "s", runs=tuple(run.wall_s for run in runs)),
        Figure(
            f"{name}_rate", f"{label}: raw rows a second", rate, "/s",
            target="≥ 250 000" if whole else "", met=rate >= 250_000 if whole else None, runs=rates,
        ),
        Figure(f"{name}_client_s", f"{label}: CPU of the loader", done.client_s, "s"),
        Figure(f"{name}_database_s", f"{label}: CPU of PostgreSQL", done.database_s, "s"),
        Figure(f"{name}_peak_mb", f"{label}: peak memory of the loader", done.peak_bytes / 1e6, "MB"),
    ]  # fmt: skip


def _against_the_floor(here: Bench, source: Settings) -> list[Figure]:
    rounds = []
    for _ in range(RUNS):
        # The floor right after each load: a machine's speed changes within minutes.
        here.drop("load_each")
        here.copy("history", "load_each")
        loaded = here.settings("data", "load_each")
        here.settle()
        months = apart(here, load_each, loaded, history.MONTHS).result
        here.settle()
        copied_s = apart(here, copy_kept, loaded).result
        here.settle()
        rounds.append((months, copied_s, apart(here, stages, source, history.MONTHS).result))
    here.drop("load_each")
    ratios = [sum(months) / (each.read_s + each.decode_s + copied_s) for months, copied_s, each in rounds]
    seconds, kept_s, found = rounds[ratios.index(median(ratios))]
    here.copy("history", "load_usual")
    usual_s = apart(here, usual.load_usual, here.settings("data", "load_usual"), history.MONTHS[:USUAL_MONTHS]).result
    here.drop("load_usual")
    total, begun_s = sum(seconds), found.read_s + found.decode_s
    moving, ratio = total / (begun_s + found.move_s), median(ratios)
    gain = usual_s / sum(seconds[:USUAL_MONTHS])
    # Neighbours differ in their storms and in what else the machine does.
    first, last = median(seconds[:12]), median(seconds[-12:])
    rest_s = total - found.read_s - found.decode_s - found.observe_s
    return [
        Figure("each_s", "108 months, one after the other", total, "s", runs=tuple(sum(each[0]) for each in rounds)),
        Figure("each_read_s", "  of it: reading and decompressing", found.read_s, "s"),
        Figure("each_decode_s", "  of it: decoding", found.decode_s, "s"),
        Figure("each_observe_s", "  of it: imputing and summing", found.observe_s, "s"),
        Figure("each_rest_s", "  of it: tables, indexes, events, commits", rest_s, "s"),
        Figure("floor_copy_s", "Copying what is kept into bare tables", kept_s, "s"),
        Figure("floor_ratio", "108 months over reading, decoding and this", ratio, target="≤ 2.2", met=ratio <= 2.2,
               runs=tuple(ratios)),
        Figure("move_s", "Moving the decoded rows into a bare table", found.move_s, "s"),
        Figure("move_ratio", "108 months over reading, decoding and this", moving, target="≤ 2", met=moving <= 2),
        Figure("usual_s", f"{USUAL_MONTHS} months the usual way: pandas and upserts", usual_s, "s"),
        Figure("usual_ratio", "The usual way over a load", gain, target="≥ 4", met=gain >= 4),
        Figure("growth", "A month of the last year over one of the first", last / first, target="≤ 1.1",
               met=last / first <= 1.1, runs=(first, last)),
    ]  # fmt: skip


def _reruns(here: Bench, settings: Settings) -> list[Figure]:
    here.settle()
    months = (history.MONTHS[2], history.MONTHS[len(history.MONTHS) // 2], history.MONTHS[-2])
    again = tuple(apart(here, rerun, settings, month).result for month in months)
    hours = tuple(apart(here, one_hour, settings, history.MONTHS[-1], 6).result)
    return [
        Figure("rerun_month_s", "A month loaded again inside 108", median(again), "s", target="≤ 2",
               met=median(again) <= 2, runs=again),
        Figure("one_hour_s", "An hour's new revision inside 108 months", median(hours), "s", target="≤ 0.3",
               met=median(hours) <= 0.3, runs=hours),
    ]  # fmt: skip
