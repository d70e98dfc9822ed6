"""Which events a month's stretches can touch, and what of `fact_interrupciones` follows from them.

Detailed: the keys whose stretches changed. Aggregated: the month's stretches with everything in earlier and later
months that can belong to the same events, found by going from month to month for as long as a stretch lies within
reach of the border. So the cost follows the month and its neighbours, never the length of the history.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import polars as pl

from sec_core.hours import CHILE, HOUR, Month, day_start
from sec_core.silver.columns import HORA
from sec_core.silver.events import ENDS, ENDS_SCHEMA, EVENT_SCHEMA, derive_events, identities, with_ends
from sec_core.silver.stretches import KEY, StretchChanges, no_stretches, rows_only_in
from sec_core.silver.tables import SilverTables
from sec_core.silver.timeline import EventRules, chile_date, whole_days

# Above the reach, which is counted in source hours: April's repeated hours and whole days of coverage fit into it.
_SLACK = timedelta(days=2)


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
    tables: SilverTables,
    month: Month,
    changes: StretchChanges,
    context: EventContext,
    *,
    covered: bool,
    changed: tuple[datetime, datetime] | None,
) -> EventChanges:
    """Write what became of a month's stretches, and bring the events that these can touch up to date.

    Args:
        tables: The tables, with the month's new loads written, and the lock on events held.
        month: The month.
        changes: What became of its stretches.
        context: Rules, newest hour, customers.
        covered: Whether the hours that make aggregated events changed.
        changed: First and last hour that was loaded, taken out or got another shape, if any.
    """
    outages = changes.keys.drop_nulls("fecha_inicio")
    elsewhere = tables.detailed_elsewhere(outages, month.first_day)
    states = [pl.concat([state.join(outages, on=KEY, how="semi"), elsewhere]) for state in changes.states]
    if covered or outages.height < changes.keys.height:
        around = _around(tables, month, context.reach)
        runs = (state.filter(pl.col("fecha_inicio").is_null()) for state in changes.states)
        states = [pl.concat([rows, run, around]) for rows, run in zip(states, runs, strict=True)]
    before, after = states
    # Every event begins with a stretch: what none began before is new.
    old = tables.events(_first_hits(before))
    loaded = _coverage(tables, after, context)
    with tables.replacing_stretches(month.first_day, changes):
        derived = derive_events(after, loaded, context.rules, context.newest, context.universe)
    return _replace(tables, old, derived, context, changed)


def rederive_aggregated(tables: SilverTables, context: EventContext) -> EventChanges:
    """Derive every aggregated event of the history again, from all its stretches."""
    rows = tables.all_aggregated()
    old = tables.query("select {columns} from fact_interrupciones where forma = 'aggregated'", EVENT_SCHEMA)
    loaded = _coverage(tables, rows, context)
    derived = derive_events(rows, loaded, context.rules, context.newest, context.universe)
    return _replace(tables, old, derived, context, None)


def _first_hits(rows: pl.DataFrame) -> pl.Series:
    """Identities that events would have if each of these stretches were the first of one."""
    return identities(rows.drop_nulls("primera_hora"))["hash_id"].unique()


def _coverage(tables: SilverTables, rows: pl.DataFrame, context: EventContext) -> pl.DataFrame:
    """`hora` and `forma` of the loaded hours that decide about events of stretches, or about the ends of events."""
    spans = []
    first, last = rows.select(pl.col("primera_hora").min(), pl.col("ultima_hora").max()).row(0)
    if first is not None and context.newest is not None:
        spans = [(first - 2 * HOUR, last + 2 * HOUR), (context.newest - context.reach, context.newest + HOUR)]
    if "mes" in rows.columns and (runs := rows.filter(pl.col("fecha_inicio").is_null())).height:
        months = [Month(day.year, day.month) for day in runs["mes"].unique()]
        borders = {border for month in months for border in (month.start, month.end)}
        spans += [(border - context.reach, border + context.reach) for border in borders]
    return tables.coverage(whole_days(spans))


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
    """All stretches in a month of the comunas that have one within reach of the frontier: it may reach the others."""
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
    kept = pl.col("primera_hora").is_null() | near.any().over("id_geografia")
    return rows.join(own, on="id_geografia", how="left").filter(kept).drop("desde")


def _beyond(rows: pl.DataFrame, frontier: _Frontier, other: Month, reach: timedelta, step: int) -> _Frontier:
    """The frontier after a month: what still reaches over its far border."""
    outermost = pl.col("primera_hora").min() if step < 0 else pl.col("ultima_hora").max()
    reached = rows.drop_nulls("primera_hora").group_by("id_geografia").agg(hora=outermost)
    own = frontier.own | dict(reached.iter_rows())

    def crosses(hour: datetime) -> bool:
        return hour - reach < other.start if step < 0 else hour + reach > other.end

    border = frontier.border if frontier.border is not None and crosses(frontier.border) else None
    return _Frontier(border, {comuna: hour for comuna, hour in own.items() if crosses(hour)})


def _replace(
    tables: SilverTables,
    old: pl.DataFrame,
    derived: pl.DataFrame,
    context: EventContext,
    changed: tuple[datetime, datetime] | None,
) -> EventChanges:
    """Write what differs, leave the rest alone, but for ends that changed hours or another newest hour touch."""
    stale, fresh = rows_only_in(old, derived), rows_only_in(derived, old)
    tables.delete_events(stale["hash_id"])
    # Those that stay are looked at before the new ones are there, which have their ends.
    held = _at_stake(tables, context, changed)
    loaded = _coverage(tables, held, context)
    with tables.inserting_events(fresh):
        ends = with_ends(held.drop(ENDS), loaded, context.rules, context.newest)
        wrong = rows_only_in(ends.select("hash_id", *ENDS), held.select("hash_id", *ENDS))
        moved = wrong.join(held, on=["hash_id", "fin"], how="anti", nulls_equal=True).height
        both = fresh.join(stale, on="hash_id", how="semi").height
        months = _months_counted_otherwise(stale, fresh)
    tables.update_events(wrong)
    return EventChanges(fresh.height - both, both + moved, stale.height - both, months)


def _at_stake(tables: SilverTables, context: EventContext, changed: tuple[datetime, datetime] | None) -> pl.DataFrame:
    """Events whose `ENDS` changed hours can touch, or another newest hour.

    An open event has its last hour within reach of the hour that was the newest when it was derived. (Looking for all
    that have no end takes longer with every month: closed ones stay in that index until it is cleaned.)
    """
    if context.newest is None:
        return pl.DataFrame(schema=ENDS_SCHEMA)
    now, before = context.newest, context.newest_before or context.newest
    first, last = changed or (now, now)
    near = (day_start(first.astimezone(CHILE).date()) - 2 * HOUR, last + 26 * HOUR)
    return tables.events_near(near, (now - context.reach, now), (before - context.reach, before))


def _months_counted_otherwise(stale: pl.DataFrame, fresh: pl.DataFrame) -> frozenset[date]:
    """Months of `inicio` whose number of events, or of capped ones, differs: not those of outages that just go on."""
    sign = pl.lit(1, pl.Int32)
    counts = (
        pl.concat([fresh.select("inicio", "topado", n=sign), stale.select("inicio", "topado", n=-sign)])
        .group_by(mes=chile_date(pl.col("inicio")).dt.month_start())
        .agg(events=pl.col("n").sum(), capped=(pl.col("n") * pl.col("topado")).sum())
    )
    return frozenset(counts.filter((pl.col("events") != 0) | (pl.col("capped") != 0))["mes"])
