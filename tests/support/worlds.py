"""Random small histories for property tests: both shapes, holes, borders of months and changes of the clock."""

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import strategies as st

from sec_core.silver.columns import typed
from sec_core.silver.observations import OBSERVATION_SCHEMA
from sec_core.silver.timeline import EventRules
from support.reference_rules import History, Hour, Listed, chile_day, source_hours, utc

# Around borders of months and changes of the clock: a few dozen hours from each of these.
BEGINNINGS = [
    utc(2025, 1, 31, 12),
    utc(2024, 2, 29, 6),  # February 29 and the month's end
    utc(2025, 4, 5, 18),  # the repeated 23h of April
    utc(2025, 9, 6, 18),  # the skipped 00h of September
    utc(2022, 9, 10, 18),  # the later change of 2022
    utc(2024, 12, 31, 15),
]
GEOGRAPHIES = [0, 1101, 13120]
COMPANIES = [0, 3]


@st.composite
def hours_of_world(draw: st.DrawFn) -> list[datetime]:
    """Hours with a value: dense around a border, or sparse over months."""
    start = draw(st.sampled_from(BEGINNINGS))
    if draw(st.booleans()):
        line = source_hours(start, start + timedelta(hours=draw(st.integers(12, 40))))
        kept = draw(st.lists(st.booleans(), min_size=len(line), max_size=len(line)))
        return [hour for hour, keep in zip(line, kept, strict=True) if keep]
    offsets = draw(st.lists(st.integers(0, 24 * 70), min_size=2, max_size=14, unique=True))
    return sorted(
        hour
        for offset in offsets
        for hour in source_hours(start + timedelta(hours=offset), start + timedelta(hours=offset))
    )


@st.composite
def histories(draw: st.DrawFn) -> History:
    """A history of both shapes."""
    switch = draw(st.sampled_from(["aggregated", "detailed", "mixed"]))
    history: History = {}
    for hour in draw(hours_of_world()):
        shape = draw(st.sampled_from(["detailed", "aggregated", "aggregated"])) if switch == "mixed" else switch
        history[hour] = draw(values_of_hour(hour, shape))
    return history


@st.composite
def values_of_hour(draw: st.DrawFn, hour: datetime, shape: str) -> Hour:
    """What one hour lists; an aggregated hour may list nothing of interest but is captured all the same."""
    if shape == "aggregated":
        places = draw(st.lists(st.sampled_from(GEOGRAPHIES), unique=True, max_size=3))
        return Hour(
            shape, [Listed(geo, 1, None, draw(st.sampled_from([0, 3, 9, 10, 11, 25])), _bits(geo)) for geo in places]
        )
    today = chile_day(hour)
    starts = [today, today - timedelta(days=1), date(2019, 2, 19), date(1999, 12, 31)]
    keys = draw(
        st.lists(
            st.tuples(st.sampled_from(GEOGRAPHIES), st.sampled_from(COMPANIES), st.sampled_from(starts)),
            unique=True,
            max_size=3,
        )
    )
    return Hour(
        shape, [Listed(geo, company, start, draw(st.integers(0, 40)), _bits(geo)) for geo, company, start in keys]
    )


def _bits(geo: int) -> int:
    return 2 if geo == 0 else 0


# Rules, the extreme one among them that bridges whole months without data.
rules = st.builds(
    EventRules, threshold=st.just(10), close_hours=st.integers(1, 3), max_gap_hours=st.sampled_from([0, 1, 2, 6, 800])
)


def observation_frame(history: History, shape: str) -> pl.DataFrame:
    """The observations of a history's hours of one shape."""
    rows: list[tuple[Any, ...]] = [
        (hour, row.geo, row.company, row.start, row.customers, 1, row.bits)
        for hour, value in history.items()
        if value.shape == shape
        for row in value.rows
    ]
    return pl.DataFrame(rows, schema=OBSERVATION_SCHEMA, orient="row")


def loads_of(history: History) -> pl.DataFrame:
    """`hora` and `forma` of a history's hours."""
    rows = [(hour, value.shape) for hour, value in history.items()]
    return pl.DataFrame(rows, schema=typed("hora forma"), orient="row")
