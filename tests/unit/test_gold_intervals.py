"""Intervals hold what they promise: a small calibration, the real national series, and what must never change them."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from scripts.calibrate import PATTERNS, World, estimate, make_world, summary, thinned, two_years
from sec_core.gold import estimates
from sec_core.gold.customers import COUNTRY
from sec_core.gold.frames import source_hours
from sec_core.gold.intervals import REACH, Tail
from sec_core.gold.panel import pattern
from sec_core.hours import HOUR, Month

WORLDS = 20


@pytest.fixture(scope="module")
def calibration() -> pl.DataFrame:
    rows = thinned((make_world(1000 + number, months=1) for number in range(WORLDS)), PATTERNS, seed=5)
    return rows.filter(pl.col("serie") != COUNTRY)


def test_the_truth_lies_inside_as_often_as_promised(calibration: pl.DataFrame) -> None:
    (whole,) = summary(calibration).to_dicts()
    assert 0.88 <= whole["dentro"] <= 0.99
    assert abs(whole["sesgo"]) < 0.05
    assert whole["ancho"] <= 6
    by_pattern = summary(calibration, "patron")
    assert by_pattern.height == len(PATTERNS)
    assert by_pattern["dentro"].min() >= 0.85  # type: ignore[operator]


def test_a_lower_bound_never_lies_under_what_was_observed(calibration: pl.DataFrame) -> None:
    known = calibration.filter(pl.col("metodo") == "estimado")
    assert known.filter(pl.col("cliente_horas_inf") < pl.col("cliente_horas_observadas")).is_empty()
    assert known.filter(~pl.col("cliente_horas").is_between("cliente_horas_inf", "cliente_horas_sup")).is_empty()
    assert known.filter(pl.col("cliente_horas_inf") >= pl.col("cliente_horas_sup")).is_empty()


@pytest.mark.parametrize(("lasting", "step"), [(1.0, 6), (4.0, 6), (12.0, 6), (3.0, 1)])
def test_missed_peaks_follow_from_those_that_one_hour_shows(lasting: float, step: int) -> None:
    draw = np.random.default_rng(8)
    begin, length = draw.uniform(0, 60_000, 400_000), draw.exponential(lasting, 400_000)
    seen = np.floor((begin + length) / step) - np.floor(begin / step)
    missed = length[seen == 0].sum() / (60_000 / step)
    single, double = ((seen == times).sum() / (60_000 / step) for times in (1, 2))
    law = Tail(threshold=1, rate=1, power=1, lasting=lasting, step=step)
    assert law.missed(np.array([step - 1.0]))[0] * single == pytest.approx(missed, rel=0.03)
    assert double / single == pytest.approx(math.exp(-step / lasting), rel=0.05)


def test_parts_of_a_month_need_its_own_hours_and_a_day_about_it() -> None:
    world = make_world(35, months=3)
    kept = np.random.default_rng(3).random(len(world.hours)) < 0.35
    what = pattern(pl.DataFrame({"hora": world.hours, "cargada": kept, "sospechosa": False}), 12)
    seen, months = world.seen(kept), what.months["mes"].to_list()
    whole = estimates.parts(seen, what, [*world.names, COUNTRY], months)
    apart = []
    for month in (Month(day.year, day.month) for day in months):
        near = pl.col("hora").is_between(month.start - REACH * HOUR, month.end + REACH * HOUR)
        apart.append(estimates.parts(seen.filter(near), what, [*world.names, COUNTRY], [month.first_day]))
    assert pl.concat(apart).equals(whole, null_equal=True)


def national_series(captures: Path) -> World:
    """The SEC's own hourly series of the storm of August 2024, moved to the beginning of a month."""
    rows = [row for file in sorted((captures / "get").glob("*.json")) for row in json.loads(file.read_bytes())]
    counts = {(row["mes"], row["dia"], row["hora"]): row["clientes_afectados"] for row in rows}
    values = np.array([counts[key] for key in sorted(counts)], dtype=float)
    now = datetime(2100, 1, 1, tzinfo=UTC)
    hours = source_hours(Month(2024, 8).start, Month(2024, 8).start, now)["hora"][: len(values)]
    return World(hours, values[:, None], np.ones(1))


