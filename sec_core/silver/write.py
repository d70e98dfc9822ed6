"""What a load writes, in one transaction: first what is the month's own, then the events that follow from it.

A month's hours, observations and stretches are written under the month's lock: loads of other months do so at the same
time. Events reach over months, so they are derived under one lock, when all that they can reach is committed.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from sec_core.silver.derive import Derived, Situation, derive_all_aggregated, derive_month
from sec_core.silver.hour_tables import LOADED_SCHEMA
from sec_core.silver.month import KEY, keys_differing, keys_touched, month_stretches
from sec_core.silver.observations import HORA
from sec_core.silver.stretches import StretchChanges, as_stretches
from sec_core.silver.timeline import usable_hours
from sec_core.source.shapes import Shape

if TYPE_CHECKING:
    from datetime import datetime

    from sec_core.bronze.model import Capture
    from sec_core.hours import Month
    from sec_core.silver.hour_tables import Standing
    from sec_core.silver.observations import Observed
    from sec_core.silver.rules import EventRules
    from sec_core.silver.store import SilverStore


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do to a month.

    Attributes:
        load: Hours to load, each with its value.
        remove: Hours to take out.
    """

    load: dict[datetime, Capture]
    remove: list[datetime]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.load and not self.remove


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a load is about to write; made without a lock, so it may be stale.

    Attributes:
        plan: What to do.
        observed: What the bodies to load became.
    """

    plan: Plan
    observed: Observed


@dataclass(frozen=True, slots=True)
class Staged:
    """What is the month's own, written and not yet committed.

    Attributes:
        month: The month.
        plan: What was done.
        hours: Its rows of `cargas` as they are now.
        newest_before: The newest of its hours before this load.
        changes: What became of its stretches.
        covered: Whether the hours that make aggregated events changed.
        detached: Whether its observations are in a partition that is still to be attached.
    """

    month: Month
    plan: Plan
    hours: pl.DataFrame
    newest_before: datetime | None
    changes: StretchChanges
    covered: bool
    detached: bool


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a month holds after its load.

    Attributes:
        month: The month.
        plan: What was done.
        hours: Its rows of `cargas`.
        stretches: Its stretches.
        derived: What happened to events, None when nothing was done.
    """

    month: Month
    plan: Plan
    hours: pl.DataFrame
    stretches: pl.DataFrame
    derived: Derived | None = None


def stage(store: SilverStore, month: Month, prepared: Prepared, standing: Standing, rules: EventRules) -> Staged:
    """Write what is the month's own, inside the caller's transaction.

    Args:
        store: The tables, with the month's lock held; with all months' where the month is archived.
        month: The month.
        prepared: What to do, with the bodies read.
        standing: What the history says.
        rules: Rules of aggregated events.

    Returns:
        What was written.
    """
    plan, observed = prepared.plan, prepared.observed
    if standing.archived:
        store.restore_month(month)
    held = store.loaded(month.start, month.end)
    before = store.stretches(month.first_day)
    now = _hours_now(held, plan, observed)
    usable_before, usable = usable_hours(held, rules), usable_hours(now, rules)
    complete = now["hora"].is_in(list(plan.load)).all()
    touched = None
    if not complete and standing.rules == rules:
        differing = _differing(store, plan, observed, held, usable.join(usable_before, on="hora", how="anti"))
        touched = keys_touched(before, differing, usable_before, usable)
    _replace_hours(store, plan, observed, held, now)
    with ThreadPoolExecutor(max_workers=1) as beside:
        # PostgreSQL takes the rows while the rules are applied to them: each has a core of its own.
        appended = beside.submit(_append, store, month, observed)
        if complete:
            after = month_stretches(observed.observations, usable, rules, month.first_day)
        detached = appended.result()
    if touched is not None:
        some = month_stretches(store.observations_of(month, touched), usable, rules, month.first_day)
        after = as_stretches(pl.concat([before.join(touched, on=KEY, how="anti", nulls_equal=True), some]))
    elif not complete:
        after = month_stretches(store.observations(month), usable, rules, month.first_day)
    changes = StretchChanges.between(before, after)
    store.replace_stretches(month.first_day, changes)
    store.refresh_quality(month)
    newest_before = held["hora"][-1] if held.height else None
    return Staged(month, plan, now, newest_before, changes, not usable.equals(usable_before), detached)


