"""Writing down what asking for hours came to: body, journal, ledger, in this order, one writer a month at a time.

A kill between any two steps loses nothing that was kept: a body without a journal line is adopted by the next
`repair`, a journal line that the tables lack is folded in then.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from loguru import logger

from sec_core.bronze import ledger_rules as rules
from sec_core.bronze import ledger_table as table
from sec_core.bronze.ledger_rules import Capture, HourState, LedgerRow, Origin, Outcome, Result
from sec_core.bronze.sealed import BodyDamaged
from sec_core.bronze.store import BodyName, BronzeStore, digest
from sec_core.errors import StorageError
from sec_core.hours import Month
from sec_core.source.shapes import NOT_KEPT, AnsweredBy, BodyKind, Classified, classify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sec_core.bronze.journal import Journal
    from sec_core.db.database import Database

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of asking for an hour (or of importing it), before it is written down.

    `at` is when the answer was received or the failure was certain, UTC. A failure has no body, but `code` and `error`.
    """

    hour: datetime
    at: datetime
    body: bytes | None = None
    classified: Classified | None = None
    origin: Origin = Origin.SEC
    code: str | None = None
    error: str | None = None
    suspect: bool = False
    answered_by: AnsweredBy = NOT_KEPT


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a finding: the journal line, and the hour's ledger row before and after it."""

    outcome: Outcome
    before: LedgerRow
    after: LedgerRow

    @property
    def kept(self) -> bool:
        """Whether the body was new and is kept."""
        return self.outcome.capture is not None


def record(database: Database, store: BronzeStore, journal: Journal, findings: Sequence[Finding]) -> list[Recorded]:
    """Write findings down, in the order in which they happened; see the module's text for the order of steps.

    A body is kept unless it equals the newest revision of its hour and origin. An imported body that is held already
    leaves no trace.

    Raises:
        StorageError: The disk refused something; what precedes it is kept.
        DatabaseUnavailable: The ledger can't be written; bodies that were kept are adopted later.
    """
    by_month: dict[Month, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_month[Month.of(finding.hour)].append(finding)
    recorded: list[Recorded] = []
    for month, items in sorted(by_month.items()):
        with table.transaction(database) as cursor:
            table.lock_month(cursor, month)
            hours = sorted({item.hour for item in items})
            revisions = table.read_revisions(cursor, hours)
            book = _Book(table.read_rows_of(cursor, hours, revisions), revisions)
            done = [entry for item in items if (entry := book.enter(item)) is not None]
            store.put_all(book.new_bodies)
            journal.append(month, [entry.outcome for entry in done])
            table.write_revisions(cursor, book.new_revisions)
            table.write_rows(cursor, {entry.outcome.hour: entry.after for entry in done}.values())
        recorded += done
    return recorded


@dataclass(slots=True)
class _Book:
    """Ledger rows and revisions of some hours while findings are entered one after the other."""

    rows: dict[datetime, LedgerRow]
    revisions: dict[datetime, list[table.Revision]]
    new_revisions: list[table.Revision] = field(default_factory=list)
    new_bodies: list[tuple[BodyName, bytes]] = field(default_factory=list)

    def enter(self, finding: Finding) -> Recorded | None:
        outcome = self._outcome(finding)
        if outcome is None:
            return None
        before = self.rows.get(finding.hour) or LedgerRow(finding.hour)
        after = self.rows[finding.hour] = rules.fold(before, outcome)
        if outcome.capture is not None:
            revision = table.Revision(outcome.capture, outcome.result, outcome.error)
            self.revisions.setdefault(finding.hour, []).append(revision)
            self.new_revisions.append(revision)
        return Recorded(outcome, before, after)

    def _outcome(self, finding: Finding) -> Outcome | None:
        asked = finding.origin is Origin.SEC
        if finding.body is None or finding.classified is None:
            code, error = rules.clean(finding.code), rules.clean(finding.error)
            return Outcome(finding.hour, finding.at, Result.FAILED, asked=asked, code=code, error=error)
        sha256 = digest(finding.body)
        held = [item for item in self.revisions.get(finding.hour, []) if item.capture.origin is finding.origin]
        sound = [item for item in held if not item.damaged]
        newest = max(sound, key=lambda item: item.capture.captured_at, default=None)
        if not asked and any(item.capture.sha256 == sha256 for item in sound):
            return None
        kept = None
        if newest is None or newest.capture.sha256 != sha256:
            name = BodyName(finding.hour, finding.at, finding.origin)
            while any(item.capture.captured_at == name.captured_at for item in held):
                name = replace(name, captured_at=name.captured_at + _TICK)
            self.new_bodies.append((name, finding.body))
            kept = capture_of(name, finding.body, finding.classified, finding.answered_by, sha256=sha256)
        return describe(
            finding.hour, finding.at, finding.classified, capture=kept, asked=asked, suspect=finding.suspect
        )


def describe(
    hour: datetime,
    at: datetime,
    classified: Classified,
    *,
    capture: Capture | None = None,
    asked: bool = True,
    suspect: bool = False,
) -> Outcome:
    """The journal line of an answer, with the body that is kept, if one is."""
    if classified.kind is BodyKind.EMPTY:
        return Outcome(hour, at, Result.EMPTY, capture, asked=asked)
    if classified.shape is None:
        reason = rules.clean(classified.reason)
        return Outcome(hour, at, Result.QUARANTINED, capture, asked=asked, code="unexpected_body", error=reason)
    return Outcome(hour, at, Result.CAPTURED, capture, asked=asked, suspect=suspect)


def damage(capture: Capture, reason: str) -> Outcome:
    """The journal line of a body that turned out to be damaged."""
    hour, at, said = capture.hour, capture.captured_at, rules.clean(f"{rules.DAMAGED}: {reason}")
    return Outcome(hour, at, Result.QUARANTINED, capture, asked=False, code=rules.DAMAGED, error=said, relearned=True)


def capture_of(
    name: BodyName, body: bytes, classified: Classified, answered_by: AnsweredBy, *, sha256: str | None = None
) -> Capture:
    """How the ledger describes a kept body; its hash is worked out where it is not known."""
    measures = (sha256 or digest(body), len(body), classified.rows, classified.customers)
    return Capture(name.hour, name.captured_at, name.origin, name.key, *measures, classified.shape, answered_by)


# --- making the ledger equal to the files again: after a kill, or from nothing -------------------------------


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
        return {hour: row for hour, row in rules.fold_all(self.outcomes).items() if row.state is not HourState.PENDING}


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
    return [table.Revision(each.capture, each.result, each.error) for each in outcomes if each.capture is not None]
