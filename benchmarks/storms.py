"""The catalogue of storms over the whole history, with two storms a month in it; Gold's other work is not counted."""

import time
from datetime import timedelta
from pathlib import Path

import polars as pl

from benchmarks import history
from benchmarks.measuring import Bench, apart
from benchmarks.results import Figure
from scripts.storm_rules import panel
from sec_core.blobs.local import LocalBlobs
from sec_core.gold.customers import dwellings
from sec_core.gold.frames import UTC_TIME, source_hours
from sec_core.gold.month_files import month_key
from sec_core.gold.storm_catalogue import bring_up_to_date
from sec_core.gold.storms import StormRules
from sec_core.hours import Month
from sec_core.simulator.options import Storm, WorldOptions
from sec_core.simulator.world import World

SIZES = (20_000, 80_000, 300_000, 1_000_000)
CHANGED = history.MONTHS[52:55]


def measure(here: Bench, gold: Path) -> list[Figure]:
    """Find and measure all storms: at first, and after a month changed.

    Args:
        here: Where.
        gold: Gold's folder of the whole history.
    """
    folder = here.folder / "storms"
    for month in history.MONTHS:
        _plant(month, gold / month_key(month, "panel"), folder / month_key(month, "panel"))
    (folder / "observaciones").symlink_to(gold / "observaciones")
    count, first, *changed = apart(here, catalogue, folder).result
    middle = sorted(changed)[len(changed) // 2]
    return [
        Figure("storms_first_s", f"Storms of the whole history, {count:.0f}", first, "s", target="≤ 3", met=first <= 3),
        Figure("storms_month_s", "Storms when one month changed", middle, "s", target="≤ 0.5", met=middle <= 0.5,
               runs=tuple(changed)),
    ]  # fmt: skip


def _plant(month: Month, source: Path, target: Path) -> None:
    number = 2 * history.MONTHS.index(month)
    planted = [
        Storm(start=month.start + timedelta(days=3 + 14 * half), customers=SIZES[(number + half) % 4], rows=1_000)
        for half in range(2)
    ]
    weather = World(WorldOptions(rows_per_hour=0, stale_rows=0, holes=(), storms=tuple(planted)))
    usual = (
        pl.read_parquet(source, hive_partitioning=False).drop("forma").with_columns(pl.col("codigo_comuna").cast(str))
    )
    key = ("hora", "codigo_comuna")
    rows = pl.concat([usual, panel(weather, history.hours_of(month))], how="vertical_relaxed")
    target.parent.mkdir(parents=True)
    rows.group_by(key).agg(pl.all().sum()).sort(key).with_columns(forma=pl.lit("detailed")).write_parquet(target)


def catalogue(folder: Path) -> list[float]:
    """The number of storms; seconds of the first time, and of each time after one month changed."""
    gold, digests = LocalBlobs(folder), dict.fromkeys(history.MONTHS, "first")
    loaded = pl.Series([hour for month in history.MONTHS for hour in history.hours_of(month)], dtype=UTC_TIME)
    every = source_hours(history.MONTHS[0].start, history.MONTHS[-1].end, history.MONTHS[-1].end)
    calendar = every.with_columns(cargada=pl.col("hora").is_in(loaded.implode()), sospechosa=False)
    customers = dwellings().select("codigo_comuna", clientes="viviendas", mes=pl.lit(history.MONTHS[0].first_day))
    found, seconds = 0, []
    for changed in (None, *CHANGED):
        if changed is not None:
            digests[changed] = "changed"
        begun = time.perf_counter()
        found = bring_up_to_date(gold, digests, calendar, customers, StormRules())[0].height
        seconds.append(time.perf_counter() - begun)
    return [found, *seconds]
