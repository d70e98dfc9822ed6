"""Making the ledger equal to the files again: after a kill, or from nothing."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from typing import TYPE_CHECKING

from loguru import logger

from sec_core.bronze import ledger_table as table
from sec_core.bronze.ledger_rules import HourState, Origin, Outcome, fold_all
from sec_core.bronze.record import capture_of, describe
from sec_core.bronze.store import BodyName
from sec_core.errors import StorageError
from sec_core.source.shapes import classify

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sec_core.bronze.journal import Journal
    from sec_core.bronze.store import BronzeStore
    from sec_core.db.database import Database
    from sec_core.hours import Month


def repair(database: Database, store: BronzeStore, journal: Journal, month: Month) -> int:
    """Bring a month's ledger up to its files: adopt bodies without a journal line, fold in lines that the tables lack.

    Args:
        database: Where the ledger is.
        store: The bodies.
        journal: The journal.
        month: The month.

    Returns:
        Number of hours whose rows were changed or added.

    Raises:
        StorageError: A file can't be read or written.
        DatabaseUnavailable: The ledger can't be reached.
    """
    with table.transaction(database) as cursor:
        table.lock_month(cursor, month)
        journal.compact(month)
        outcomes = _complete(store, journal, month)
        wanted = {hour: row for hour, row in fold_all(outcomes).items() if row.state is not HourState.PENDING}
        held = table.read_rows(cursor, sorted(wanted))
        stale = [row for hour, row in wanted.items() if held.get(hour) != row]
        if stale:
            behind = {row.hour for row in stale}
            table.write_revisions(cursor, _revisions([item for item in outcomes if item.hour in behind]))
            table.write_rows(cursor, stale)
            logger.bind(stage="capture", month=str(month)).info("ledger brought up to its files: {} hours", len(stale))
    return len(stale)


def rebuild(database: Database, store: BronzeStore, journal: Journal) -> dict[Month, int]:
    """Make the whole ledger anew from the files.

    Args:
        database: Where the ledger is; rows of hours that no file knows are removed.
        store: The bodies.
        journal: The journal.

    Returns:
        Number of hours of each month.

    Raises:
        StorageError: There are no files at all (a wrong SEC_DATA_DIR, most likely), or one can't be read.
        DatabaseUnavailable: The ledger can't be reached.
    """
    months = sorted({*journal.months(), *store.months()})
    if not months:
        raise StorageError("Bronze holds no files to rebuild the ledger from.", next_step="Check SEC_DATA_DIR.")
    counts: dict[Month, int] = {}
    for month in months:
        with table.transaction(database) as cursor:
            table.lock_month(cursor, month)
            outcomes = _complete(store, journal, month)
            rows = [row for row in fold_all(outcomes).values() if row.state is not HourState.PENDING]
            table.delete_month(cursor, month.start, month.end)
            table.write_revisions(cursor, _revisions(outcomes))
            table.write_rows(cursor, rows)
        counts[month] = len(rows)
    with table.transaction(database) as cursor:
        table.delete_other_months(cursor, months)
    return counts


def _complete(store: BronzeStore, journal: Journal, month: Month) -> list[Outcome]:
    """The month's journal, after adopting bodies that it does not name."""
    outcomes = _rightly_timed(journal.read(month))
    known = {outcome.capture.key for outcome in outcomes if outcome.capture is not None}
    adopted: list[Outcome] = []
    for name in store.bodies(month):
        if name.key not in known:
            body = store.read(name.key)
            classified = classify(body)
            outcome = describe(name.hour, name.captured_at, classified, asked=name.origin is Origin.SEC)
            adopted.append(replace(outcome, capture=capture_of(name, body, classified)))
    if adopted:
        journal.append(month, adopted)
        logger.bind(stage="capture", month=str(month)).warning("{} bodies adopted that no line named", len(adopted))
    return outcomes + adopted


def _rightly_timed(outcomes: list[Outcome]) -> list[Outcome]:
    """Outcomes at the instants that their bodies' names tell: the wall hour asked for, by today's time zone data.

    A journal that was written with old data has other instants there. What left no body (a failure, `[]` again) moves
    as the nearest body does.
    """
    moved: dict[datetime, timedelta] = {}
    for outcome in outcomes:
        name = None if outcome.capture is None else BodyName.parse(outcome.capture.key)
        if name is not None:
            moved[outcome.hour] = name.hour - outcome.hour
    if not any(moved.values()):
        return outcomes
    known = sorted(moved)

    def right(outcome: Outcome) -> Outcome:
        at = bisect_left(known, outcome.hour)
        nearest = min(known[max(0, at - 1) : at + 1], key=lambda hour: abs(hour - outcome.hour))
        hour = outcome.hour + moved[nearest]
        capture = outcome.capture and replace(outcome.capture, hour=hour)
        return replace(outcome, hour=hour, capture=capture)

    return [right(outcome) for outcome in outcomes]


def _revisions(outcomes: list[Outcome]) -> list[table.Revision]:
    return [
        table.Revision(outcome.capture, outcome.result, outcome.error)
        for outcome in outcomes
        if outcome.capture is not None
    ]
