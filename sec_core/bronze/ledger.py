"""The ledger of hours: which are captured, empty, failed or in quarantine, and which capture counts.

What asking for hours came to is written down in this order, one writer a month at a time: body, journal, tables. A kill
between any two steps loses nothing that was kept: a body without a journal line is adopted by the next `repair`, a
journal line that the tables lack is folded in then.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TypeVar

from loguru import logger

from sec_core.blobs.place import BlobMissing
from sec_core.bronze import ledger_table as table
from sec_core.bronze.journal import Journal
from sec_core.bronze.ledger_rules import DAMAGED, Book, Capture, LedgerRow, Origin, Outcome, Result, clean
from sec_core.bronze.store import BodyDamaged, BodyName, BronzeStore, digest
from sec_core.db.checks import check_zones
from sec_core.db.database import Database
from sec_core.errors import StorageError
from sec_core.hours import Month
from sec_core.source.shapes import NOT_KEPT, AnsweredBy, BodyKind, Classified, classify
from sec_core.text import counted

T = TypeVar("T")
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of asking for an hour (or of importing it), before it is written down.

    `at` is when the answer was received or the failure was certain, UTC. A failure has no body, but `code` and `error`.
    """

    hour: datetime
    at: datetime
    body: bytes = b""
    classified: Classified | None = None
    origin: Origin = Origin.SEC
    code: str | None = None
    error: str | None = None
    suspect: bool = False
    answered_by: AnsweredBy = NOT_KEPT

    def outcome(self, capture: Capture | None = None) -> Outcome:
        """The journal line, with the body that is kept, if one is."""
        seen, line = self.classified, Outcome(self.hour, self.at, Result.FAILED, capture, self.origin is Origin.SEC)
        if seen is None:
            return replace(line, code=clean(self.code), error=clean(self.error), suspect=self.suspect)
        if seen.kind is BodyKind.EMPTY:
            return replace(line, result=Result.EMPTY)
        if seen.shape is None:
            return replace(line, result=Result.QUARANTINED, code="unexpected_body", error=clean(seen.reason))
        return replace(line, result=Result.CAPTURED, suspect=self.suspect)

    def capture(self, name: BodyName, sha256: str) -> Capture:
        """How the ledger describes the body, kept under this name."""
        seen = self.classified or classify(self.body)
        measures = (sha256, len(self.body), seen.rows, seen.customers, seen.shape)
        return Capture(name.hour, name.captured_at, name.origin, name.key, *measures, self.answered_by)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a finding: the journal line, and the hour's ledger row before and after it."""

    outcome: Outcome
    before: LedgerRow
    after: LedgerRow
    body: bytes

    @property
    def kept(self) -> bool:
        """Whether the body was new and is kept."""
        return self.outcome.capture is not None


@dataclass(slots=True)
class RebuildReport:
    """What a rebuild found: hours of each month, and journal lines whose instants were mended (`moved`).

    `passed_over` names what can't be read and stays where it is: journal lines, damaged bodies, stray files.
    """

    hours: dict[Month, int] = field(default_factory=dict)
    moved: int = 0
    passed_over: list[str] = field(default_factory=list)


