"""How an hour's state follows from what was asked and answered, and which hours are to be asked for now. Pure.

The ledger row of an hour is `fold` applied to its outcomes in the order in which they were written down. The
database keeps the running result, the journal keeps the lines, and both give the same row. A held and settled hour is
never asked for again, an hour that does not exist or has not closed never at all.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Final, Self

from sec_core.hours import HOUR, is_source_hour, open_hour
from sec_core.source.shapes import NOT_KEPT, AnsweredBy, Shape


class HourState(StrEnum):
    """State of an hour in the ledger (column `estado`); an hour without a row is `PENDING`."""

    PENDING = "pending"
    CAPTURED = "captured"
    EMPTY = "empty"
    FAILED = "failed"
    QUARANTINED = "quarantined"


class Origin(StrEnum):
    """Where a body came from (column `origen`)."""

    SEC = "sec"
    LEGACY = "legacy"


# `code` of an hour whose value was lost: the kept body is not what was kept, and the hour is to be asked for again.
DAMAGED: Final = "dañado"

SUSPECT_SHARE: Final = 0.1
SUSPECT_NEIGHBOUR_ROWS: Final = 20
# How far away the captured hour may lie that a row count is compared with.
SUSPECT_REACH: Final = timedelta(hours=3)


class Result(StrEnum):
    """What asking for an hour came to."""

    CAPTURED = "captured"
    EMPTY = "empty"
    QUARANTINED = "quarantined"
    FAILED = "failed"
    NATIONAL = "national"
    """Not an answer of the hour: the `Get` series told its national total."""


@dataclass(frozen=True, slots=True)
class Capture:
    """A body kept in Bronze, as the ledger describes it: a revision of its hour.

    `hour` and `captured_at` (of receipt) are UTC; `key` is its name in the store, `sha256` and `size` (bytes) are those
    of the body as received. `shape` is None, and the counts 0, for `[]` and for quarantined bodies.
    """

    hour: datetime
    captured_at: datetime
    origin: Origin
    key: str
    sha256: str
    size: int
    rows: int
    customers: int
    shape: Shape | None
    answered_by: AnsweredBy = NOT_KEPT


@dataclass(frozen=True, slots=True)
class Revision:
    """A kept body with what it was taken for, and why it is in quarantine (a row of `revisiones`)."""

    capture: Capture
    result: Result
    reason: str | None

    @property
    def damaged(self) -> bool:
        """Whether the body is no longer what was kept."""
        return self.result is Result.QUARANTINED and (self.reason or "").startswith(DAMAGED)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line of the journal.

    `at` is when it was known, UTC. `capture` is None when nothing new was kept; `asked` is false for imports; `suspect`
    means that it looks like a corrupt cycle after a second look. `relearned`: a body kept before is seen otherwise, its
    shape learned or its damage found, and is no new revision.
    """

    hour: datetime
    at: datetime
    result: Result
    capture: Capture | None = None
    asked: bool = True
    code: str | None = None
    error: str | None = None
    suspect: bool = False
    national_total: int | None = None
    relearned: bool = False


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What the ledger knows of an hour: a row of `capturas`. Instants are UTC.

    `value` is the capture that counts; the state is `captured` once there is one, else what the newest answer was, else
    `failed`. `revisions` counts kept bodies of any shape, `failures` those in a row since the last answer;
    `empty_since` is the first of the `[]` answers that nothing else has interrupted; `code` and `error` are of the last
    error.
    """

    hour: datetime
    state: HourState = HourState.PENDING
    value: Capture | None = None
    revisions: int = 0
    asked: int = 0
    first_asked: datetime | None = None
    last_asked: datetime | None = None
    empty_since: datetime | None = None
    failures: int = 0
    code: str | None = None
    error: str | None = None
    suspect: bool = False
    national_total: int | None = None

    @property
    def national_difference(self) -> int | None:
        """National total less the sum of the captured rows; None where either is unknown."""
        if self.national_total is None or self.value is None:
            return None
        return self.national_total - self.value.customers


def fold(row: LedgerRow, outcome: Outcome, kept: Iterable[Capture] = ()) -> LedgerRow:
    """Add an outcome to an hour's row (`LedgerRow(hour)` for an hour never heard of).

    `kept`, the hour's bodies after it, is only needed where one turned out to be damaged.
    """
    if outcome.code == DAMAGED and outcome.capture is not None:
        return _fold_damage(row, outcome, outcome.capture.key, kept)
    if outcome.result is Result.NATIONAL:
        return replace(row, national_total=outcome.national_total)
    if outcome.asked:
        row = replace(
            row,
            asked=row.asked + 1,
            first_asked=min(row.first_asked or outcome.at, outcome.at),
            last_asked=max(row.last_asked or outcome.at, outcome.at),
        )
    if outcome.result is Result.FAILED:
        return replace(
            row,
            state=HourState.FAILED if row.state is HourState.PENDING else row.state,
            failures=row.failures + 1,
            code=DAMAGED if row.code == DAMAGED else outcome.code,
            error=outcome.error,
            suspect=row.suspect or (outcome.suspect and row.value is not None),
        )
    return _fold_answer(row, outcome)


def _fold_damage(row: LedgerRow, outcome: Outcome, key: str, kept: Iterable[Capture]) -> LedgerRow:
    if row.value is None or row.value.key != key:
        return row
    value = best_value(kept)
    state = HourState.QUARANTINED if value is None else HourState.CAPTURED
    return replace(row, state=state, value=value, code=DAMAGED, error=outcome.error, suspect=False)


def _fold_answer(row: LedgerRow, outcome: Outcome) -> LedgerRow:
    value = best_value(filter(None, (row.value, outcome.capture)))
    state = HourState(outcome.result.value) if value is None else HourState.CAPTURED
    quarantined = outcome.result is Result.QUARANTINED
    return replace(
        row,
        state=state,
        value=value,
        revisions=row.revisions + (outcome.capture is not None and not outcome.relearned),
        empty_since=row.empty_since or outcome.at if state is HourState.EMPTY else None,
        failures=0 if outcome.asked else row.failures,
        code=outcome.code if quarantined else None,
        error=outcome.error if quarantined else None,
        suspect=outcome.suspect if outcome.result is Result.CAPTURED else row.suspect,
    )


def best_value(bodies: Iterable[Capture]) -> Capture | None:
    """Which of an hour's bodies is its value: detailed before aggregated, then the newest one.

    Bodies without a known shape (`[]`, quarantined) never are a value.
    """

    def rank(capture: Capture) -> tuple[bool, datetime, str, str]:
        # Origin and hash only break ties of the clock, so that the order of arrival never decides.
        return (capture.shape is Shape.DETAILED, capture.captured_at, capture.origin.value, capture.sha256)

    return max((body for body in bodies if body.shape is not None), key=rank, default=None)


@dataclass(slots=True)
class Book:
    """Rows and kept bodies (by key) of some hours, while outcomes are entered in the order of the journal.

    `lines` are those that counted: of two that name a body the second is skipped (a line written again after a kill).
    """

    rows: dict[datetime, LedgerRow] = field(default_factory=dict)
    kept: dict[datetime, dict[str, Revision]] = field(default_factory=lambda: defaultdict(dict))
    lines: list[Outcome] = field(default_factory=list)

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> Self:
        """What a whole journal says."""
        book = cls()
        for outcome in outcomes:
            book.enter(outcome)
        return book

    def enter(self, outcome: Outcome) -> None:
        """Add an outcome to its hour."""
        kept, capture = self.kept[outcome.hour], outcome.capture
        if capture is not None:
            if capture.key in kept and not outcome.relearned:
                return
            kept[capture.key] = Revision(capture, outcome.result, outcome.error)
        row = self.rows.get(outcome.hour) or LedgerRow(outcome.hour)
        self.rows[outcome.hour] = fold(row, outcome, (each.capture for each in kept.values()))
        self.lines.append(outcome)

    @property
    def changed_rows(self) -> list[LedgerRow]:
        """Rows of what was entered; hours that were neither asked nor imported have none (they are pending)."""
        rows = (self.rows[hour] for hour in dict.fromkeys(line.hour for line in self.lines))
        return [row for row in rows if row.state is not HourState.PENDING]

    @property
    def changed_revisions(self) -> list[Revision]:
        """Revisions of what was entered."""
        return [self.kept[line.hour][line.capture.key] for line in self.lines if line.capture is not None]


def looks_corrupt(hour: datetime, rows_of: dict[datetime, int]) -> bool:
    """Whether an hour's answer looks like a corrupt cycle of the source.

    It does when it has under a tenth of the rows of the nearest captured hours on either side within `SUSPECT_REACH`
    (one at least), and these had 20 or more (about 300 comunas fell to 2 for one cycle on 2026-07-17).
    """
    if hour not in rows_of:
        return False
    steps = range(1, SUSPECT_REACH // HOUR + 1)
    sides = ([rows_of[at] for step in steps if (at := hour + way * step) in rows_of] for way in (-HOUR, HOUR))
    neighbours = [counts[0] for counts in sides if counts]
    return bool(neighbours) and all(
        count >= SUSPECT_NEIGHBOUR_ROWS and rows_of[hour] < SUSPECT_SHARE * count for count in neighbours
    )


def clean(text: str | None) -> str | None:
    """A text that PostgreSQL takes and a person can read in a table."""
    return None if text is None else text.replace("\x00", "\\x00")[:1000]


# --- which hours are to be asked for now ---

# How long after its close a captured hour is asked for again.
RECHECK: Final = timedelta(hours=72)

# How long an empty answer must have lasted, or a suspect one must have stayed, to be believed.
SETTLE: Final = timedelta(days=7)

# In so many rounds of one run an hour may fail; a round ends where the circuit opens.
MOST_ROUNDS: Final = 2

# How far back the national series reaches, with a day to spare.
NATIONAL_WINDOW: Final = timedelta(days=8)


class Reason(IntEnum):
    """Why an hour is asked for; the order is the order of asking."""

    PENDING = 0
    FAILED = 1
    EMPTY = 2
    SUSPECT = 3
    DIFFERS = 4
    RECENT = 5
    FORCED = 6
    # Of an unknown shape, or damaged. Last, so that a body that stays odd can't keep a run from everything else.
    QUARANTINED = 7


def reason_to_ask(row: LedgerRow, now: datetime) -> Reason | None:  # noqa: PLR0911
    """Why an existing, closed hour is to be asked for now; None if it is settled."""
    if row.code == DAMAGED:
        return Reason.QUARANTINED
    if row.asked == 0:
        # An hour known from an import alone is held; only its freshness is not known.
        return None if row.state is HourState.CAPTURED else Reason.PENDING
    if row.state is HourState.FAILED:
        return Reason.FAILED
    if row.state is HourState.QUARANTINED:
        return Reason.QUARANTINED
    last = row.last_asked or now
    if row.state is HourState.EMPTY:
        settled = row.empty_since is not None and last - row.empty_since >= SETTLE and row.failures == 0
        return None if settled else Reason.EMPTY
    if row.suspect and row.value is not None and last - row.value.captured_at < SETTLE:
        return Reason.SUSPECT
    closed = row.hour + HOUR
    age = now - closed
    if row.national_difference and age < NATIONAL_WINDOW:
        return Reason.DIFFERS
    # What was seen of an hour while it was open is not its value, however long ago that was.
    if age < RECHECK or last < closed:
        return Reason.RECENT
    return None


def hours_to_ask(
    hours: Iterable[datetime],
    rows: Mapping[datetime, LedgerRow],
    now: datetime,
    *,
    force: bool = False,
    asked_since: datetime | None = None,
    rows_before: Mapping[datetime, LedgerRow] | None = None,
) -> list[datetime]:
    """Which of some hours are to be asked for now: those never asked for first, those in quarantine last.

    Args:
        hours: Candidates, for example all hours of a month.
        rows: The ledger's rows of them; an hour without a row is pending.
        now: The present instant.
        force: Ask for settled hours too.
        asked_since: Start of this run: what was answered since then is not asked for again (failures are).
        rows_before: The rows at the start of this run: an hour that failed in `MOST_ROUNDS` rounds since then is left
            for the next run, so that this one ends.
    """
    under_way, earlier = open_hour(now), rows if rows_before is None else rows_before
    chosen: list[tuple[Reason, datetime]] = []
    for hour in hours:
        if hour >= under_way or not is_source_hour(hour):
            continue
        row = rows.get(hour, LedgerRow(hour))
        reason = reason_to_ask(row, now)
        if reason is None and force:
            reason = Reason.FORCED
        answered = asked_since and row.last_asked and not row.failures and row.last_asked >= asked_since
        # An answer in between starts the count of failures anew.
        left = row.failures - earlier.get(hour, LedgerRow(hour)).failures >= MOST_ROUNDS
        if reason is not None and not answered and not left:
            chosen.append((reason, hour))
    return [hour for _, hour in sorted(chosen)]


# How long an hour that was answered after its close is left alone.
LOOK_AGAIN: Final = timedelta(hours=1)


def candidates(now: datetime, closed: int) -> list[datetime]:
    """The open hour and `closed` hours before it, newest first; `now` is the time at the source."""
    under_way = open_hour(now)
    hours = (under_way - HOUR * back for back in range(closed + 2))
    return [hour for hour in hours if is_source_hour(hour)][: closed + 1]


def hours_to_watch(hours: list[datetime], rows: Mapping[datetime, LedgerRow], now: datetime) -> list[datetime]:
    """Which of the candidates are to be asked for now: the open one first, then from the newest back."""
    under_way = open_hour(now)
    return [hour for hour in hours if hour == under_way or _due(rows.get(hour, LedgerRow(hour)), now)]


def _due(row: LedgerRow, now: datetime) -> bool:
    if row.last_asked is None or row.failures:
        return True
    return row.last_asked < row.hour + HOUR or now - row.last_asked >= LOOK_AGAIN


def days_at_once(max_concurrency: int) -> int:
    """How many days a run works on at once: enough that the last hours of one day leave no request slot idle."""
    return 1 + math.ceil(max_concurrency / 12)
