"""Which hours are to be asked for now: a pure rule over the ledger.

A held and settled hour is never asked for again, an hour that does not exist or has not closed never at all.
"""

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

from sec_core.bronze.ledger_rules import DAMAGED, HourState, LedgerRow
from sec_core.hours import HOUR, is_source_hour, open_hour

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


def reason_to_ask(row: LedgerRow | None, now: datetime, hour: datetime) -> Reason | None:  # noqa: PLR0911
    """Why an existing, closed hour is to be asked for now; None if it is settled. No row: nothing is known of it."""
    if row is not None and row.code == DAMAGED:
        return Reason.QUARANTINED
    if row is None or row.asked == 0:
        # An hour known from an import alone is held; only its freshness is not known.
        return Reason.PENDING if row is None or row.state is not HourState.CAPTURED else None
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
    age = now - (hour + HOUR)
    if row.national_difference and age < NATIONAL_WINDOW:
        return Reason.DIFFERS
    # What was seen of an hour while it was open is not its value, however long ago that was.
    if age < RECHECK or last < hour + HOUR:
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
    under_way = open_hour(now)
    chosen: list[tuple[Reason, datetime]] = []
    for hour in hours:
        if hour >= under_way or not is_source_hour(hour):
            continue
        row = rows.get(hour)
        reason = reason_to_ask(row, now, hour)
        if reason is None and force:
            reason = Reason.FORCED
        if reason is None or (row is not None and _answered_since(row, asked_since)):
            continue
        if row is not None and rows_before is not None and _left(row, rows_before.get(hour)):
            continue
        chosen.append((reason, hour))
    return [hour for _, hour in sorted(chosen)]


def _left(row: LedgerRow, before: LedgerRow | None) -> bool:
    """Whether an hour has failed often enough since `before`; an answer in between starts the count anew."""
    return row.failures - (before.failures if before is not None else 0) >= MOST_ROUNDS


def _answered_since(row: LedgerRow, begin: datetime | None) -> bool:
    return begin is not None and row.last_asked is not None and not row.failures and row.last_asked >= begin


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
    return [hour for hour in hours if hour == under_way or _due(hour, rows.get(hour), now)]


def _due(hour: datetime, row: LedgerRow | None, now: datetime) -> bool:
    if row is None or row.last_asked is None or row.failures:
        return True
    return row.last_asked < hour + HOUR or now - row.last_asked >= LOOK_AGAIN


def days_at_once(max_concurrency: int) -> int:
    """How many days a run works on at once: enough that the last hours of one day leave no request slot idle."""
    return 1 + math.ceil(max_concurrency / 12)
