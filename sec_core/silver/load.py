"""Loading: the value of each hour from Bronze into Silver, a month at a time.

Bodies are read, decoded and summed outside any transaction. Then, in one transaction under one lock: the hours' rows
are replaced, the month's stretches made anew, and the events that these can touch derived again. A reader sees the
month as it was or as it is, never a part of it; a killed load leaves it as it was.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import polars as pl

from sec_core.bronze.model import Shape
from sec_core.hours import Month
from sec_core.reference.names import default_names
from sec_core.silver.archive import Archive
from sec_core.silver.derive import Derived, Situation, derive_all_aggregated, derive_month
from sec_core.silver.hour_tables import LOADED_SCHEMA
from sec_core.silver.imputation import Regla
from sec_core.silver.month import KEY, keys_differing, keys_touched, month_stretches
from sec_core.silver.observations import HORA, Body, Observed, observe
from sec_core.silver.rules import EventRules
from sec_core.silver.store import SilverStore
from sec_core.silver.stretches import StretchChanges, as_stretches
from sec_core.silver.timeline import usable_hours

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from datetime import datetime

    from sec_core.bronze.model import Capture
    from sec_core.config import Settings
    from sec_core.db.database import Database
    from sec_core.reference.names import Names
    from sec_core.silver.hour_tables import Standing

    BodyReader = Callable[[Capture], bytes]
    """Gives the bytes of a kept body."""


class HourValues(Protocol):
    """Knows which capture is the value of each hour; the ledger does."""

    def values(self, first: datetime, last: datetime) -> list[Capture]:
        """The value of each captured hour in [first, last), ordered by hour."""
        ...


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a month holds after a load, and what the load did.

    Attributes:
        month: The month.
        hours_loaded: Hours whose rows were replaced or added.
        hours_removed: Hours that lost their value.
        hours: Loaded hours of the month.
        rows: Source rows of the month.
        observations: Observations that they became.
        customers: Sum of customers over these.
        events: Events with an hour in the month.
        events_new: Events that this load made.
        events_changed: Events that it changed.
        events_removed: Events that it removed.
        imputed: Source rows imputed, by rule.
        unresolved: Different spellings in the month that resolve to nothing.
    """

    month: Month
    hours_loaded: int = 0
    hours_removed: int = 0
    hours: int = 0
    rows: int = 0
    observations: int = 0
    customers: int = 0
    events: int = 0
    events_new: int = 0
    events_changed: int = 0
    events_removed: int = 0
    imputed: dict[str, int] = field(default_factory=dict)
    unresolved: int = 0


