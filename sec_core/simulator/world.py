"""A seeded national world of outages: what is listed in which hour. Pure: the same options give the same rows."""

from datetime import date, datetime
from functools import lru_cache, partial
from random import Random
from typing import NamedTuple

from sec_core.simulator import outages
from sec_core.simulator.calendar import chile_date, hour_index, parse_wall_hour
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.outages import LONGEST_HOURS, Course

BLANK = -1
UNKNOWN_PLACE = -2
# What is wrong with a row, as bits.
BAD_COUNT, BAD_COMPANY, BAD_DATE = 1, 2, 4


class Row(NamedTuple):
    """A detailed row before it is spelled."""

    place: int  # index into `World.places`, `BLANK` or `UNKNOWN_PLACE`
    company: str  # canonical name, "" for a blank one
    day: date
    customers: int  # what is published is spoilt where `wrong` says so
    wrong: int = 0  # bits


class World:
    """All outages of a simulated country; by default a national one without storms."""

    def __init__(self, options: WorldOptions | None = None) -> None:
        self.options = WorldOptions() if options is None else options
        self.places = outages.make_places(self.options.regions, self.options.max_comunas)
        self._holes = [(hour_index(parse_wall_hour(a)), hour_index(parse_wall_hour(b))) for a, b in self.options.holes]
        self._begin = hour_index(parse_wall_hour(self.options.first_hour))
        seed, rate = self.options.seed, self.options.rows_per_hour / self.options.feeders
        storms = [
            outages.storm_outages(seed, number, storm, self.places) for number, storm in enumerate(self.options.storms)
        ]
        self._storms = [(min(c.first for c in made), max(c.end for c in made), made) for made in storms if made]
        self._written = self._read_written()
        self._day = lru_cache(maxsize=48)(partial(outages.ordinary_outages, seed, rate, self.places))
        self._hour = lru_cache(maxsize=64)(self._make_rows)
        self._stale = lru_cache(maxsize=64)(partial(outages.stale_outages, seed, self.options.stale_rows, self.places))
        self._total = lru_cache(maxsize=20_000)(self._sum)

    def has_data(self, hour: datetime) -> bool:
        """Whether the source has any data for an hour (future hours are not this method's matter)."""
        if self.options.stale_rows:
            return not self._is_hole(hour_index(hour))
        return bool(self.rows(hour))

    def rows(self, hour: datetime, revision: int = 0) -> list[Row]:
        """Detailed rows of an hour, in the order in which they are published; not to be changed by the caller.

        Revision 0 is the hour as it closed, 1 and more are later corrections, -4 to -1 the quarters of an open hour.
        """
        return self._hour(hour_index(hour), revision)

    def total(self, hour: datetime, revision: int = 0) -> int:
        """Customers affected in an hour, blank-named rows included and invalid counts left out."""
        return self._total(hour, revision)

    # --- making an hour -----------------------------------------------------------------------------------------

    def _sum(self, hour: datetime, revision: int) -> int:
        return sum(row.customers for row in self.rows(hour, revision) if not row.wrong & BAD_COUNT)

    def _make_rows(self, index: int, revision: int) -> list[Row]:
        if self._is_hole(index):
            return []
        courses = list(self._written.get(index, ()))
        courses.extend(Row(c.place, c.company, c.day, c.customers(index)) for c in self._courses(index))
        rng = Random(f"hour {self.options.seed} {index}")  # noqa: S311 - a simulation, not a secret
        if rng.random() < self.options.blank_share:
            courses.append(Row(BLANK, rng.choice(("CGE", "SAESA", "")), chile_date(index), rng.randint(1, 9)))
        if self.options.feeders > 1:
            courses = [part for row in courses for part in _by_feeder(row, self.options.feeders)]
        rng.shuffle(courses)
        rows = self._spoil(courses, rng)
        return self._revise(rows, index, revision) if revision else rows

    def _is_hole(self, index: int) -> bool:
        return index < self._begin or any(first <= index <= last for first, last in self._holes)

    def _courses(self, index: int) -> list[Course]:
        found: list[Course] = []
        if self.options.rows_per_hour > 0:
            for day in range((index - LONGEST_HOURS - 1) // 24, index // 24 + 1):
                found.extend(self._day(day).get(index, ()))
        for first, end, courses in self._storms:
            if first <= index < end:
                found.extend(course for course in courses if course.first <= index < course.end)
        if self.options.stale_rows:
            year = chile_date(index).year
            found.append(outages.endless_outage(self.places))
            for past in range(year - 5, year + 1):
                found.extend(c for c in self._stale(past) if c.first <= index < c.end)
        return found

    def _read_written(self) -> dict[int, list[Row]]:
        index_of = {place.code: i for i, place in enumerate(self.places)}
        by_hour: dict[int, list[Row]] = {}
        for outage in self.options.outages:
            place = index_of[outage.comuna] if outage.comuna else BLANK
            first = hour_index(outage.start)
            day = outage.started_on or chile_date(first)
            for step, customers in enumerate(outage.course):
                if customers is not None:
                    by_hour.setdefault(first + step, []).append(Row(place, outage.company, day, customers))
        return by_hour

    def _spoil(self, rows: list[Row], rng: Random) -> list[Row]:
        dirt = self.options.dirt
        if not (dirt.count or dirt.place or dirt.company or dirt.date):
            return rows
        spoilt = []
        for row in rows:
            shares = ((BAD_COUNT, dirt.count), (BAD_COMPANY, dirt.company), (BAD_DATE, dirt.date))
            wrong = sum(bit for bit, share in shares if rng.random() < share)
            place = UNKNOWN_PLACE if rng.random() < dirt.place and row.place >= 0 else row.place
            spoilt.append(row._replace(place=place, wrong=wrong))
        return spoilt

    def _revise(self, rows: list[Row], index: int, revision: int) -> list[Row]:
        """A few rows gone or changed, at least one of them: what a later upload did to the hour."""
        rng = Random(f"revision {self.options.seed} {index} {revision}")  # noqa: S311
        if not rows:
            return rows
        revised = [row for row in rows if rng.random() >= 0.01] or rows[:1]
        sure = rng.randrange(len(revised))
        return [
            row._replace(customers=row.customers + rng.randint(1, 5)) if at == sure or rng.random() < 0.02 else row
            for at, row in enumerate(revised)
        ]


def _by_feeder(row: Row, mean: int) -> list[Row]:
    """An outage's customers spread over the rows of its feeders, as many in every hour while it is large enough."""
    feeders = 1 + (31 * row.place + row.day.toordinal()) % (2 * mean - 1)
    count = max(1, min(feeders, row.customers))
    each, more = divmod(row.customers, count)
    return [row._replace(customers=each + (number < more)) for number in range(count)]