def settle(store: SilverStore, staged: Staged, standing: Standing, rules: EventRules) -> Loaded:
    """Bring events up to date with a staged month, inside the same transaction.

    Args:
        store: The tables, with the lock on events held.
        staged: The month.
        standing: What the history says, asked for under that lock.
        rules: Rules of aggregated events; other rules than before derive all of these again, under all months' lock.

    Returns:
        What the month holds now.
    """
    if staged.detached:
        store.attach(staged.month)
    newest = _later(standing.newest_elsewhere, staged.hours["hora"][-1] if staged.hours.height else None)
    situation = Situation(rules, newest, _later(standing.newest_elsewhere, staged.newest_before), store.universe())
    derived = derive_month(store, staged.month, staged.changes, situation, covered=staged.covered)
    months = derived.months
    if standing.rules != rules:
        months |= _apply_rules(store, standing.rules, situation).months
    store.refresh_caps(months)
    return Loaded(staged.month, staged.plan, staged.hours, staged.changes.after, derived)


def _differing(
    store: SilverStore, plan: Plan, observed: Observed, held: pl.DataFrame, usable_since: pl.DataFrame
) -> pl.DataFrame:
    """Keys of which the load changes what is listed, or whether it counts, while the tables are as they were."""
    replaced = store.observations_at([hour for hour in held["hora"] if hour in plan.load or hour in plan.remove])
    # Where a day loses its last detailed hour, aggregated ones that were loaded long ago begin to count.
    awakened = store.observations_at([hour for hour in usable_since["hora"] if hour not in plan.load])
    return pl.concat([keys_differing(replaced, observed.observations), awakened.select(KEY)])


def _hours_now(held: pl.DataFrame, plan: Plan, observed: Observed) -> pl.DataFrame:
    """Rows of `cargas` of the month as they will be."""
    captures = pl.DataFrame(
        [(hour, value.captured_at, value.sha256) for hour, value in plan.load.items()],
        schema={"hora": HORA, "capturado_en": HORA, "sha256": pl.String},
        orient="row",
    )
    stay = held.filter(~pl.col("hora").is_in([*plan.load, *plan.remove]))
    new = observed.quality.join(captures, on="hora").select(pl.col(n).cast(kind) for n, kind in LOADED_SCHEMA.items())
    return pl.concat([stay, new]).sort("hora")


def _replace_hours(store: SilverStore, plan: Plan, observed: Observed, held: pl.DataFrame, now: pl.DataFrame) -> None:
    out = set(plan.load) | set(plan.remove)
    store.remove_hours([hour for hour in held["hora"] if hour in out])
    store.append("cargas", now.filter(pl.col("hora").is_in(list(plan.load))))
    store.append("nombres_no_resueltos", observed.unresolved)


def _append(store: SilverStore, month: Month, observed: Observed) -> bool:
    return observed.quality.height > 0 and store.append_observations(month, observed.observations)


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    known = [hour for hour in (one, other) if hour is not None]
    return max(known, default=None)


def _apply_rules(store: SilverStore, known: EventRules | None, situation: Situation) -> Derived:
    """Derive all aggregated events by other rules than those before."""
    store.write_rules(situation.rules)
    if known is None:
        return Derived(0, 0, 0, frozenset())
    for month in store.months_loaded(Shape.AGGREGATED):
        loaded = store.loaded(month.start, month.end)
        usable = usable_hours(loaded, situation.rules)
        rows = month_stretches(store.observations(month), usable, situation.rules, month.first_day)
        store.replace_stretches(month.first_day, StretchChanges.between(store.stretches(month.first_day), rows))
    return derive_all_aggregated(store, situation)
