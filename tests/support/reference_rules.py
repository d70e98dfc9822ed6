"""The contract's rules once more, in plain Python over lists, without tricks: what the fast code must equal."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from sec_core.hours import CHILE, HOUR, day_start, is_source_hour
from sec_core.silver.timeline import EventRules


@dataclass(frozen=True)
class Listed:
    """One observation: what an hour lists for a key, whose place and company are numbers, or codes and names."""

    geo: Any
    company: Any
    start: date | None
    customers: int
    bits: int = 0


@dataclass
class Hour:
    """The value of an hour."""

    shape: str
    rows: list[Listed] = field(default_factory=list)


@dataclass(frozen=True, order=True)
class Event:
    """An event as the contract describes it, without cap."""

    shape: str
    geo: Any
    company: Any
    start: datetime
    end: datetime | None
    first: datetime
    last: datetime
    peak_hour: datetime
    peak: int
    customer_hours: int
    listed: int
    bits: int


History = dict[datetime, Hour]


def chile_day(hour: datetime) -> date:
    return hour.astimezone(CHILE).date()


def source_hours(first: datetime, last: datetime) -> list[datetime]:
    """All hours of the source from first to last, both included."""
    return [hour for n in range((last - first) // HOUR + 1) if is_source_hour(hour := first + n * HOUR)]


def all_events(history: History, rules: EventRules) -> list[Event]:
    """Events of a whole history, in one go."""
    return sorted(detailed_events(history) + aggregated_events(history, rules))


def detailed_events(history: History) -> list[Event]:
    found: dict[tuple[Any, Any, date], list[tuple[datetime, Listed]]] = {}
    for hour in sorted(history):
        if history[hour].shape == "detailed":
            for row in history[hour].rows:
                assert row.start is not None
                found.setdefault((row.geo, row.company, row.start), []).append((hour, row))
    newest = max(history, default=None)
    return [
        _event("detailed", key[0], key[1], day_start(key[2]), seen, is_open=seen[-1][0] == newest)
        for key, seen in found.items()
    ]


def aggregated_events(history: History, rules: EventRules) -> list[Event]:
    if not history:
        return []
    detailed_days = {chile_day(hour) for hour, value in history.items() if value.shape == "detailed"}
    line = source_hours(min(history), max(history))
    usable = {hour for hour in history if chile_day(hour) not in detailed_days}
    places = {row.geo for hour in usable for row in history[hour].rows}
    return [event for geo in places for event in _walk(geo, line, usable, history, rules)]


def _walk(geo: object, line: list[datetime], usable: set[datetime], history: History, rules: EventRules) -> list[Event]:
    """Go through all hours of one comuna, one after the other, as a person would."""
    events = []
    run: list[tuple[datetime, Listed]] = []
    hits: list[datetime] = []
    below = without_data = 0
    for hour in line:
        if hour not in usable:
            without_data += 1
            if hits and without_data > rules.max_gap_hours:
                events.append(_run_event(geo, run, hits, is_open=False))
                run, hits = [], []
            continue
        without_data = 0
        row = next((row for row in history[hour].rows if row.geo == geo), None)
        value = row.customers if row is not None else 0
        if value >= rules.threshold:
            below = 0
            hits.append(hour)
        elif hits:
            below += 1
            if below >= rules.close_hours:
                events.append(_run_event(geo, run, hits, is_open=False))
                run, hits = [], []
        if hits and row is not None:
            run.append((hour, row))
    if hits:
        events.append(_run_event(geo, run, hits, is_open=True))
    return events


def _run_event(geo: object, run: list[tuple[datetime, Listed]], hits: list[datetime], *, is_open: bool) -> Event:
    seen = [(hour, row) for hour, row in run if hits[0] <= hour <= hits[-1]]
    return _event("aggregated", geo, 1, hits[0], seen, is_open=is_open)


def _event(
    shape: str, geo: object, company: object, start: datetime, seen: list[tuple[datetime, Listed]], *, is_open: bool
) -> Event:
    peak = max(row.customers for _, row in seen)
    last = seen[-1][0]
    return Event(
        shape=shape,
        geo=geo,
        company=company,
        start=start,
        end=None if is_open else last + timedelta(hours=1),
        first=seen[0][0],
        last=last,
        peak_hour=next(hour for hour, row in seen if row.customers == peak),
        peak=peak,
        customer_hours=sum(row.customers for _, row in seen),
        listed=len(seen),
        bits=reduce(or_, (row.bits for _, row in seen)),
    )


def utc(year: int, month: int, day: int, hour: int = 0) -> datetime:
    """An aware UTC instant."""
    return datetime(year, month, day, hour, tzinfo=UTC)
