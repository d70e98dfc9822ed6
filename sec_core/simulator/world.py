"""A seeded national world of outages: what is listed in which hour. Pure: the same options give the same rows.

Ordinary days, storms, rows that stay for years: a day or a storm is made only when asked for.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache, partial
from itertools import accumulate, chain, islice, zip_longest
from random import Random
from statistics import NormalDist
from typing import NamedTuple

from sec_core.simulator.country import COMUNA_COMPANIES, REGIONS, chile_date, chile_hour, hour_index, parse_wall_hour
from sec_core.simulator.options import Storm, WorldOptions

BLANK = -1
UNKNOWN_PLACE = -2
# What is wrong with a row, as bits.
BAD_COUNT, BAD_COMPANY, BAD_DATE = 1, 2, 4

LONGEST_HOURS = 96
_NORMAL = NormalDist()
_STEPS = 1000
_BY_HOUR = (
    *(0.85, 0.82, 0.8, 0.8, 0.8, 0.82, 0.86, 0.92, 1.0, 1.08, 1.14, 1.18),
    *(1.2, 1.2, 1.18, 1.16, 1.14, 1.12, 1.1, 1.08, 1.04, 1.0, 0.95, 0.9),
)


class Row(NamedTuple):
    """A detailed row before it is spelled."""

    place: int  # index into `World.places`, `BLANK` or `UNKNOWN_PLACE`
    company: str  # canonical name, "" for a blank one
    day: date
    customers: int  # what is published is spoilt where `wrong` says so
    wrong: int = 0  # bits


class Course(NamedTuple):
    """An outage: where, whose, since when, and how many customers over its hours."""

    place: int  # index into the world's places
    company: str
    day: date  # start date as published
    first: int  # index of the first hour that lists it
    end: int  # index of the hour after the last one
    peak: int  # customers at its height
    kind: int  # 0 constant, 1 falling, 2 rising for a while and then falling

    def customers(self, hour: int) -> int:
        """Customers affected in an hour that lists it, at least 1."""
        if self.kind == 0 or self.peak == 1:
            return self.peak
        length, passed = self.end - self.first, hour - self.first
        if self.kind == 1:
            return max(1, int(self.peak * (1 - passed / length) ** 1.5))
        rise = max(1, length // 5)
        if passed < rise:
            return max(1, self.peak * (passed + 1) // (rise + 1))
        return max(1, int(self.peak * (1 - (passed - rise) / (length - rise)) ** 1.2))


@dataclass(frozen=True, slots=True)
class Place:
    """A comuna of the world, with the SEC's spellings. Ordinary outages are spread by its customers."""

    code: str  # official (CUT)
    name: str
    region_code: str
    region: str
    customers: float
    companies: tuple[tuple[str, int], ...]  # with their shares

    @property
    def weights(self) -> list[float]:
        """How many of its customers each company has."""
        total = sum(share for _, share in self.companies)
        return [self.customers * share / total for _, share in self.companies]


def make_places(regions: Sequence[str] | None, max_comunas: int | None) -> list[Place]:
    """Comunas with weights that depend on nothing but their code, so that all worlds share one country."""
    chosen = [region for region in REGIONS if regions is None or region.code in regions]
    places: list[Place] = []
    for region in chosen:
        sizes = {}
        for code, _ in region.comunas:
            rng = Random(f"comuna {code}")  # noqa: S311 - a simulation, not a secret
            sizes[code] = math.exp(rng.gauss(0, 0.7)) * (5 if code[2:] in {"101", "201"} else 1)
        total = sum(sizes.values())
        for code, name in region.comunas:
            rng = Random(f"companies {code}")  # noqa: S311
            names, shares = zip(*region.companies, strict=True)
            drawn = dict.fromkeys(rng.choices(names, shares, k=3), 0)
            for company in rng.choices(list(drawn), k=20):
                drawn[company] += 1
            companies = COMUNA_COMPANIES.get(code) or tuple((company, n) for company, n in drawn.items() if n)
            customers = sizes[code] / total * region.customers
            places.append(Place(code, name, region.code, region.name, customers, companies))
    return places if max_comunas is None or max_comunas >= len(places) else _largest(places, max_comunas)


def _largest(places: list[Place], count: int) -> list[Place]:
    """The largest comunas of each region in turn, until there are `count`."""
    by_region: dict[str, list[Place]] = defaultdict(list)
    for place in sorted(places, key=lambda p: (-p.customers, p.code)):
        by_region[place.region_code].append(place)
    in_turn = chain.from_iterable(zip_longest(*by_region.values()))
    return list(islice(filter(None, in_turn), count))


def _quantiles(mean: float, sigma: float, low: int, high: int) -> list[int]:
    """A lognormal distribution as a table to draw from, rounded up and clipped."""
    points = (_NORMAL.inv_cdf((i + 0.5) / _STEPS) for i in range(_STEPS))
    return [min(max(math.ceil(math.exp(mean + sigma * point)), low), high) for point in points]


