"""Months, days and hours as the source counts them.

The SEC speaks Chile wall clock (America/Santiago) for the whole country and names an hour by year, month, day
and hour. At the April change the repeated hour (23h) exists once and is its first occurrence; at the September
change the missing hour (00h) does not exist. All instants here are timezone-aware UTC and are the beginning of
their hour. Source of the rules: the SEC's own behaviour, see docs/source.md.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Self

from sec_core import clock
from sec_core.errors import InputError

CHILE = clock.CHILE
HOUR = timedelta(hours=1)


@dataclass(frozen=True, order=True, slots=True)
class Month:
    """A calendar month in Chile, ordered by time."""

    year: int
    month: int

    def __post_init__(self) -> None:
        if not (1 <= self.month <= 12 and 2000 <= self.year <= 2999):
            raise InputError(f"{self.year:04d}-{self.month:02d} is not a month.", next_step="Write it as YYYY-MM.")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `YYYY-MM` or `YYYY-M`; raises InputError for another form, or no month."""
        found = re.fullmatch(r"([0-9]{4})-([0-9]{1,2})", text.strip())
        if found is None:
            raise InputError(f"{text!r} is not a month.", next_step="Write it as YYYY-MM, for example 2024-08.")
        return cls(int(found[1]), int(found[2]))

    @classmethod
    def of(cls, instant: datetime) -> Self:
        """Month in Chile of an aware instant."""
        wall = instant.astimezone(CHILE)
        return cls(wall.year, wall.month)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"

    @property
    def first_day(self) -> date:
        """First day of the month."""
        return date(self.year, self.month, 1)

    def shift(self, months: int) -> Self:
        """Month that lies `months` later (earlier when negative)."""
        index = self.year * 12 + self.month - 1 + months
        return type(self)(index // 12, index % 12 + 1)

    def days(self) -> list[date]:
        """All days of the month, in order."""
        count = (self.shift(1).first_day - self.first_day).days
        return [self.first_day + timedelta(days=i) for i in range(count)]

    def hours(self) -> list[datetime]:
        """All hours that the source can have in this month, as UTC instants in order."""
        return [hour for day in self.days() for hour in hours_of_day(day)]

    @property
    def start(self) -> datetime:
        """First instant of the month in Chile, UTC."""
        return day_start(self.first_day)

    @property
    def end(self) -> datetime:
        """First instant after the month in Chile, UTC."""
        return self.shift(1).start


# The source has nothing older.
FIRST_MONTH = Month(2017, 1)


def past_or_present(month: Month, now: datetime) -> Month:
    """A month for which the source can have data; raises InputError before its first month, or before it began."""
    if month < FIRST_MONTH:
        raise InputError(f"The source has nothing before {FIRST_MONTH}.", next_step="Name a later month.")
    if month > Month.of(now):
        raise InputError(f"{month} has not begun.", next_step="Name an earlier month.")
    return month


def month_range(first: Month, last: Month) -> list[Month]:
    """All months from `first` to `last`, both included; raises InputError where `last` lies before `first`."""
    if last < first:
        raise InputError(f"The range from {first} to {last} is empty.", next_step="Give the earlier month first.")
    count = (last.year - first.year) * 12 + last.month - first.month
    return [first.shift(i) for i in range(count + 1)]


def from_wall(day: date, hour: int) -> datetime | None:
    """UTC instant of a wall-clock hour in Chile: the first of a repeated hour, None for one that September skips."""
    wall = datetime(day.year, day.month, day.day, hour, tzinfo=CHILE, fold=0)
    instant = wall.astimezone(UTC)
    back = instant.astimezone(CHILE)
    return instant if (back.date(), back.hour) == (day, hour) else None


@lru_cache(maxsize=8192)
def hours_of_day(day: date) -> tuple[datetime, ...]:
    """Hours that the source can have on a day, as UTC instants in order: 24, or 23 in September."""
    instants = (from_wall(day, hour) for hour in range(24))
    return tuple(instant for instant in instants if instant is not None)


@lru_cache(maxsize=65536)
def day_start(day: date) -> datetime:
    """First instant of a day in Chile, as UTC. On the September change that is 01:00 on the wall."""
    instant = from_wall(day, 0)
    if instant is not None:
        return instant
    return datetime(day.year, day.month, day.day, 1, tzinfo=CHILE).astimezone(UTC)


def is_source_hour(instant: datetime) -> bool:
    """Whether the source can have this hour: a whole hour, and not the second one of a repeated pair."""
    wall = instant.astimezone(CHILE)
    return (wall.minute, wall.second, wall.microsecond) == (0, 0, 0) and wall.fold == 0


def id_tiempo(instant: datetime) -> int:
    """`YYYYMMDDHH` of the Chile wall clock, the key of `dim_tiempo`."""
    wall = instant.astimezone(CHILE)
    return ((wall.year * 100 + wall.month) * 100 + wall.day) * 100 + wall.hour


def open_hour(now: datetime) -> datetime:
    """The hour that is under way at `now`, as the UTC instant of its beginning.

    During the repeated hour of April this is the first occurrence: the source knows only that one.
    """
    wall = now.astimezone(CHILE)
    instant = from_wall(wall.date(), wall.hour)
    return instant if instant is not None else now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def closed_hours(month: Month, now: datetime) -> list[datetime]:
    """Hours of a month that have ended at `now`: those that can be asked for and expected."""
    under_way = open_hour(now)
    return [hour for hour in month.hours() if hour < under_way]
