"""What the pipeline must find out of a simulated world, computed from the world itself by plain loops.

Nothing here is shared with the pipeline's rules: what both say alike is right, or wrong in two independent ways.
Places are official codes (`""` for UNKNOWN), companies canonical names.
"""

from __future__ import annotations

import hashlib
import uuid
from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import astuple, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sec_core.hours import CHILE, HOUR, day_start, is_source_hour
from sec_core.simulator.answers import WorldAnswers
from sec_core.simulator.calendar import chile_date, hour_index
from sec_core.simulator.world import BAD_COMPANY, BAD_COUNT, BAD_DATE
from sec_core.source.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import date, datetime

    from sec_core.db.database import Database
    from sec_core.simulator.server import Simulator
    from sec_core.simulator.world import Row, World

UNKNOWN = "UNKNOWN"
NOT_REPORTED = "NO INFORMADA"

Group = tuple[str, str, "date | None"]


@dataclass(frozen=True, slots=True)
class Listed:
    """What one hour says of one group of rows."""

    customers: int  # sum; invalid counts are 0
    rows: int
    bad_counts: int = 0  # rows whose count is invalid
    bad_dates: int = 0  # rows whose start date is


@dataclass(frozen=True, slots=True)
class TrueEvent:
    """An event as it must come out, before the cap at the region's customers; instants in UTC."""

    shape: Shape
    comuna: str  # "" for UNKNOWN
    company: str  # NO INFORMADA in the aggregated shape
    begins: datetime  # first instant of the start date in Chile (detailed), or the first hour (aggregated)
    ends: datetime | None  # the hour after the last one; None while open
    peak: int
    peak_hour: datetime  # the first that reached it
    first_hour: datetime
    last_hour: datetime  # aggregated: at or above the threshold
    customer_hours: int  # over the captured hours from the first to the last
    hours_listed: int  # how many of these list it

    @property
    def identity(self) -> str:
        """The text whose MD5 is the event's `hash_id`."""
        form = "%Y%m%d" if self.shape is Shape.DETAILED else "%Y%m%dT%H"
        return f"{self.comuna}|{self.company}|{self.begins.astimezone(CHILE):{form}}"


class Truth:
    """Truth about a world, given which hours are captured.

    Args:
        world: The world.
        revision_of: Revision of an hour that counts; by default the one at its closing.
        shape_of: Shape in which an hour was captured; by default detailed.
    """

    def __init__(
        self,
        world: World,
        *,
        revision_of: Callable[[datetime], int] = lambda _hour: 0,
        shape_of: Callable[[datetime], Shape] = lambda _hour: Shape.DETAILED,
    ) -> None:
        self.world = world
        self._revision_of = revision_of
        self._shape_of = shape_of
        self._codes = [place.code for place in world.places]

    def hours_with_data(self, hours: Iterable[datetime]) -> list[datetime]:
        """Those of `hours` for which the source has data, in order."""
        return sorted(hour for hour in hours if self.world.has_data(hour))

    def row_count(self, hour: datetime, shape: Shape | None = None) -> int:
        """Rows of an hour's body."""
        return sum(listed.rows for listed in self.observations(hour, shape).values())

    def national(self, hour: datetime) -> int:
        """Customers affected in an hour, blank-named rows included."""
        return sum(_customers(row) for row in self._rows(hour))

    def comuna_values(self, hour: datetime) -> dict[str, int]:
        """Customers by comuna code in an hour; `""` holds blank and unknown names."""
        values: dict[str, int] = defaultdict(int)
        for row in self._rows(hour):
            values[self._codes[row.place] if row.place >= 0 else ""] += _customers(row)
        return dict(values)

    def observations(self, hour: datetime, shape: Shape | None = None) -> dict[Group, Listed]:
        """An hour's rows by comuna code, company and start date (aggregated: `NO INFORMADA` and None).

        The shape is by default the one in which it was captured.
        """
        if (shape or self._shape_of(hour)) is Shape.AGGREGATED:
            names = len({row.place for row in self._rows(hour) if row.place < 0})
            return {
                (code, NOT_REPORTED, None): Listed(customers, 1 if code else names)
                for code, customers in self.comuna_values(hour).items()
            }
        found: dict[Group, list[int]] = {}
        today = chile_date(hour_index(hour))
        for row in self._rows(hour):
            wrong = row.wrong
            place = self._codes[row.place] if row.place >= 0 else ""
            company = UNKNOWN if wrong & BAD_COMPANY or not row.company else row.company
            sums = found.setdefault((place, company, today if wrong & BAD_DATE else row.day), [0, 0, 0, 0])
            sums[0] += 0 if wrong & BAD_COUNT else row.customers
            sums[1] += 1
            if wrong:
                sums[2] += bool(wrong & BAD_COUNT)
                sums[3] += bool(wrong & BAD_DATE)
        return {group: Listed(*sums) for group, sums in found.items()}

    def detailed_events(self, hours: Iterable[datetime], *, newest: datetime | None = None) -> list[TrueEvent]:
        """Events of the detailed shape, by identity: all that is listed under one comuna, company and start date.

        `newest` is the newest captured hour of all, by default that of `hours`.
        """
        captured = self.hours_with_data(hours)
        values: dict[Group, dict[datetime, int]] = defaultdict(dict)
        for hour in captured:
            for group, listed in self.observations(hour, Shape.DETAILED).items():
                values[group][hour] = listed.customers
        events = []
        for (comuna, company, day), by_hour in values.items():
            assert day is not None
            last = max(by_hour)
            ends = None if last == (newest or captured[-1]) else last + HOUR
            events.append(_event(Shape.DETAILED, comuna, company, day_start(day), ends, by_hour, by_hour))
        return sorted(events, key=lambda event: event.identity)

    def aggregated_events(
        self,
        hours: Iterable[datetime],
        *,
        threshold: int = 100,
        close_hours: int = 2,
        max_gap_hours: int = 6,
        newest: datetime | None = None,
    ) -> list[TrueEvent]:
        """Events of the aggregated shape, by identity: runs of a comuna's hours at or above a threshold.

        A run ends with `close_hours` captured hours below it in a row, or more than `max_gap_hours` without data.
        `newest` is the newest captured hour of all, detailed ones included, by default that of `hours`.
        """
        captured = self.hours_with_data(hours)
        values = {hour: self.comuna_values(hour) for hour in captured}
        reached = sorted({code for listed in values.values() for code, n in listed.items() if n >= threshold})
        events = []
        for code in reached:
            line = [(hour, values[hour].get(code, 0)) for hour in captured]
            after = newest or captured[-1]
            for first, last, closed in _runs(line, threshold, close_hours, max_gap_hours, after):
                inside = captured[bisect_left(captured, first) : bisect_right(captured, last)]
                by_hour = {hour: values[hour].get(code, 0) for hour in inside}
                listing = [hour for hour in inside if code in values[hour]]
                ends = last + HOUR if closed else None
                events.append(_event(Shape.AGGREGATED, code, NOT_REPORTED, first, ends, by_hour, listing))
        return sorted(events, key=lambda event: event.identity)

    def events(self, hours: Iterable[datetime], **rules: int) -> list[TrueEvent]:
        """Events of all captured hours, each in the shape in which it was captured; `rules` as above.

        A Chile day with any detailed hour is a detailed day: its aggregated hours count as hours without data.
        """
        captured = self.hours_with_data(hours)
        detailed = [hour for hour in captured if self._shape_of(hour) is Shape.DETAILED]
        detailed_days = {hour.astimezone(CHILE).date() for hour in detailed}
        others = [hour for hour in captured if hour.astimezone(CHILE).date() not in detailed_days]
        events = self.detailed_events(detailed, newest=captured[-1]) if detailed else []
        if others:
            events += self.aggregated_events(others, newest=captured[-1], **rules)
        return sorted(events, key=lambda event: event.identity)

    def _rows(self, hour: datetime) -> list[Row]:
        return self.world.rows(hour, self._revision_of(hour))