def test_the_real_national_series_lies_inside_when_it_is_thinned(captures_dir: Path) -> None:
    world = national_series(captures_dir)
    assert world.values.max() == 1_243_905
    patterns = {name: keep for name, keep in PATTERNS.items() if name != "five days missing"}
    rows = pl.concat([thinned([world], patterns, seed) for seed in range(20)]).filter(pl.col("serie") != COUNTRY)
    by_pattern = summary(rows, "patron")
    assert by_pattern["dentro"].min() >= 0.85  # type: ignore[operator]
    assert abs(summary(rows)["sesgo"].item()) < 0.05


def widths(world: World, kept: NDArray[np.bool_]) -> float:
    found = estimate(world, kept).filter(pl.col("serie") != COUNTRY)
    assert (found["metodo"] != "insuficiente").all()
    return float((found["cliente_horas_sup"] - found["cliente_horas_inf"]).sum())


def test_more_hours_never_widen_the_interval_in_the_mean() -> None:
    worlds = [make_world(2000 + number, months=1) for number in range(6)]
    time = np.arange(len(worlds[0].hours))
    chance = np.random.default_rng(1).random(len(time))
    for nested in (
        [time % 6 == 0, time % 3 == 0, (time % 3 == 0) | (time % 2 == 0), time >= 0],
        [chance < share for share in (0.3, 0.5, 0.7, 0.9)],
        [(time < 300) | (time >= end) for end in (420, 372, 330, 305)],
    ):
        by_hours = [sum(widths(world, kept) for world in worlds) for kept in nested]
        assert by_hours == sorted(by_hours, reverse=True)


def test_counts_ten_times_as_large_give_figures_ten_times_as_large() -> None:
    world = make_world(31, months=1)
    larger = World(world.hours, world.values * 10, world.customers)
    kept = np.arange(len(world.hours)) % 6 == 1
    columns = ["cliente_horas", "cliente_horas_inf", "cliente_horas_sup"]
    once, tenfold = (estimate(one, kept).select(columns).to_numpy() for one in (world, larger))
    assert tenfold == pytest.approx(once * 10, rel=1e-6)


def test_the_order_of_rows_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(32, months=2)
    kept = np.random.default_rng(2).random(len(world.hours)) < 0.4
    usual = estimate(world, kept)
    seen = World.seen
    monkeypatch.setattr(World, "seen", lambda self, kept: seen(self, kept).sample(fraction=1, shuffle=True, seed=9))
    assert estimate(world, kept).equals(usual)


def test_regions_sum_to_the_country() -> None:
    world = make_world(33, months=3)
    found = estimate(world, np.arange(len(world.hours)) % 5 != 0)
    regions = found.filter(pl.col("serie") != COUNTRY).group_by("mes").agg(pl.col("cliente_horas").sum())
    country = found.filter(pl.col("serie") == COUNTRY)
    assert regions.sort("mes")["cliente_horas"].to_list() == pytest.approx(country["cliente_horas"].to_list())
    apart = found.filter(pl.col("serie") != COUNTRY).group_by("mes").agg(pl.col("cliente_horas_sup").sum()).sort("mes")
    assert (country["cliente_horas_sup"] < apart["cliente_horas_sup"]).all()


def test_a_year_seen_every_sixth_hour_compares_with_the_hourly_one_after_it() -> None:
    years = two_years(make_world(seed, 24, first=Month(2023, 1)) for seed in (4, 5, 6))
    assert years["dentro"].all()
    assert years["desvio"].abs().max() < 0.05  # type: ignore[operator]
    assert ((years["estimado"] > 1) == (years["verdad"] > 1)).all()
    assert (years["estimado"] / years["verdad"] - 1).abs().max() < 0.05  # type: ignore[operator]