class Ledger(table.LedgerTables):
    """States, values and revisions of hours, safe to use from several threads and processes.

    `LedgerTables`, for which the database is enough, reads; this writes too.
    """

    def __init__(self, database: Database, store: BronzeStore) -> None:
        super().__init__(database)
        self._files = store
        self._journal = Journal(store.blobs)
        self._repaired: set[Month] = set()

    def record(self, findings: Sequence[Finding]) -> list[Recorded]:
        """Write findings down, in the order in which they happened: body, journal, tables.

        A body is kept unless it equals the newest revision of its hour and origin. An imported body that is held
        already leaves no trace.

        Raises:
            StorageError: The disk refused something; what precedes it is kept.
            DatabaseUnavailable: The ledger can't be written; bodies that were kept are adopted later.
        """
        recorded: list[Recorded] = []
        try:
            for month, items in _by_month(findings, attrgetter("hour")):
                with self._writing(month, {item.hour for item in items}) as book:
                    done = [entry for item in items if (entry := _enter(item, book)) is not None]
                    self._files.put_all((entry.outcome.capture, entry.body) for entry in done if entry.outcome.capture)
                recorded += done
        except BaseException:
            # The journal may be ahead of the tables now.
            self._repaired.clear()
            raise
        return recorded

    def record_national(self, totals: Mapping[datetime, int], at: datetime) -> dict[datetime, int]:
        """Note the country's customers by hour, received `at`; gives national less captured where they differ."""
        differing: dict[datetime, int] = {}
        for month, hours in _by_month(totals, lambda hour: hour):
            with self._writing(month, hours) as book:
                for hour, row in sorted(book.rows.items()):
                    if row.national_total != totals[hour]:
                        book.enter(Outcome(hour, at, Result.NATIONAL, asked=False, national_total=totals[hour]))
            differing |= {hour: row.national_difference for hour, row in book.rows.items() if row.national_difference}
        return dict(sorted(differing.items()))

    def set_aside(self, damaged: Mapping[Capture, str]) -> None:
        """Put bodies that are not what was kept into quarantine, with the reason; their hours are asked for again."""
        for month, captures in _by_month(damaged, attrgetter("hour")):
            with self._writing(month, {capture.hour for capture in captures}) as book:
                for capture in captures:
                    held = book.kept[capture.hour].get(capture.key)
                    if held is not None and held.capture == capture:
                        book.enter(_damage(capture, damaged[capture]))
                        logger.bind(stage="load", code=DAMAGED, hour=capture.hour.isoformat()).error(
                            "kept body in quarantine: {reason}", reason=damaged[capture]
                        )

    def relearn(self, first: datetime, last: datetime) -> int:
        """Take bodies out of quarantine whose shape the code knows by now, or that were restored; how many."""
        count = 0
        for revision in self.quarantine(first, last):
            kept = revision.capture
            try:
                seen = classify(self._files.read_kept(kept))
            except (BodyDamaged, BlobMissing) as error:
                logger.bind(stage="load", code=DAMAGED, hour=kept.hour.isoformat()).warning("{}", error.message)
                continue
            if seen.usable:
                known = replace(kept, rows=seen.rows, customers=seen.customers, shape=seen.shape)
                line = Finding(kept.hour, kept.captured_at, classified=seen).outcome(known)
                with self._writing(Month.of(kept.hour), [kept.hour]) as book:
                    book.enter(replace(line, asked=False, relearned=True))
                count += 1
        return count

    # --- making the tables equal to the files again: after a kill, or from nothing ---

    def repair(self, month: Month) -> int:
        """Bring a month up to its files, once for each ledger object; how many of its hours were behind.

        Bodies that no journal line names are adopted, lines that the tables lack are folded in.
        """
        if month in self._repaired:
            return 0
        check_zones(self._database.engine, month.start, month.end)
        with table.transaction(self._database, month) as cursor:
            self._journal.compact(month)
            book, moved, _ = self._read_files(month)
            held = table.read_book(cursor, book.rows).rows
            stale = [row.hour for row in book.changed_rows if held.get(row.hour) != row]
            if stale:
                if moved:
                    # Rows at the instants of another time zone database must go.
                    table.delete_month(cursor, month)
                table.write_book(cursor, book)
        if stale:
            bound = logger.bind(stage="capture", month=str(month))
            bound.info("Brought the ledger up to its files: {}", counted(len(stale), "hour"))
        self._repaired.add(month)
        return len(stale)

    def rebuild(self) -> RebuildReport:
        """Make the whole ledger anew from the files; rows of hours that no file knows are removed.

        Raises:
            StorageError: There are no files at all (a wrong SEC_DATA_DIR, most likely), or one can't be read.
        """
        months = sorted({*self._journal.months(), *self._files.months()})
        if not months:
            raise StorageError("Bronze holds no files to rebuild the ledger from.", next_step="Check SEC_DATA_DIR.")
        report = RebuildReport()
        report.passed_over += [f"{key}: a stray file" for key in (*self._journal.strays(), *self._files.strays())]
        for month in months:
            with table.transaction(self._database, month) as cursor:
                book, moved, passed_over = self._read_files(month)
                table.delete_month(cursor, month)
                table.write_book(cursor, book)
            report.hours[month] = len(book.changed_rows)
            report.moved += moved
            report.passed_over += passed_over
        for month in set(self.months()).difference(months):
            with table.transaction(self._database, month) as cursor:
                table.delete_month(cursor, month)
        return report

    def _read_files(self, month: Month) -> tuple[Book, int, list[str]]:
        """The month's journal after adopting bodies that it lacks, lines that moved, and what is passed over."""
        store, bound = self._files, logger.bind(stage="capture", month=str(month))
        read = self._journal.read(month)
        passed_over: list[str] = []
        if read.problems:
            passed_over.append(read.problems)
            bound.warning("{}", read.problems)
        named = {line.capture.key: line.capture.sha256 for line in read.outcomes if line.capture is not None}
        names = list(store.bodies(month))
        there, loose = {name.key for name in names}, {name.key for name in store.loose(month)}
        lost = {sha256 for key, sha256 in named.items() if key not in there}
        passed_over += [f"{file}: damaged" for file in store.sealed.of(month) if not store.sealed.names(file)]
        adopted: list[Outcome] = []
        for name in names:
            if name.key in named:
                continue
            try:
                body = store.read(name.key)
            except BodyDamaged as error:
                passed_over.append(error.message)
                bound.error("{}", error.message)
                continue
            if name.key not in loose and body != b"[]" and digest(body) in lost:
                # A damaged name in a sealed file: the body is another hour's.
                passed_over.append(f"{name.key}: the body of another name that is missing")
                continue
            holding = store.sealed.holding(name.key)
            by = holding.answered_by(name.key) if holding else NOT_KEPT
            found = Finding(name.hour, name.captured_at, body, classify(body), name.origin, answered_by=by)
            adopted.append(found.outcome(found.capture(name, digest(body))))
        if adopted:
            self._journal.append(month, adopted)
            bound.warning("Adopted {} that no line named", counted(len(adopted), "body", "bodies"))
        return Book.of([*read.outcomes, *adopted]), read.moved, passed_over

    @contextmanager
    def _writing(self, month: Month, hours: Iterable[datetime]) -> Iterator[Book]:
        """What the block enters in the book goes to the journal, then to the tables."""
        with table.transaction(self._database, month) as cursor:
            book = table.read_book(cursor, hours)
            yield book
            self._journal.append(month, book.lines)
            table.write_book(cursor, book)


