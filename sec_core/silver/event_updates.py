"""Which events a month's stretches can touch, and what of `fact_interrupciones` follows from them.

Detailed: the keys whose stretches changed. Aggregated: the month's stretches with everything in earlier and later
months that can belong to the same events, found by going from month to month for as long as a stretch lies within
reach of the border. So the cost follows the month and its neighbours, never the length of the history.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from sec_core.hours import CHILE, HOUR, Month, day_start
from sec_core.silver import aggregated, detailed
from sec_core.silver.censoring import with_censoring
from sec_core.silver.columns import HORA
from sec_core.silver.events import EVENT_SCHEMA, finish, identities, no_events
from sec_core.silver.stretches import KEY, StretchChanges, no_stretches, rows_only_in
from sec_core.silver.timeline import EventRules, chile_date, usable_hours
from sec_core.source.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sec_core.silver.tables import SilverTables

_SLACK = timedelta(days=2)
"""Above the reach, which is counted in source hours: April's repeated hours and whole days of coverage fit into it."""


@dataclass(frozen=True, slots=True)
class EventChanges:
    """How many events are new, changed and removed.

    `months` are the first days of the months of `inicio` in which there are now more or fewer events, or capped ones.
    """

    new: int
    changed: int
    removed: int
    months: frozenset[date]


NOTHING: Final = EventChanges(0, 0, 0, frozenset())


@dataclass(frozen=True, slots=True)
class EventContext:
    """What events depend on besides stretches.

    `newest` is the newest loaded hour of the whole history, `newest_before` that before this load; `universe` has the
    customers by region and month.
    """

    rules: EventRules
    newest: datetime | None
    newest_before: datetime | None
    universe: pl.DataFrame

    @property
    def reach(self) -> timedelta:
        """The rules' reach as a span of time, a little wider."""
        return self.rules.reach * HOUR + _SLACK


def update_events(
    tables: SilverTables, month: Month, changes: StretchChanges, context: EventContext, *, covered: bool
) -> EventChanges:
    """Bring the events that a month's stretches can touch up to date.

    Args:
        tables: The tables, with the month's new loads and stretches written, and the lock on events held.
        month: The month.
        changes: What became of its stretches.
        context: Rules, newest hour, customers.
        covered: Whether the month's loaded hours or their shapes changed.
    """
    outages = changes.of_shape(Shape.DETAILED)
    keys = pl.concat([outages.gone, outages.made]).select(KEY).unique()
    elsewhere = tables.detailed_elsewhere(keys, month.first_day) if keys.height else no_stretches()
    touched, derived = _detailed(outages, keys, elsewhere, context)
    runs = changes.of_shape(Shape.AGGREGATED)
    if covered or runs.gone.height or runs.made.height:
        around = _around(tables, month, context.reach)
        touched = pl.concat([touched, _first_hits(pl.concat([runs.before, around]))])
        derived = pl.concat([derived, _aggregated(tables, pl.concat([runs.after, around]), context)])
    # Every event begins with a stretch: what none began before is new.
    done = _replace(tables, tables.events(touched["hash_id"].unique()), derived)
    reopened = reopen(tables, context)
    return EventChanges(done.new, done.changed + reopened, done.removed, done.months)


def rederive_aggregated(tables: SilverTables, context: EventContext) -> EventChanges:
    """Derive every aggregated event of the history again, from all its stretches."""
    rows = tables.all_aggregated()
    old = tables.query("select {columns} from fact_interrupciones where forma = 'aggregated'", EVENT_SCHEMA)
    derived = _aggregated(tables, rows, context)
    return _replace(tables, old, derived)


def reopen(tables: SilverTables, context: EventContext) -> int:
    """Open and close events near the newest loaded hour, or near the one before; returns how many changed.

    An open event has its last hour within reach of the hour that was the newest when it was derived. (Looking for all
    that have no end takes longer with every month: closed ones stay in that index until it is cleaned.)
    """
    if context.newest is None:
        return 0
    now, before = context.newest, context.newest_before or context.newest
    events = tables.events_ending((now - context.reach, now), (before - context.reach, before))
    wrong = events.filter(pl.col("fin").is_null() != _is_open(tables, events, context))
    tables.toggle_end(wrong["hash_id"])
    return wrong.height


