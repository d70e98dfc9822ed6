"""What a load writes, in one transaction: first what is the month's own, then the events that follow from it.

A month's hours, observations and stretches are written under the month's lock: loads of other months do so at the same
time. Events reach over months, so they are derived under one lock, when all that they can reach is committed.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from sec_core.bronze.ledger_rules import Capture
from sec_core.hours import Month
from sec_core.silver import event_updates
from sec_core.silver.columns import conform, typed
from sec_core.silver.event_updates import NOTHING, EventChanges, EventContext
from sec_core.silver.month_stretches import keys_touched, month_stretches
from sec_core.silver.observations import LOADED_SCHEMA, Observed
from sec_core.silver.stretches import KEY, StretchChanges, as_stretches, keys_differing
from sec_core.silver.tables import History, SilverTables
from sec_core.silver.timeline import EventRules, usable_hours
from sec_core.source.shapes import Shape


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do to a month: hours to load, each with its value, and hours to take out."""

    load: dict[datetime, Capture]
    remove: list[datetime]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.load and not self.remove

    def stale(self, values: Mapping[datetime, Capture]) -> bool:
        """Whether hours have got other values since it was made."""
        return any(values.get(hour) != value for hour, value in self.load.items()) or any(
            hour in values for hour in self.remove
        )


@dataclass(frozen=True, slots=True)
class WrittenMonth:
    """What is the month's own, written and not yet committed.

    `hours` are its rows of `cargas` now, `newest_before` the newest of its hours before. `covered`: the hours that make
    aggregated events changed. `changed`: first and last hour that was loaded, taken out or got another form, if any.
    `detached`: its observations are in a partition that is still to be attached.
    """

    month: Month
    hours: pl.DataFrame
    newest_before: datetime | None
    changes: StretchChanges
    covered: bool
    changed: tuple[datetime, datetime] | None
    detached: bool


def write_month(
    tables: SilverTables, month: Month, plan: Plan, observed: Observed, history: History, rules: EventRules
) -> WrittenMonth:
    """Write what is the month's own, inside the transaction, under its lock (all months' where it is archived)."""
    # What the end of the machine takes back is loaded again: `cargas` tells.
    tables.execute("set local synchronous_commit = off")
    if history.archived:
        tables.restore_month(month)
    held = tables.loaded(month.start, month.end)
    before = tables.stretches(month.first_day)
    now = _hours_now(held, plan, observed)
    usable_before, usable = usable_hours(held, rules), usable_hours(now, rules)
    complete = now["hora"].is_in(list(plan.load)).all()
    touched = None
    if not complete and history.rules == rules:
        differing = _differing(tables, plan, observed, held, usable.join(usable_before, on="hora", how="anti"))
        touched = keys_touched(before, differing, usable_before, usable)
    tables.remove_hours([hour for hour in held["hora"] if hour in plan.load or hour in plan.remove])
    tables.append("cargas", now.filter(pl.col("hora").is_in(list(plan.load))))
    tables.append("nombres_no_resueltos", observed.unresolved)
    rows = observed.observations
    with tables.appending_observations(month, rows) if plan.load else nullcontext(enter_result=False) as detached:
        if complete:
            after = month_stretches(rows, usable, rules, month.first_day)
    if touched is not None:
        some = month_stretches(tables.observations_of(month, touched), usable, rules, month.first_day)
        after = as_stretches(pl.concat([before.join(touched, on=KEY, how="anti", nulls_equal=True), some]))
    elif not complete:
        after = month_stretches(tables.observations(month), usable, rules, month.first_day)
    tables.refresh_quality(month)
    newest_before = held["hora"][-1] if held.height else None
    covered = not usable.equals(usable_before)
    changes = StretchChanges.between(before, after)
    return WrittenMonth(month, now, newest_before, changes, covered, _changed(held, now), detached)


def write_events(tables: SilverTables, written: WrittenMonth, history: History, rules: EventRules) -> EventChanges:
    """Bring events up to date with a month that was just written, inside the same transaction.

    `history` was asked for under the lock on events, which is held; other rules than before derive all aggregated
    events again, under all months' lock.
    """
    if written.detached:
        tables.attach(written.month)
    newest = _later(history.newest_elsewhere, written.hours["hora"][-1] if written.hours.height else None)
    newest_before = _later(history.newest_elsewhere, written.newest_before)
    context = EventContext(rules, newest, newest_before, tables.universe())
    changes = event_updates.update_events(
        tables, written.month, written.changes, context, covered=written.covered, changed=written.changed
    )
    months = changes.months
    if history.rules != rules:
        months |= _apply_rules(tables, history.rules, context).months
    tables.refresh_caps(months)
    return changes


def _differing(
    tables: SilverTables, plan: Plan, observed: Observed, held: pl.DataFrame, usable_since: pl.DataFrame
) -> pl.DataFrame:
    """Keys of which the load changes what is listed, or whether it counts, while the tables are as they were."""
    replaced = tables.observations_at([hour for hour in held["hora"] if hour in plan.load or hour in plan.remove])
    # Where a day loses its last detailed hour, its aggregated ones begin to count: those that were loaded long ago, and
    # those that are loaded again and list the same as before.
    awakened = tables.observations_at([hour for hour in usable_since["hora"] if hour not in plan.load])
    again = observed.observations.join(usable_since, on="hora", how="semi")
    listed = (frame.drop("n_filas") for frame in (replaced, observed.observations))
    parts = (keys_differing(*listed), awakened.select(KEY), again.select(KEY))
    return pl.concat(parts)


def _hours_now(held: pl.DataFrame, plan: Plan, observed: Observed) -> pl.DataFrame:
    """Rows of `cargas` of the month as they will be."""
    captures = pl.DataFrame(
        [(hour, value.captured_at, value.sha256) for hour, value in plan.load.items()],
        schema=typed("hora capturado_en sha256"),
        orient="row",
    )
    stay = held.filter(~pl.col("hora").is_in([*plan.load, *plan.remove]))
    new = conform(observed.quality.join(captures, on="hora"), LOADED_SCHEMA)
    return pl.concat([stay, new]).sort("hora")


def _changed(held: pl.DataFrame, now: pl.DataFrame) -> tuple[datetime, datetime] | None:
    columns = ["hora", "forma"]
    hours = pl.concat(
        [held.select(columns).join(now, on=columns, how="anti"), now.select(columns).join(held, on=columns, how="anti")]
    )["hora"].sort()
    return (hours[0], hours[-1]) if hours.len() else None


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    known = [hour for hour in (one, other) if hour is not None]
    return max(known, default=None)


def _apply_rules(tables: SilverTables, known: EventRules | None, context: EventContext) -> EventChanges:
    """Derive all aggregated events by other rules than those before."""
    tables.write_rules(context.rules)
    if known is None:
        return NOTHING
    for month in tables.months_loaded(Shape.AGGREGATED):
        loaded = tables.loaded(month.start, month.end)
        usable = usable_hours(loaded, context.rules)
        rows = month_stretches(tables.observations(month), usable, context.rules, month.first_day)
        changes = StretchChanges.between(tables.stretches(month.first_day), rows)
        with tables.replacing_stretches(month.first_day, changes):
            pass
    return event_updates.rederive_aggregated(tables, context)