def _by_month(items: Iterable[T], hour_of: Callable[[T], datetime]) -> list[tuple[Month, list[T]]]:
    months: dict[Month, list[T]] = defaultdict(list)
    for item in items:
        months[Month.of(hour_of(item))].append(item)
    return [(month, months[month]) for month in sorted(months)]


def _enter(finding: Finding, book: Book) -> Recorded | None:
    """Enter a finding in its hour; None for an imported body that is held already."""
    before, kept = book.rows.get(finding.hour) or LedgerRow(finding.hour), None
    if finding.classified is not None:
        sha256 = digest(finding.body)
        held = [each for each in book.kept[finding.hour].values() if each.capture.origin is finding.origin]
        sound = [each.capture for each in held if not each.damaged]
        newest = max(sound, key=lambda capture: capture.captured_at, default=None)
        if finding.origin is not Origin.SEC and any(capture.sha256 == sha256 for capture in sound):
            return None
        if newest is None or newest.sha256 != sha256:
            at = finding.at
            while any(each.capture.captured_at == at for each in held):
                at += _TICK
            kept = finding.capture(BodyName(finding.hour, at, finding.origin), sha256)
    outcome = finding.outcome(kept)
    book.enter(outcome)
    return Recorded(outcome, before, book.rows[finding.hour], finding.body)


def _damage(capture: Capture, reason: str) -> Outcome:
    """The journal line of a body that turned out to be damaged."""
    gone, said = replace(capture, rows=0, customers=0, shape=None), clean(f"{DAMAGED}: {reason}")
    at = capture.captured_at
    return Outcome(gone.hour, at, Result.QUARANTINED, gone, asked=False, code=DAMAGED, error=said, relearned=True)