@dataclass(frozen=True, slots=True)
class _Plan:
    """Hours to load, each with its value, and hours to take out."""

    load: dict[datetime, Capture]
    remove: list[datetime]

    @property
    def empty(self) -> bool:
        return not self.load and not self.remove


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What a month holds after its load."""

    month: Month
    plan: _Plan
    hours: pl.DataFrame
    stretches: pl.DataFrame
    derived: Derived | None = None


def load_month(
    database: Database,
    bodies: BodyReader,
    month: Month,
    settings: Settings,
    *,
    values: HourValues | None = None,
    names: Names | None = None,
    force: bool = False,
    only: Collection[datetime] | None = None,
) -> LoadReport:
    """Bring a month of Silver up to date with Bronze. Doing it again changes nothing.

    Args:
        database: The database.
        bodies: Reads a body from Bronze.
        month: The month.
        settings: For the rules of aggregated events; other rules than before derive all of these again.
        values: Which capture counts for each hour; the ledger unless given.
        names: Resolver of names; that of the reference files unless given.
        force: Load all hours again, for instance after an alias was added.
        only: Consider these hours alone.

    Returns:
        What the month holds and what was done.

    Raises:
        StorageError: A body is missing, damaged or not a list of rows.
        DatabaseUnavailable: PostgreSQL can't be reached; nothing of the month was changed.
    """
    values = _ledger(database) if values is None else values
    names = default_names() if names is None else names
    rules = EventRules.of(settings)
    with database.adbc() as connection:
        store = SilverStore(connection, Archive(settings.archive_dir))
        while True:
            held = store.loaded(month.start, month.end)
            plan = _plan(held, values, month, only, force=force)
            if plan.empty and store.standing(month).rules == rules:
                return _report(store, _Loaded(month, plan, held, store.stretches(month.first_day)))
            connection.rollback()  # no transaction stays open while bodies are read
            observed = observe(_bodies(plan, bodies), names)
            store.lock()
            # Another worker may have captured a newer revision meanwhile: then this one's bodies are stale.
            if not _stale(plan, values, month):
                return _report(store, _write(store, month, plan, observed, rules))
            connection.rollback()


def load_hours(
    database: Database,
    bodies: BodyReader,
    hours: Sequence[datetime],
    settings: Settings,
    *,
    values: HourValues | None = None,
) -> list[LoadReport]:
    """Bring single hours up to date, for the monitor.

    Args:
        database: The database.
        bodies: Reads a body from Bronze.
        hours: Instants of hours, in any order.
        settings: For the rules of aggregated events.
        values: Which capture counts for each hour; the ledger unless given.

    Returns:
        A report for each month among the hours, in order.

    Raises:
        StorageError: A body is missing, damaged or not a list of rows.
        DatabaseUnavailable: PostgreSQL can't be reached.
    """
    months = sorted({Month.of(hour) for hour in hours})
    return [load_month(database, bodies, month, settings, values=values, only=set(hours)) for month in months]


def reprocess(
    database: Database,
    bodies: BodyReader,
    months: Iterable[Month],
    settings: Settings,
    *,
    values: HourValues | None = None,
) -> Iterator[LoadReport]:
    """Load months again from Bronze, all their hours, one month after the other.

    Args:
        database: The database.
        bodies: Reads a body from Bronze.
        months: The months.
        settings: For the rules of aggregated events.
        values: Which capture counts for each hour; the ledger unless given.

    Yields:
        The report of each month, once it is committed.

    Raises:
        StorageError: A body is missing, damaged or not a list of rows.
        DatabaseUnavailable: PostgreSQL can't be reached.
    """
    for month in months:
        yield load_month(database, bodies, month, settings, values=values, force=True)


def _ledger(database: Database) -> HourValues:
    from sec_core.bronze.ledger import Ledger  # noqa: PLC0415 - only where no other source of values is given

    return Ledger(database)


def _plan(
    loaded: pl.DataFrame, values: HourValues, month: Month, only: Collection[datetime] | None, *, force: bool
) -> _Plan:
    wanted = {value.hour: value for value in values.values(month.start, month.end)}
    held = {
        hour: (shape, captured_at, sha256)
        for hour, shape, captured_at, sha256 in loaded.select("hora", "forma", "capturado_en", "sha256").iter_rows()
    }
    load = {
        hour: value
        for hour, value in wanted.items()
        if (only is None or hour in only)
        and (force or held.get(hour) != (value.shape.value, value.captured_at, value.sha256))
    }
    return _Plan(load, [hour for hour in held if hour not in wanted and (only is None or hour in only)])


def _bodies(plan: _Plan, bodies: BodyReader) -> Iterator[Body]:
    return (Body(hour, value.shape, bodies(value)) for hour, value in plan.load.items())


def _stale(plan: _Plan, values: HourValues, month: Month) -> bool:
    now = {value.hour: value for value in values.values(month.start, month.end)}
    return any(now.get(hour) != value for hour, value in plan.load.items()) or any(hour in now for hour in plan.remove)


def _write(store: SilverStore, month: Month, plan: _Plan, observed: Observed, rules: EventRules) -> _Loaded:
    """Everything that a load writes, in its order; the lock is held."""
    standing = store.standing(month)
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
        appended.result()
    if touched is not None:
        some = month_stretches(store.observations_of(month, touched), usable, rules, month.first_day)
        after = as_stretches(pl.concat([before.join(touched, on=KEY, how="anti", nulls_equal=True), some]))
    elif not complete:
        after = month_stretches(store.observations(month), usable, rules, month.first_day)
    changes = StretchChanges.between(before, after)
    store.replace_stretches(month.first_day, changes)
    situation = Situation(rules, _newest(store, standing, month, now), store.universe())
    derived = derive_month(store, month, changes, situation, covered=not usable.equals(usable_before))
    months = derived.months
    if standing.rules != rules:
        months |= _apply_rules(store, standing.rules, situation).months
    store.refresh_quality(month, sorted(months))
    return _Loaded(month, plan, now, changes.after, derived)


def _differing(
    store: SilverStore, plan: _Plan, observed: Observed, held: pl.DataFrame, usable_since: pl.DataFrame
) -> pl.DataFrame:
    """Keys of which the load changes what is listed, or whether it counts, while the tables are as they were."""
    replaced = store.observations_at([hour for hour in held["hora"] if hour in plan.load or hour in plan.remove])
    # Where a day loses its last detailed hour, aggregated ones that were loaded long ago begin to count.
    awakened = store.observations_at([hour for hour in usable_since["hora"] if hour not in plan.load])
    return pl.concat([keys_differing(replaced, observed.observations), awakened.select(KEY)])


def _hours_now(held: pl.DataFrame, plan: _Plan, observed: Observed) -> pl.DataFrame:
    """Rows of `cargas` of the month as they will be."""
    captures = pl.DataFrame(
        [(hour, value.captured_at, value.sha256) for hour, value in plan.load.items()],
        schema={"hora": HORA, "capturado_en": HORA, "sha256": pl.String},
        orient="row",
    )
    stay = held.filter(~pl.col("hora").is_in([*plan.load, *plan.remove]))
    new = observed.quality.join(captures, on="hora").select(pl.col(n).cast(kind) for n, kind in LOADED_SCHEMA.items())
    return pl.concat([stay, new]).sort("hora")


def _replace_hours(store: SilverStore, plan: _Plan, observed: Observed, held: pl.DataFrame, now: pl.DataFrame) -> None:
    out = set(plan.load) | set(plan.remove)
    store.remove_hours([hour for hour in held["hora"] if hour in out])
    store.append("cargas", now.filter(pl.col("hora").is_in(list(plan.load))))
    store.append("nombres_no_resueltos", observed.unresolved)


def _append(store: SilverStore, month: Month, observed: Observed) -> None:
    if observed.quality.height:
        store.append_observations(month, observed.observations)


def _newest(store: SilverStore, standing: Standing, month: Month, now: pl.DataFrame) -> datetime | None:
    """The newest loaded hour of the whole history, as it is now."""
    here: datetime | None = now["hora"][-1] if now.height else None
    before = standing.newest
    if before is None or before < month.start:
        return here if here is not None else before
    if before >= month.end:
        return before
    return here if here is not None else store.newest()


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


def _report(store: SilverStore, loaded: _Loaded) -> LoadReport:
    sums = loaded.hours.select(pl.exclude("hora", "forma", "capturado_en", "sha256").sum()).row(0, named=True)
    rules = (Regla.CLIENTES, Regla.GEOGRAFIA, Regla.EMPRESA, Regla.FECHA)
    derived = loaded.derived
    return LoadReport(
        month=loaded.month,
        hours_loaded=len(loaded.plan.load),
        hours_removed=len(loaded.plan.remove),
        hours=loaded.hours.height,
        rows=sums["n_filas"],
        observations=sums["n_observaciones"],
        customers=sums["clientes"],
        # Stretches of one month always are of different events.
        events=loaded.stretches["primera_hora"].count(),
        events_new=derived.new if derived else 0,
        events_changed=derived.changed if derived else 0,
        events_removed=derived.removed if derived else 0,
        imputed={rule.value: sums[f"filas_{rule.value}"] for rule in rules},
        unresolved=store.count_unresolved(loaded.month),
    )
