"""The ledger of hours: which are captured, empty, failed or in quarantine, and which capture counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from sec_core.blobs.model import BlobMissing
from sec_core.bronze import ledger_table as table
from sec_core.bronze import record as recording
from sec_core.bronze.journal import Journal
from sec_core.bronze.ledger_rules import DAMAGED, Capture, HourState, LedgerRow, Outcome, Result, fold
from sec_core.bronze.sealed import BodyDamaged
from sec_core.db.queries import read_queries
from sec_core.db.zones import check_zones
from sec_core.errors import ConfigError
from sec_core.hours import HOUR, Month, closed_hours
from sec_core.source.shapes import classify

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sec_core.bronze.store import BronzeStore
    from sec_core.db.database import Database

_SQL: Final = read_queries("sec_core.bronze", "ledger.sql")


@dataclass(frozen=True, slots=True)
class MonthSummary:
    """How far a month is captured, in hours; `expected` ones have closed, `pending` ones were never asked for.

    `damaged` hours lost their value to a damaged body, `suspect` ones look like a corrupt cycle, `differing` ones
    differ from the national series; `revisions` counts kept bodies.
    """

    month: Month
    expected: int
    pending: int
    captured: int
    empty: int
    failed: int
    quarantined: int
    damaged: int
    suspect: int
    differing: int
    revisions: int
    last_asked: datetime | None

    @property
    def complete(self) -> bool:
        """Whether every closed hour is captured or known to be empty."""
        return self.captured + self.empty == self.expected


class Ledger:
    """States, values and revisions of hours, safe to use from several threads and processes.

    Reading needs the database alone; writing needs the store too.
    """

    def __init__(self, database: Database, store: BronzeStore | None = None) -> None:
        self._database = database
        self._store = store
        self._repaired: set[Month] = set()

    # --- reading ---

    def values(self, first: datetime, last: datetime) -> list[Capture]:
        """The capture that counts of each captured hour in [first, last), ordered by hour."""
        return [table.to_capture(row) for row in self._found("values", first, last)]

    def rows(self, hours: Sequence[datetime]) -> dict[datetime, LedgerRow]:
        """Ledger rows of some hours; pending hours are absent."""
        with table.transaction(self._database) as cursor:
            return table.read_rows(cursor, hours)

    def row_counts(self, hours: Sequence[datetime]) -> dict[datetime, int]:
        """Rows in the value of some hours; hours without a value are absent."""
        return {row["hora"]: row["n_filas"] for row in self._found("row_counts", list(hours))}

    def states(self, month: Month) -> dict[datetime, HourState]:
        """State of every hour that the source can have in a month, in order; not yet closed ones are pending too."""
        known = {row["hora"]: HourState(row["estado"]) for row in self._found("states", month.start, month.end)}
        return dict.fromkeys(month.hours(), HourState.PENDING) | known

    def revisions(self, hour: datetime) -> list[table.Revision]:
        """All kept bodies of an hour, oldest first."""
        with table.transaction(self._database) as cursor:
            return table.read_revisions(cursor, [hour]).get(hour, [])

    def kept(self, month: Month) -> list[Capture]:
        """Every kept body of a month, of any shape, that is not known to be damaged; in the order of names."""
        with table.transaction(self._database) as cursor:
            revisions = table.read_revisions(cursor, month.hours())
        captures = [item.capture for held in revisions.values() for item in held if not item.damaged]
        return sorted(captures, key=lambda capture: capture.key)

    def totals_of_both_shapes(self) -> dict[datetime, tuple[int, int]]:
        """Customers by the newest detailed and the newest aggregated capture, of each hour that has both."""
        return {row["hora"]: (row["detailed"], row["aggregated"]) for row in self._found("both_shapes")}

    def imported(self) -> set[tuple[datetime, datetime]]:
        """Hour and time of capture of every body from the older dataset."""
        return {(row["hora"], row["capturado_en"]) for row in self._found("imported", DAMAGED + "%")}

    def quarantine(self, first: datetime, last: datetime) -> list[table.Revision]:
        """Bodies in quarantine of hours in [first, last), oldest first."""
        return [table.to_revision(row) for row in self._found("quarantine", first, last)]

    def month_summary(self, months: Sequence[Month], now: datetime) -> list[MonthSummary]:
        """How far months are captured, in the order given; hours that have not closed by `now` are not expected."""
        summaries = []
        for month in months:
            closed = closed_hours(month, now)
            end = min(month.end, closed[-1] + HOUR) if closed else month.start
            (row,) = self._found("summary", month.start, end)
            known = row["captured"] + row["empty"] + row["failed"] + row["quarantined"]
            summaries.append(MonthSummary(month, len(closed), pending=len(closed) - known, **row))
        return summaries

    def newest_hour(self) -> datetime | None:
        """The newest captured hour of the whole history, whatever its shape."""
        newest: datetime | None = self._found("newest_hour")[0]["hora"]
        return newest

    def months(self) -> list[Month]:
        """Months that the ledger knows anything of, in order."""
        return sorted(Month.of(row["mes"]) for row in self._found("months"))

    # --- writing ---

    def record(self, findings: Sequence[recording.Finding]) -> list[recording.Recorded]:
        """Write down what asking came to: body, journal, ledger; raises as `record.record` does."""
        store, journal = self._files()
        try:
            return recording.record(self._database, store, journal, findings)
        except BaseException:
            # The journal may be ahead of the tables now.
            self._repaired.clear()
            raise

    def repair(self, month: Month) -> int:
        """Bring a month up to its files, once for each ledger object; how many of its hours were behind."""
        if month in self._repaired:
            return 0
        check_zones(self._database, month.start, month.end)
        store, journal = self._files()
        changed = recording.repair(self._database, store, journal, month)
        self._repaired.add(month)
        return changed

    def compact(self, month: Month) -> None:
        """Bring a month's journal into one blob, where the store keeps it in several."""
        _, journal = self._files()
        journal.compact(month, most=1)

    def rebuild(self) -> recording.RebuildReport:
        """Make the whole ledger anew from the files."""
        store, journal = self._files()
        return recording.rebuild(self._database, store, journal)

    def record_national(self, totals: Mapping[datetime, int], at: datetime) -> dict[datetime, int]:
        """Note the country's customers by hour, received `at`; gives national less captured where they differ."""
        _, journal = self._files()
        differing: dict[datetime, int] = {}
        for month in sorted({Month.of(hour) for hour in totals}):
            with table.transaction(self._database) as cursor:
                table.lock_month(cursor, month)
                held = table.read_rows(cursor, [hour for hour in totals if Month.of(hour) == month])
                lines = [
                    Outcome(hour, at, Result.NATIONAL, asked=False, national_total=totals[hour])
                    for hour, row in sorted(held.items())
                    if row.national_total != totals[hour]
                ]
                journal.append(month, lines)
                held |= {line.hour: fold(held[line.hour], line) for line in lines}
                table.write_rows(cursor, [held[line.hour] for line in lines])
            differing |= {hour: row.national_difference for hour, row in held.items() if row.national_difference}
        return dict(sorted(differing.items()))

    def set_aside(self, damaged: Mapping[Capture, str]) -> None:
        """Put bodies that are not what was kept into quarantine, with the reason; their hours are asked for again."""
        _, journal = self._files()
        for month in sorted({Month.of(capture.hour) for capture in damaged}):
            hours = sorted({capture.hour for capture in damaged if Month.of(capture.hour) == month})
            with table.transaction(self._database) as cursor:
                table.lock_month(cursor, month)
                revisions = table.read_revisions(cursor, hours)
                rows = table.read_rows_of(cursor, hours, revisions)
                held = {item.capture.key: item.capture for hour in hours for item in revisions.get(hour, [])}
                lines = []
                for capture, reason in damaged.items():
                    if held.get(capture.key) != capture:
                        continue
                    gone = held[capture.key] = replace(capture, rows=0, customers=0, shape=None)
                    line = recording.damage(gone, reason)
                    of_hour = [item for item in held.values() if item.hour == capture.hour]
                    rows[capture.hour] = fold(rows.get(capture.hour) or LedgerRow(capture.hour), line, of_hour)
                    lines.append(line)
                    logger.bind(stage="load", code=DAMAGED, hour=capture.hour.isoformat()).error(
                        "kept body in quarantine: {reason}", reason=reason
                    )
                journal.append(month, lines)
                kept = [(line.capture, line) for line in lines if line.capture]
                table.write_revisions(cursor, [table.Revision(item, line.result, line.error) for item, line in kept])
                table.write_rows(cursor, [rows[line.hour] for line in lines])

    def damaged(self) -> list[datetime]:
        """Hours that lost their value to a damaged body and were not answered since, in order."""
        return [row["hora"] for row in self._found("damaged", DAMAGED)]

    def relearn(self, first: datetime, last: datetime) -> int:
        """Take bodies out of quarantine whose shape the code knows by now, or that were restored; how many."""
        store, journal = self._files()
        count = 0
        for revision in self.quarantine(first, last):
            kept = revision.capture
            try:
                classified = classify(store.read_kept(kept))
            except (BodyDamaged, BlobMissing) as error:
                logger.bind(stage="load", code=DAMAGED, hour=kept.hour.isoformat()).warning("{}", error.message)
                continue
            if not classified.usable:
                continue
            kept = replace(kept, rows=classified.rows, customers=classified.customers, shape=classified.shape)
            outcome = recording.describe(kept.hour, kept.captured_at, classified, capture=kept, asked=False)
            outcome = replace(outcome, relearned=True)
            with table.transaction(self._database) as cursor:
                table.lock_month(cursor, Month.of(kept.hour))
                row = table.read_rows(cursor, [kept.hour]).get(kept.hour) or LedgerRow(kept.hour)
                journal.append(Month.of(kept.hour), [outcome])
                table.write_revisions(cursor, [table.Revision(kept, outcome.result, None)])
                table.write_rows(cursor, [fold(row, outcome)])
            count += 1
        return count

    def _files(self) -> tuple[BronzeStore, Journal]:
        if self._store is None:
            raise ConfigError("This ledger was opened for reading only.", next_step="Open it with a Bronze store.")
        return self._store, Journal(self._store.blobs)

    def _found(self, query: str, *values: object) -> list[dict[str, Any]]:
        with table.transaction(self._database) as cursor:
            return cursor.execute(_SQL[query], values).fetchall()
