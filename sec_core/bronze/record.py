"""What came of asking for an hour, and what of it is written down: a body unless it is held, and a journal line."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sec_core.bronze.ledger_rules import DAMAGED, Book, Capture, LedgerRow, Origin, Outcome, Result, clean
from sec_core.bronze.store import BodyName, digest
from sec_core.source.shapes import NOT_KEPT, AnsweredBy, BodyKind, Classified, classify

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

    @classmethod
    def of(cls, name: BodyName, body: bytes, answered_by: AnsweredBy) -> Finding:
        """A body that was kept before anything was written down of it."""
        return cls(name.hour, name.captured_at, body, classify(body), name.origin, answered_by=answered_by)

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


def enter(finding: Finding, book: Book) -> Recorded | None:
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


def damage(capture: Capture, reason: str) -> Outcome:
    """The journal line of a body that turned out to be damaged."""
    gone, said = replace(capture, rows=0, customers=0, shape=None), clean(f"{DAMAGED}: {reason}")
    at = capture.captured_at
    return Outcome(gone.hour, at, Result.QUARANTINED, gone, asked=False, code=DAMAGED, error=said, relearned=True)