def _detailed(
    changes: StretchChanges, keys: pl.DataFrame, elsewhere: pl.DataFrame, context: EventContext
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Identities of the events that exist for the keys whose stretches changed, and these keys' events now."""
    if keys.is_empty():
        return _first_hits(no_stretches()), no_events()
    before, here = (frame.join(keys, on=KEY, how="semi") for frame in (changes.before, changes.after))
    merged = detailed.events(pl.concat([here, elsewhere]))
    is_open = merged.select(_in_newest(context)).to_series()
    return _first_hits(pl.concat([before, elsewhere])), finish(merged, is_open, context.universe)


def _first_hits(rows: pl.DataFrame) -> pl.DataFrame:
    """Identities that events would have if each of these stretches were the first of one."""
    if rows.is_empty():
        return pl.DataFrame(schema={"hash_id": pl.Binary})
    return identities(rows.filter(pl.col("primera_hora").is_not_null())).select("hash_id")


def _around(tables: SilverTables, month: Month, reach: timedelta) -> pl.DataFrame:
    """Aggregated stretches outside the month that can belong to events that touch it, with their whole events."""
    parts = [no_stretches()]
    for step in (-1, 1):
        frontier = _Frontier(month.start if step < 0 else month.end, {})
        other = month.shift(step)
        while frontier.reaches:
            rows = _within(tables, other, frontier, reach, step)
            parts.append(rows)
            frontier = _beyond(rows, frontier, other, reach, step)
            other = other.shift(step)
    return pl.concat(parts)


@dataclass(frozen=True, slots=True)
class _Frontier:
    """From which hour the reach counts: `own` for comunas whose stretch may go on, `border` (if any) for all others."""

    border: datetime | None
    own: dict[int, datetime]

    @property
    def reaches(self) -> bool:
        return self.border is not None or bool(self.own)


def _within(tables: SilverTables, other: Month, frontier: _Frontier, reach: timedelta, step: int) -> pl.DataFrame:
    """Stretches of a month within reach of the frontier."""
    hours = list(frontier.own.values()) + ([] if frontier.border is None else [frontier.border])
    rows = tables.aggregated_near(
        other.first_day,
        [] if frontier.border is not None else sorted(frontier.own),
        since=min(hours) - reach if step < 0 else other.start,
        until=max(hours) + reach if step > 0 else other.end,
    )
    own = pl.DataFrame(list(frontier.own.items()), schema={"id_geografia": pl.Int16, "desde": HORA}, orient="row")
    start = pl.col("desde").fill_null(pl.lit(frontier.border, HORA))
    near = pl.col("ultima_hora") >= start - reach if step < 0 else pl.col("primera_hora") <= start + reach
    return rows.join(own, on="id_geografia", how="left").filter(pl.col("primera_hora").is_null() | near).drop("desde")


def _beyond(rows: pl.DataFrame, frontier: _Frontier, other: Month, reach: timedelta, step: int) -> _Frontier:
    """The frontier after a month: what still reaches over its far border."""
    outermost = pl.col("primera_hora").min() if step < 0 else pl.col("ultima_hora").max()
    reached = rows.drop_nulls("primera_hora").group_by("id_geografia").agg(hora=outermost)
    own = frontier.own | dict(reached.iter_rows())

    def crosses(hour: datetime) -> bool:
        return hour - reach < other.start if step < 0 else hour + reach > other.end

    border = frontier.border if frontier.border is not None and crosses(frontier.border) else None
    return _Frontier(border, {comuna: hour for comuna, hour in own.items() if crosses(hour)})


def _aggregated(tables: SilverTables, rows: pl.DataFrame, context: EventContext) -> pl.DataFrame:
    if rows.is_empty():
        return no_events()
    months = [Month(day.year, day.month) for day in rows["mes"].unique()]
    borders = {month.start for month in months} | {month.end for month in months}
    usable = _usable(tables, [(border - context.reach, border + context.reach) for border in borders], context)
    merged = aggregated.events(rows, usable, context.rules)
    return finish(merged, _is_open(tables, merged, context), context.universe)


def _is_open(tables: SilverTables, events: pl.DataFrame, context: EventContext) -> pl.Series:
    """Which events are open, by the rule of their shape."""
    if context.newest is None:
        return pl.repeat(value=False, n=events.height, dtype=pl.Boolean, eager=True)
    in_newest = _in_newest(context)
    if (events["forma"] == Shape.DETAILED.value).all():
        return events.select(in_newest).to_series()
    near = [(context.newest - context.reach, context.newest + HOUR)]
    usable = _usable(tables, near, context)
    by_run = aggregated.is_open(events["ultima_hora"], usable, context.rules, context.newest)
    return events.select(pl.when(pl.col("forma") == Shape.DETAILED.value).then(in_newest).otherwise(by_run)).to_series()


def _in_newest(context: EventContext) -> pl.Expr:
    """Whether the last hour is the newest of all: of none when the last loaded hour was taken out."""
    return pl.col("ultima_hora").eq_missing(pl.lit(context.newest, HORA))


def _usable(tables: SilverTables, spans: Iterable[tuple[datetime, datetime]], context: EventContext) -> pl.DataFrame:
    return usable_hours(tables.coverage(whole_days(spans)), context.rules)


def whole_days(spans: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """Spans widened to whole days in Chile, in order, with those that touch made one."""
    merged: list[tuple[datetime, datetime]] = []
    for first, last in sorted(spans):
        start = day_start(_chile_day(first))
        end = day_start(_chile_day(last) + timedelta(days=1))
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _chile_day(hour: datetime) -> date:
    return hour.astimezone(CHILE).date()


def update_censoring(tables: SilverTables, first: datetime, last: datetime) -> int:
    """Bring `censurado` and `horas_sin_datos` up to date where hours were loaded or taken out.

    Args:
        tables: The tables, with the lock on events held.
        first: First of these hours.
        last: Last of these hours.

    Returns:
        How many events changed.
    """
    held = tables.events_near(day_start(_chile_day(first)) - 2 * HOUR, last + 26 * HOUR)
    columns = ["hash_id", "censurado", "horas_sin_datos"]
    current = _censored(tables, held.drop(columns[1:])).select(columns)
    wrong = rows_only_in(current, held.select(columns))
    tables.update_events(wrong)
    return wrong.height


def _censored(tables: SilverTables, events: pl.DataFrame) -> pl.DataFrame:
    if events.is_empty():
        span: list[tuple[datetime, datetime]] = []
    else:
        first, last = events.select(pl.col("primera_hora").min(), pl.col("ultima_hora").max()).row(0)
        span = whole_days([(first - 2 * HOUR, last + 2 * HOUR)])
    return with_censoring(events, tables.coverage(span))


def _replace(tables: SilverTables, old: pl.DataFrame, derived: pl.DataFrame) -> EventChanges:
    """Write what differs, leave the rest alone."""
    new = _censored(tables, derived)
    stale, fresh = rows_only_in(old, new), rows_only_in(new, old)
    tables.delete_events(stale["hash_id"])
    if fresh.height:
        tables.insert_events(fresh)
    changed = fresh.join(stale, on="hash_id", how="semi").height
    return EventChanges(
        fresh.height - changed, changed, stale.height - changed, _months_counted_otherwise(stale, fresh)
    )


def _months_counted_otherwise(stale: pl.DataFrame, fresh: pl.DataFrame) -> frozenset[date]:
    """Months of `inicio` whose number of events, or of capped ones, differs: not those of outages that just go on."""
    sign = pl.lit(1, pl.Int32)
    counts = (
        pl.concat([fresh.select("inicio", "topado", n=sign), stale.select("inicio", "topado", n=-sign)])
        .group_by(mes=chile_date(pl.col("inicio")).dt.month_start())
        .agg(events=pl.col("n").sum(), capped=(pl.col("n") * pl.col("topado")).sum())
    )
    return frozenset(counts.filter((pl.col("events") != 0) | (pl.col("capped") != 0))["mes"])