DURATIONS = _quantiles(0.75, 0.95, 1, LONGEST_HOURS)
MEAN_DURATION = sum(DURATIONS) / len(DURATIONS)
# Half of all outages are of one customer; the rest run from a handful to thousands.
SIZES = [1] * (_STEPS * 6 // 5) + _quantiles(2.4, 1.9, 1, 2_600)


def ordinary_outages(seed: int, rows_per_hour: float, places: list[Place], day: int) -> dict[int, list[Course]]:
    """The ordinary outages that begin on a day (UTC, in days since 1970), by the hours that list them."""
    rng = Random(f"day {seed} {day}")  # noqa: S311
    begun: list[Course] = []
    owners = [(index, company) for index, place in enumerate(places) for company, _ in place.companies]
    weights = list(accumulate(weight for place in places for weight in place.weights))
    busy = min(max(rng.gauss(1, 0.07), 0.85), 1.15)
    for hour in range(day * 24, day * 24 + 24):
        expected = rows_per_hour / MEAN_DURATION * (_BY_HOUR[chile_hour(hour)] * busy)
        count = max(0, round(rng.gauss(expected, math.sqrt(expected))))
        started = chile_date(hour)
        drawn = zip(
            rng.choices(owners, cum_weights=weights, k=count),
            rng.choices(DURATIONS, k=count),
            rng.choices(SIZES, k=count),
            rng.choices((0, 0, 1, 2), k=count),
            # One in ten is first listed in the hour after it began.
            rng.choices((0,) * 9 + (1,), k=count),
            strict=True,
        )
        for (place, company), length, size, kind, late in drawn:
            peak = min(size, max(1, int(places[place].customers / 4)))
            begun.append(Course(place, company, started, hour + late, hour + late + length, peak, kind))
    return by_hour(begun)


def by_hour(courses: Iterable[Course]) -> dict[int, list[Course]]:
    """Outages by the hours that list them."""
    listed: dict[int, list[Course]] = defaultdict(list)
    for course in courses:
        for hour in range(course.first, course.end):
            listed[hour].append(course)
    return listed


def storm_outages(seed: int, number: int, storm: Storm, places: list[Place]) -> list[Course]:
    """The outages of a storm, scaled so that its peak has the customers and about the rows asked for."""
    rng = Random(f"storm {seed} {number}")  # noqa: S311
    start = hour_index(storm.start)
    peak_hour = start + storm.hours_to_peak
    hit = {i: p for i, p in enumerate(places) if storm.regions.get(p.region_code)}
    if not hit:
        return []
    in_region: dict[str, float] = defaultdict(float)
    for place in hit.values():
        in_region[place.region_code] += place.customers
    known = sum(storm.regions[code] for code in in_region)
    share = {i: storm.regions[p.region_code] / known * p.customers / in_region[p.region_code] for i, p in hit.items()}
    drawn: list[Course] = []
    at_peak: dict[int, float] = defaultdict(float)
    lengths = _quantiles(3.0, 0.8, 2, 190)
    # Every comuna gets at least one outage that lasts over the peak, else its customers would have no carrier.
    carriers = [(index, True) for index in hit]
    others = rng.choices(list(hit), [share[i] for i in hit], k=max(0, round(storm.rows * 1.16) - len(hit)))
    for index, carrier in carriers + [(index, False) for index in others]:
        place = hit[index]
        company = rng.choices([c for c, _ in place.companies], [s for _, s in place.companies])[0]
        first = start + int(storm.hours_to_peak * rng.betavariate(2.2, 1.6))
        length = rng.choice(lengths)
        if carrier:
            first, length = min(first, peak_hour - 1), max(length, storm.hours_to_peak + 4)
        size = rng.lognormvariate(3.4, 1.5)
        course = Course(
            index, company, chile_date(first), first, first + length, max(1, int(size * 100)), rng.choice((1, 2))
        )
        drawn.append(course)
        if course.first <= peak_hour < course.end:
            at_peak[index] += course.customers(peak_hour) / 100
    scaled = []
    for course in drawn:
        wanted = min(storm.customers * share[course.place], places[course.place].customers * 0.9)
        scaled.append(course._replace(peak=max(1, round(course.peak / 100 * wanted / at_peak[course.place]))))
    return scaled


def stale_outages(seed: int, count: int, places: list[Place], year: int) -> list[Course]:
    """Outages of a few customers that begin in a year and stay listed for two months to four years."""
    rng = Random(f"stale {seed} {year}")  # noqa: S311
    made = []
    for _ in range(count):
        index = rng.randrange(len(places))
        company = places[index].companies[0][0]
        day = date(year, 1, 1) + timedelta(days=rng.randrange(365))
        first = (day - date(1970, 1, 1)).days * 24 + 12
        days = 60 + int(1400 * rng.random() ** 3)
        made.append(Course(index, company, day, first, first + days * 24, rng.choice((1, 1, 1, 2, 3)), 0))
    return made


def endless_outage(places: list[Place]) -> Course:
    """The row that is always there: nobody ever closed it."""
    day = date(2016, 2, 19)
    return Course(0, places[0].companies[0][0], day, 0, 1 << 40, 1, 0)


class World:
    """All outages of a simulated country; by default a national one without storms."""

    def __init__(self, options: WorldOptions | None = None) -> None:
        self.options = WorldOptions() if options is None else options
        self.places = make_places(self.options.regions, self.options.max_comunas)
        self._holes = [(hour_index(parse_wall_hour(a)), hour_index(parse_wall_hour(b))) for a, b in self.options.holes]
        self._begin = hour_index(parse_wall_hour(self.options.first_hour))
        seed, rate = self.options.seed, self.options.rows_per_hour / self.options.feeders
        storms = (storm_outages(seed, number, storm, self.places) for number, storm in enumerate(self.options.storms))
        self._storms = by_hour(chain.from_iterable(storms))
        self._written = self._read_written()
        self._day = lru_cache(maxsize=48)(partial(ordinary_outages, seed, rate, self.places))
        self._hour = lru_cache(maxsize=64)(self._make_rows)
        self._stale = lru_cache(maxsize=64)(partial(stale_outages, seed, self.options.stale_rows, self.places))
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
        found.extend(self._storms.get(index, ()))
        if self.options.stale_rows:
            year = chile_date(index).year
            found.append(endless_outage(self.places))
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
