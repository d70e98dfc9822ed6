"""Making the ledger equal to the files again: after a kill, or from nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loguru import logger

from sec_core.bronze import ledger_table as table
from sec_core.bronze.ledger_rules import HourState, LedgerRow, Origin, Outcome, fold_all
from sec_core.bronze.record import capture_of, describe
from sec_core.bronze.sealed import BodyDamaged
from sec_core.bronze.store import BronzeStore, digest
from sec_core.errors import StorageError
from sec_core.source.shapes import classify

if TYPE_CHECKING:
    from datetime import datetime

    from sec_core.bronze.journal import Journal
    from sec_core.db.database import Database
    from sec_core.hours import Month


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild found: hours of each month, and journal lines whose instants were mended (`moved`).

    `passed_over` names what can't be read and stays where it is: journal lines, damaged bodies, stray files.
    """

    hours: dict[Month, int]
    moved: int
    passed_over: tuple[str, ...]


@dataclass(slots=True)
class _Files:
    """What the files of a month say."""

    outcomes: list[Outcome]
    moved: int = 0
    passed_over: list[str] = field(default_factory=list)

    @property
    def rows(self) -> dict[datetime, LedgerRow]:
        return {hour: row for hour, row in fold_all(self.outcomes).items() if row.state is not HourState.PENDING}


def repair(database: Database, store: BronzeStore, journal: Journal, month: Month) -> int:
    """Adopt bodies that no journal line names, and fold in lines that the tables lack; how many hours changed."""
    with table.transaction(database) as cursor:
        table.lock_month(cursor, month)
        journal.compact(month)
        files = _read(store, journal, month)
        wanted = files.rows
        held = table.read_rows(cursor, sorted(wanted))
        stale = [row for hour, row in wanted.items() if held.get(hour) != row]
        if stale and files.moved:
            # Rows at the instants of another time zone database must go.
            _write_anew(cursor, month, files)
        elif stale:
            behind = {row.hour for row in stale}
            table.write_revisions(cursor, _revisions([item for item in files.outcomes if item.hour in behind]))
            table.write_rows(cursor, stale)
    if stale:
        logger.bind(stage="capture", month=str(month)).info("ledger brought up to its files: {} hours", len(stale))
    return len(stale)


def rebuild(database: Database, store: BronzeStore, journal: Journal) -> RebuildReport:
    """Make the whole ledger anew from the files; rows of hours that no file knows are removed.

    Raises:
        StorageError: There are no files at all (a wrong SEC_DATA_DIR, most likely), or one can't be read.
    """
    months = sorted({*journal.months(), *store.months()})
    if not months:
        raise StorageError("Bronze holds no files to rebuild the ledger from.", next_step="Check SEC_DATA_DIR.")
    counts: dict[Month, int] = {}
    moved = 0
    passed_over = [f"{key}: a stray file" for key in (*journal.strays(), *store.strays())]
    for month in months:
        with table.transaction(database) as cursor:
            table.lock_month(cursor, month)
            files = _read(store, journal, month)
            counts[month] = _write_anew(cursor, month, files)
        moved += files.moved
        passed_over += files.passed_over
    with table.transaction(database) as cursor:
        table.delete_other_months(cursor, months)
    return RebuildReport(counts, moved, tuple(passed_over))


def _write_anew(cursor: table.Cursor, month: Month, files: _Files) -> int:
    rows = files.rows
    table.delete_month(cursor, month.start, month.end)
    table.write_revisions(cursor, _revisions(files.outcomes))
    table.write_rows(cursor, rows.values())
    return len(rows)


def _read(store: BronzeStore, journal: Journal, month: Month) -> _Files:
    """The month's journal, after adopting bodies that it does not name."""
    read = journal.read(month)
    files = _Files(read.outcomes, read.moved)
    bound = logger.bind(stage="capture", month=str(month))
    if (problems := read.problems(month)) is not None:
        files.passed_over.append(problems)
        bound.warning("{}", problems)
    named = {outcome.capture.key: outcome.capture.sha256 for outcome in read.outcomes if outcome.capture is not None}
    names = list(store.bodies(month))
    there, loose = {name.key for name in names}, {name.key for name in store.loose(month)}
    lost = {sha256 for key, sha256 in named.items() if key not in there}
    files.passed_over += [f"{file}: damaged" for file in store.sealed.of(month) if not store.sealed.names(file)]
    adopted: list[Outcome] = []
    for name in names:
        if name.key in named:
            continue
        try:
            body = store.read(name.key)
        except BodyDamaged as error:
            files.passed_over.append(error.message)
            bound.error("{}", error.message)
            continue
        if name.key not in loose and body != b"[]" and digest(body) in lost:
            # A damaged name in a sealed file: the body is another hour's.
            files.passed_over.append(f"{name.key}: the body of another name that is missing")
            continue
        classified = classify(body)
        capture = capture_of(name, body, classified, store.sealed.answered_by(name.key))
        asked = name.origin is Origin.SEC
        adopted.append(describe(name.hour, name.captured_at, classified, capture=capture, asked=asked))
    if adopted:
        journal.append(month, adopted)
        bound.warning("{} bodies adopted that no line named", len(adopted))
    files.outcomes += adopted
    return files


def _revisions(outcomes: list[Outcome]) -> list[table.Revision]:
    return [
        table.Revision(outcome.capture, outcome.result, outcome.error)
        for outcome in outcomes
        if outcome.capture is not None
    ]
