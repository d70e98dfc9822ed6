"""The simulator's world, which shares nothing with the rules of Silver, comes back exactly from its bodies."""

from collections.abc import Callable
from datetime import date, datetime, timedelta

import pytest
from support.silver_world import MemoryBronze, Silver
from support.truth import Truth, assert_loaded, stormy

from sec_core.hours import CHILE, Month, hours_of_day
from sec_core.silver.reports import month_figures
from sec_core.simulator.answers import hour_body
from sec_core.source.shapes import Shape

ShapeOf = Callable[[datetime], Shape]


def days_from(first: date, count: int) -> list[datetime]:
    return [hour for step in range(count) for hour in hours_of_day(first + timedelta(days=step))]


def switched(hour: datetime) -> Shape:
    """The source's switch of shape in the middle of a month."""
    return Shape.DETAILED if hour.astimezone(CHILE).day in {28, 29, 30, 31, 1, 2, 3} else Shape.AGGREGATED


def legacy(hour: datetime) -> Shape:
    """Legacy detailed hours at 0, 6, 12 and 18 of some days, beside hourly aggregated ones."""
    wall = hour.astimezone(CHILE)
    return Shape.DETAILED if wall.day % 4 == 0 and wall.hour % 6 == 0 else Shape.AGGREGATED


SCHEMES: dict[str, ShapeOf] = {
    "detailed": lambda _: Shape.DETAILED,
    "aggregated": lambda _: Shape.AGGREGATED,
    "switched": switched,
    "legacy": legacy,
}


def made(hours: list[datetime], shape_of: ShapeOf, first: date) -> tuple[MemoryBronze, Truth, list[datetime]]:
    """Bodies of a small stormy world with holes and wrong values, and its truth."""
    hole = (f"{first + timedelta(days=2)}T03", f"{first + timedelta(days=2)}T12")
    short = (f"{first + timedelta(days=5)}T01", f"{first + timedelta(days=5)}T04")
    world = stormy(hours, first.year, hole, short)
    truth = Truth(world, shape_of=shape_of)
    captured = truth.hours_with_data(hours)
    bronze = MemoryBronze()
    for hour in captured:
        bronze.put(hour, shape_of(hour), hour_body(world, hour, shape_of(hour)))
    return bronze, truth, captured


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("first", [date(2025, 3, 28), date(2025, 8, 30)], ids=["April", "September"])
def test_the_truth_comes_back(scheme: str, first: date, silver: Silver) -> None:
    silver.bronze, truth, captured = made(days_from(first, 11), SCHEMES[scheme], first)
    months = sorted({Month.of(hour) for hour in captured}, reverse=True)
    # As life has it: some hours first, then the later month, then the earlier one.
    silver.load_hours(captured[40:300:11])
    silver.load(*months)
    reports = [month_figures(silver.database, month) for month in months]
    assert_loaded(silver.database, truth.events(captured))
    assert sum(report.hours for report in reports) == len(captured)
    assert sum(report.rows for report in reports) == sum(truth.row_count(hour) for hour in captured)
    assert sum(report.customers for report in reports) == sum(truth.national(hour) for hour in captured)
