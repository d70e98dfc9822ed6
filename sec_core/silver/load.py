"""Loading: the value of each hour from Bronze into Silver, a month at a time.

Bodies are read, decoded and summed outside any transaction. Then, in one transaction: under the month's lock its hours'
rows are replaced and its stretches made anew; under the lock on events those that these can touch are derived again. A
reader sees the month as it was or as it is, never a part of it; a killed load leaves it as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Protocol

import polars as pl

from sec_core.blobs.place import at_once
from sec_core.bronze.ledger_rules import Capture
from sec_core.bronze.sealed import BodyDamaged
from sec_core.bronze.store import attempt
from sec_core.config import Settings
from sec_core.db.checks import check_zones
from sec_core.db.database import Database
from sec_core.hours import Month
from sec_core.reference.tables import Names, default_names
from sec_core.silver.archive import Archive
from sec_core.silver.observations import Snapshot, observe
from sec_core.silver.tables import History, SilverTables
from sec_core.silver.timeline import EventRules
from sec_core.silver.write import Plan, write_events, write_month
from sec_core.source.shapes import Shape

if TYPE_CHECKING:
    BodyReader = Callable[[Capture], bytes]
    """Gives the bytes of a kept body; raises BodyDamaged where they are not what was kept."""

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
            if plan.empty and tables.history(month).rules == rules:
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
                    made = write_events(tables, written, history, rules)
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
    captures = plan.load.values()
    read = at_once(settings.bronze, partial(attempt, bodies), captures)
    for capture, body in zip(captures, read, strict=True):
        if isinstance(body, BodyDamaged):
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