def truth_of(source: Simulator) -> Truth:
    """Truth about a running world: of each hour the revision and shape as it was last answered, or would be first."""
    answers = source.app.answers
    assert isinstance(answers, WorldAnswers)
    answered = {}
    for request in sorted(source.requests, key=lambda item: item.ended or 0):
        if request.sound and request.revision is not None:
            answered[request.hour] = (request.revision, request.shape)
    return Truth(
        answers.world,
        revision_of=lambda hour: answered.get(hour, (0, None))[0],
        shape_of=lambda hour: answered.get(hour, (0, None))[1] or answers.shape_of(hour, source.now()),
    )


def assert_loaded(database: Database, events: Iterable[TrueEvent]) -> None:
    """Silver holds exactly these events, to the hour and the customer."""
    columns = (
        "hash_id, forma, codigo_comuna, nombre_empresa, inicio, fin, clientes_afectados_crudo, hora_maximo, "
        "primera_hora, ultima_hora, cliente_horas, n_observaciones"
    )
    with database.engine.connect() as connection:
        found = connection.exec_driver_sql(f"select {columns} from v_interrupciones").all()
    expected = {
        (uuid.UUID(bytes=hashlib.md5(event.identity.encode(), usedforsecurity=False).digest()), *astuple(event))
        for event in events
    }
    assert {tuple(row) for row in found} == expected
    assert len(found) == len(expected) > 20


def _customers(row: Row) -> int:
    return 0 if row.wrong & BAD_COUNT else row.customers


def _event(
    shape: Shape,
    comuna: str,
    company: str,
    begins: datetime,
    ends: datetime | None,
    by_hour: dict[datetime, int],
    listing: Iterable[datetime],
) -> TrueEvent:
    peak = max(by_hour.values())
    return TrueEvent(
        shape=shape,
        comuna=comuna,
        company=company,
        begins=begins,
        ends=ends,
        peak=peak,
        peak_hour=min(hour for hour, n in by_hour.items() if n == peak),
        first_hour=min(by_hour),
        last_hour=max(by_hour),
        customer_hours=sum(by_hour.values()),
        hours_listed=len(list(listing)),
    )


def _runs(
    line: list[tuple[datetime, int]], threshold: int, close_hours: int, max_gap_hours: int, newest: datetime
) -> list[tuple[datetime, datetime, bool]]:
    """First hour, last hour at or above the threshold, and whether it is closed, of each run of a comuna."""
    runs: list[tuple[datetime, datetime, bool]] = []
    first: datetime | None = None
    last = previous = line[0][0]
    below = 0
    for hour, customers in line:
        if first is not None and _source_hours_between(previous, hour) > max_gap_hours:
            runs.append((first, last, True))
            first = None
        if customers >= threshold:
            first = hour if first is None else first
            last, below = hour, 0
        elif first is not None:
            below += 1
            if below == close_hours:
                runs.append((first, last, True))
                first = None
        previous = hour
    if first is not None:
        # Hours after the last usable one exist only where later days are detailed; the newest is one of them.
        runs.append((first, last, _source_hours_between(previous, newest + HOUR) > max_gap_hours))
    return runs


def _source_hours_between(earlier: datetime, later: datetime) -> int:
    """Hours that the source can have strictly between two hours."""
    count = 0
    at = earlier + timedelta(hours=1)
    while at < later:
        count += is_source_hour(at)
        at += timedelta(hours=1)
    return count
