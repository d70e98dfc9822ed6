"""Loaded hours in their order: which of them make aggregated events, and how far apart they are. Pure.

Distances are counted in source hours: the second occurrence of April's repeated hour and the hour that September
skips are no hours, so they are no hours without data either.
"""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Self

import polars as pl

from sec_core.config import Settings
from sec_core.hours import CHILE, HOUR, day_start
from sec_core.silver.columns import typed
from sec_core.source.shapes import Shape

# Columns of `usable_hours`.
USABLE_SCHEMA = typed("hora indice orden racha")
_DAY = timedelta(days=1)
_FIRST_YEAR, _LAST_YEAR = 2000, 2100


@dataclass(frozen=True, slots=True)
class EventRules:
    """When an aggregated event begins and ends.

    From `threshold` customers an hour of a comuna is a hit; `close_hours` captured hours below it close an event, which
    outlives `max_gap_hours` hours without data in a row.
    """

    threshold: int = 100
    close_hours: int = 2
    max_gap_hours: int = 6

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The rules that the settings ask for."""
        return cls(settings.event_threshold, settings.event_close_hours, settings.event_max_gap_hours)

    @property
    def reach(self) -> int:
        """Source hours over which two hits can still belong together.

        Between them lie at most `close_hours - 1` captured hours, so at most `close_hours` runs without data of at
        most `max_gap_hours` each: what lies further apart never is one event.
        """
        return self.close_hours * (self.max_gap_hours + 1)


@cache
def repeated_hours() -> pl.Series:
    """Second occurrences of repeated hours, as whole hours since 1970, ascending."""
    found: list[int] = []
    start, step = datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC), timedelta(weeks=4)
    before = _offset(start)
    while start.year < _LAST_YEAR:
        after = _offset(start + step)
        # Where the clock goes back, as its offset falls, hours are repeated; it changes at most once in a step.
        if after < before:
            change = bisect_left(range(step // HOUR), 1, key=lambda hours: _offset(start + hours * HOUR) < before)
            first = int(start.timestamp()) // 3600 + change
            found += range(first, first + (before - after) // HOUR)
        start, before = start + step, after
    return pl.Series("repetida", found, dtype=pl.Int64)


def _offset(instant: datetime) -> timedelta:
    return instant.astimezone(CHILE).utcoffset() or timedelta(0)


def source_index(hours: pl.Series) -> pl.Series:
    """Number of each hour (UTC) on the line of source hours: neighbours differ by 1. Null where the hour is null."""
    whole = hours.dt.epoch("s") // 3600
    return whole - repeated_hours().search_sorted(whole.fill_null(0), side="left").cast(pl.Int64)


def chile_date(hour: pl.Expr) -> pl.Expr:
    """Calendar day in Chile of an instant."""
    return hour.dt.convert_time_zone("America/Santiago").dt.date()


def whole_days(spans: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """Spans widened to whole days in Chile, in order, with those that touch made one."""
    merged: list[tuple[datetime, datetime]] = []
    for first, last in sorted(spans):
        start, end = (day_start(hour.astimezone(CHILE).date() + days * _DAY) for hour, days in ((first, 0), (last, 1)))
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def usable_hours(loaded: pl.DataFrame, rules: EventRules) -> pl.DataFrame:
    """Hours that make aggregated events: aggregated ones of days without any detailed hour.

    Args:
        loaded: `hora` and `forma` of loaded hours; whole Chile days of them.
        rules: For `max_gap_hours`.

    Returns:
        By hour: `hora`, `indice` (source hours), `orden` (rank among usable hours) and `racha`, which grows by one
        wherever more than `max_gap_hours` hours without data lie before the hour. Hours of detailed days count as such.
    """
    if not (loaded["forma"] == Shape.AGGREGATED.value).any():
        return pl.DataFrame(schema=USABLE_SCHEMA)
    days = loaded.with_columns(dia=chile_date(pl.col("hora")))
    detailed = days.filter(pl.col("forma") == Shape.DETAILED.value).select("dia").unique()
    usable = days.filter(pl.col("forma") == Shape.AGGREGATED.value).join(detailed, on="dia", how="anti").sort("hora")
    index = source_index(usable["hora"]).alias("indice")
    return (
        usable.select("hora")
        .with_columns(index)
        .with_columns(
            orden=pl.int_range(pl.len(), dtype=pl.Int64),
            racha=(pl.col("indice").diff() - 1 > rules.max_gap_hours).fill_null(value=False).cum_sum().cast(pl.Int64),
        )
    )
