"""Loading: the value of each hour from Bronze into Silver, a month at a time.

Bodies are read, decoded and summed outside any transaction. Then, in one transaction, first what is the month's own is
written under the month's lock, as loads of other months do at the same time: its hours' rows are replaced and its
stretches made anew. Events reach over months, so those that these can touch are derived again under one lock, when all
that they can reach is committed. A reader sees the month as it was or as it is, never a part of it; a killed load
leaves it as it was.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import polars as pl

from sec_core.bronze.ledger_rules import Capture
from sec_core.bronze.store import try_each
from sec_core.config import Settings
from sec_core.db.checks import check_zones
from sec_core.db.database import Database
from sec_core.errors import StorageError
from sec_core.hours import Month
from sec_core.reference.tables import Names, default_names
from sec_core.silver.columns import conform, typed
from sec_core.silver.event_updates import WrittenMonth, update_events
from sec_core.silver.observations import LOADED_SCHEMA, Observed, Snapshot, observe
from sec_core.silver.stretches import (
    KEY,
    StretchChanges,
    as_stretches,
    keys_differing,
    keys_touched,
    month_stretches,
    rows_differing,
)
from sec_core.silver.tables import Archive, History, SilverTables
from sec_core.silver.timeline import EventRules, usable_hours
from sec_core.source.shapes import Shape

# Gives the bytes of a kept body; raises BodyDamaged where they are not what was kept.
BodyReader = Callable[[Capture], bytes]

# How many months are worth loading side by side: one is decoded, one written, one waits for its turn with events.
MONTHS_AT_ONCE = 3


class HourValues(Protocol):
    """Knows which capture is the value of each hour; the ledger does."""

    def values(self, first: datetime, last: datetime) -> list[Capture]:
        """The value of each captured hour in [first, last), ordered by hour."""
        ...

    def set_aside(self, damaged: Mapping[Capture, str]) -> None:
        """Put bodies that are not what was kept into quarantine, each with its reason."""
        ...


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load of a month did; what the month holds then, `reports.month_figures` says.

    `damaged` are hours whose body was not what was kept: it is in quarantine, and they are to be asked for again.
    """

    month: Month
    hours_loaded: int = 0
    hours_removed: int = 0
    events_new: int = 0
    events_changed: int = 0
    events_removed: int = 0
    damaged: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do to a month: hours to load, each with its value, and hours to take out."""

    load: dict[datetime, Capture]
    remove: list[datetime]

    def stale(self, values: Mapping[datetime, Capture]) -> bool:
        """Whether hours have got other values since it was made."""
        return any(values.get(hour) != value for hour, value in self.load.items()) or any(
            hour in values for hour in self.remove
        )


def load_month(
    database: Database,
    bodies: BodyReader,
    month: Month,
    settings: Settings,
    *,
    values: HourValues,
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
        values: Which capture counts for each hour.
        names: Resolver of names; that of the reference files unless given.
        force: Load all hours again, for instance after an alias was added.
        only: Consider these hours alone.

    Raises:
        StorageError: A body is missing, or not a list of rows. (Damaged ones are set aside.)
        DatabaseUnavailable: PostgreSQL can't be reached; nothing of the month was changed.
    """
    names = default_names() if names is None else names
    rules = EventRules.of(settings)
    alone = False
    lost: set[datetime] = set()
    with database.adbc() as connection:
        tables = SilverTables(connection, Archive(settings.archive))
        while True:
            held = tables.loaded(month.start, month.end)
            plan = _plan(held, _values_of(month, values), force=force, only=only)
            if not (plan.load or plan.remove) and tables.history(month).rules == rules:
                return LoadReport(month, damaged=tuple(sorted(lost)))
            connection.rollback()  # no transaction stays open while bodies are read
            check_zones(database.engine, month.start, month.end)
            damaged: dict[Capture, str] = {}
            snapshots = _snapshots(plan, bodies, settings, damaged)
            observed = observe(snapshots, names)
            if damaged:
                # Their hours get another value, or none, and the plan changes.
                values.set_aside(damaged)
                lost.update(capture.hour for capture in damaged)
                continue
            tables.lock_month(month, alone=alone)
            history = tables.history(month)
            # Another worker may have captured a newer revision meanwhile: then this one's bodies are stale.
            if (alone or not _needs_all_months(history, rules)) and not plan.stale(_values_of(month, values)):
                written = write_month(tables, month, plan, observed, history, rules)
                tables.lock_events()
                history = tables.history(month)
                if alone or not _needs_all_months(history, rules):
                    made = update_events(tables, written, history, rules)
                    counts = len(plan.load), len(plan.remove), made.new, made.changed, made.removed
                    return LoadReport(month, *counts, tuple(sorted(lost)))
            alone = _needs_all_months(history, rules)
            connection.rollback()


def _values_of(month: Month, values: HourValues) -> dict[datetime, Capture]:
    return {value.hour: value for value in values.values(month.start, month.end)}


def _plan(
    loaded: pl.DataFrame, wanted: dict[datetime, Capture], *, force: bool, only: Collection[datetime] | None
) -> Plan:
    identity = loaded.select("hora", "forma", "capturado_en", "sha256")
    held = {hour: (shape, captured_at, sha256) for hour, shape, captured_at, sha256 in identity.iter_rows()}
    load = {
        hour: value
        for hour, value in wanted.items()
        if (only is None or hour in only)
        and (force or held.get(hour) != (value.shape, value.captured_at, value.sha256))
    }
    return Plan(load, [hour for hour in held if hour not in wanted and (only is None or hour in only)])


def _snapshots(plan: Plan, bodies: BodyReader, settings: Settings, damaged: dict[Capture, str]) -> Iterator[Snapshot]:
    """What the bodies list; those that are not what was kept are noted in `damaged` instead."""
    captures = list(plan.load.values())
    for capture, body in zip(captures, try_each(bodies, captures, settings.bronze), strict=True):
        if isinstance(body, StorageError):
            damaged[capture] = body.message
        else:
            yield Snapshot(capture.hour, Shape(str(capture.shape)), body)


def _needs_all_months(history: History, rules: EventRules) -> bool:
    """Whether a load writes to more than its month: it brings one back from the archive, or follows other rules."""
    return history.archived or history.rules not in {None, rules}


def load_hours(
    database: Database, bodies: BodyReader, hours: Sequence[datetime], settings: Settings, *, values: HourValues
) -> list[LoadReport]:
    """Bring single hours up to date, for the monitor: a report for each month; raises as `load_month` does."""
    months = sorted({Month.of(hour) for hour in hours})
    return [load_month(database, bodies, month, settings, values=values, only=set(hours)) for month in months]


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
    others = rows_differing(held.select("hora", "forma"), now.select("hora", "forma"))["hora"].sort()
    return WrittenMonth(
        month,
        newest=now["hora"].max(),  # type: ignore[arg-type]
        newest_before=held["hora"].max(),  # type: ignore[arg-type]
        changes=StretchChanges.between(before, after),
        covered=not usable.equals(usable_before),
        changed=(others[0], others[-1]) if others.len() else None,
        detached=detached,
    )


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
