"""Which events a month's stretches can touch, and what of `fact_interrupciones` follows from them.

Detailed: the keys whose stretches changed. Aggregated: the month's stretches with everything in earlier and later
months that can belong to the same events, found by going from month to month for as long as a stretch lies within
reach of the border. So the cost follows the month and its neighbours, never the length of the history.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl

from sec_core.hours import CHILE, HOUR, Month, day_start
from sec_core.silver.columns import HORA
from sec_core.silver.events import ENDS, ENDS_SCHEMA, EVENT_SCHEMA, derive_events, identities, with_ends
from sec_core.silver.stretches import KEY, STRETCH_SCHEMA, StretchChanges, month_stretches, rows_only_in
from sec_core.silver.tables import History, SilverTables
from sec_core.silver.timeline import EventRules, chile_date, usable_hours, whole_days
from sec_core.source.shapes import Shape

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


@dataclass(frozen=True, slots=True)
class WrittenMonth:
    """What is the month's own, written and not yet committed.

    `newest` and `newest_before` are the newest of its hours now and before. `covered`: the hours that make aggregated
    events changed. `changed`: first and last hour that was loaded, taken out or got another form, if any. `detached`:
    its observations are in a partition that is still to be attached.
    """

    month: Month
    newest: datetime | None
    newest_before: datetime | None
    changes: StretchChanges
    covered: bool
    changed: tuple[datetime, datetime] | None
    detached: bool


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


def update_events(tables: SilverTables, written: WrittenMonth, history: History, rules: EventRules) -> EventChanges:
    """Bring events up to date with a month that was just written, inside the same transaction.

    `history` was asked for under the lock on events, which is held; other rules than before derive all aggregated
    events again, under all months' lock.
    """
    if written.detached:
        tables.attach(written.month)
    newest, newest_before = (
        max(filter(None, (history.newest_elsewhere, own)), default=None)
        for own in (written.newest, written.newest_before)
    )
    context = EventContext(rules, newest, newest_before, tables.universe())
    changes = _follow(tables, written, context)
    months = changes.months
    if history.rules != rules:
        tables.write_rules(rules)
        if history.rules is not None:
            months |= _rederive_aggregated(tables, context).months
    tables.refresh_caps(months)
    return changes


def _follow(tables: SilverTables, written: WrittenMonth, context: EventContext) -> EventChanges:
    """Write what became of the month's stretches, and derive the events again that these can touch."""
    month, changes = written.month, written.changes
    outages = changes.keys.drop_nulls("fecha_inicio")
    elsewhere = tables.detailed_elsewhere(outages, month.first_day)
    states = [pl.concat([state.join(outages, on=KEY, how="semi"), elsewhere]) for state in changes.states]
    if written.covered or outages.height < changes.keys.height:
        around = _around(tables, month, context.reach)
        runs = (state.filter(pl.col("fecha_inicio").is_null()) for state in changes.states)
        states = [pl.concat([rows, run, around]) for rows, run in zip(states, runs, strict=True)]
    before, after = states
    # Every event begins with a stretch: what none began before is new.
    old = tables.events(identities(before.drop_nulls("primera_hora"))["hash_id"].unique())
    loaded = _coverage(tables, after, context)
    with tables.replacing_stretches(month.first_day, changes):
        derived = derive_events(after, loaded, context.rules, context.newest, context.universe)
    return _replace(tables, old, derived, context, written.changed)


def _rederive_aggregated(tables: SilverTables, context: EventContext) -> EventChanges:
    """Derive every aggregated event of the history again, by other rules than before."""
    for month in tables.months_loaded(Shape.AGGREGATED):
        usable = usable_hours(tables.loaded(month.start, month.end), context.rules)
        rows = month_stretches(tables.observations(month), usable, context.rules, month.first_day)
        changes = StretchChanges.between(tables.stretches(month.first_day), rows)
        with tables.replacing_stretches(month.first_day, changes):
            pass
    rows = tables.query("select {columns} from tramos where forma = 'aggregated'", STRETCH_SCHEMA)
    old = tables.query("select {columns} from fact_interrupciones where forma = 'aggregated'", EVENT_SCHEMA)
    loaded = _coverage(tables, rows, context)
    derived = derive_events(rows, loaded, context.rules, context.newest, context.universe)
    return _replace(tables, old, derived, context, None)


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
    parts = [pl.DataFrame(schema=STRETCH_SCHEMA)]
    for step in (-1, 1):
        # From which hour the reach counts: of a comuna whose stretch may go on, and of all others (None).
        frontier: dict[int | None, datetime] = {None: month.start if step < 0 else month.end}
        other = month.shift(step)
        while frontier:
            rows = _within(tables, other, frontier, reach, step)
            parts.append(rows)
            frontier = _beyond(rows, frontier, other, reach, step)
            other = other.shift(step)
    return pl.concat(parts)


def _within(
    tables: SilverTables, other: Month, frontier: dict[int | None, datetime], reach: timedelta, step: int
) -> pl.DataFrame:
    """All stretches in a month of the comunas that have one within reach of the frontier: it may reach the others."""
    rows = tables.aggregated_near(
        other.first_day,
        [] if None in frontier else sorted(comuna for comuna in frontier if comuna is not None),
        since=min(frontier.values()) - reach if step < 0 else other.start,
        until=max(frontier.values()) + reach if step > 0 else other.end,
    )
    own = pl.DataFrame(list(frontier.items()), schema={"id_geografia": pl.Int16, "desde": HORA}, orient="row")
    start = pl.col("desde").fill_null(pl.lit(frontier.get(None), HORA))
    near = pl.col("ultima_hora") >= start - reach if step < 0 else pl.col("primera_hora") <= start + reach
    kept = pl.col("primera_hora").is_null() | near.any().over("id_geografia")
    return rows.join(own, on="id_geografia", how="left").filter(kept).drop("desde")


def _beyond(
    rows: pl.DataFrame, frontier: dict[int | None, datetime], other: Month, reach: timedelta, step: int
) -> dict[int | None, datetime]:
    """The frontier after a month: what still reaches over its far border."""
    outermost = pl.col("primera_hora").min() if step < 0 else pl.col("ultima_hora").max()
    reached = rows.drop_nulls("primera_hora").group_by("id_geografia").agg(hora=outermost)
    return {
        comuna: hour
        for comuna, hour in (frontier | dict(reached.iter_rows())).items()
        if (hour - reach < other.start if step < 0 else hour + reach > other.end)
    }


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
