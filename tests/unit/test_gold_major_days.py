"""Thresholds of major event days against values computed by hand."""

import math
from datetime import date, timedelta
from statistics import mean, stdev

import polars as pl
import pytest

from sec_core.gold.indices import thresholds

ALL_ALIKE = pl.DataFrame({"anho": range(2010, 2030)}).join(pl.DataFrame({"base": range(2010, 2030)}), how="cross")


def make_daily(*spans: tuple[date, int, float]) -> pl.DataFrame:
    """Days from (first, count, saidi)."""
    rows = [
        ("MAULE", first + timedelta(days=i), saidi * (1 + i % 5)) for first, count, saidi in spans for i in range(count)
    ]
    return pl.DataFrame(rows, schema=["serie", "dia", "saidi"], orient="row")


def reference(values: list[float]) -> float:
    logs = [math.log(value) for value in values if value > 0]
    return math.exp(mean(logs) + 2.5 * stdev(logs))


def test_the_base_is_the_five_years_before_where_they_suffice() -> None:
    daily = make_daily(
        (date(2015, 1, 1), 100, 9.0),
        (date(2018, 1, 1), 365, 0.5),
        (date(2021, 1, 1), 30, 70.0),
    )
    found = {row["anho"]: row for row in thresholds(daily, ALL_ALIKE).to_dicts()}
    base = [0.5 * (1 + i % 5) for i in range(365)]
    assert found[2021]["umbral_med"] == pytest.approx(reference(base))
    assert found[2021]["dias_base"] == 365
    # 2018 has a hundred days before it, too few: its own days join them.
    joined = [*(9.0 * (1 + i % 5) for i in range(100)), *base]
    assert found[2018]["umbral_med"] == pytest.approx(reference(joined))


def test_days_without_interruptions_stay_out_of_the_base() -> None:
    daily = make_daily((date(2024, 1, 1), 12, 0.5), (date(2024, 3, 1), 9, 0.0))
    (row,) = thresholds(daily, ALL_ALIKE).to_dicts()
    assert row["dias_base"] == 12
    assert row["umbral_med"] == pytest.approx(reference([0.5 * (1 + i % 5) for i in range(12)]))


def test_too_small_a_base_gives_no_threshold() -> None:
    (row,) = thresholds(make_daily((date(2024, 1, 1), 9, 0.5)), ALL_ALIKE).to_dicts()
    assert (row["umbral_med"], row["dias_base"]) == (None, 9)
