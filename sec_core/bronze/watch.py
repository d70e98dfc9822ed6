"""Which hours the monitor asks for: the one under way, and the last closed ones until they have settled. A pure rule.

The open hour changes at the source about every quarter of an hour, so it is asked for each time; what is kept of it is
a revision that a later one replaces. An hour that has closed since it was last asked for comes next, so that its value
is the closed one. Older ones are corrected now and then, so they are asked for again once in a while.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sec_core.hours import HOUR, is_source_hour, open_hour

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sec_core.bronze.ledger_rules import LedgerRow

LOOK_AGAIN: Final = timedelta(hours=1)
"""How long an hour that was answered after its close is left alone."""


def candidates(now: datetime, closed: int) -> list[datetime]:
    """The open hour and the hours before it, newest first.

    Args:
        now: What time it is at the source.
        closed: How many closed hours.
    """
    under_way = open_hour(now)
    hours = (under_way - HOUR * back for back in range(closed + 2))
    return [hour for hour in hours if is_source_hour(hour)][: closed + 1]


def hours_to_watch(
    hours: list[datetime], rows: Mapping[datetime, LedgerRow], now: datetime, *, look_again: timedelta = LOOK_AGAIN
) -> list[datetime]:
    """Which of the candidates are to be asked for now.

    Args:
        hours: Candidates, see `candidates`.
        rows: The ledger's rows of them; an hour without a row was never asked for.
        now: What time it is at the source.
        look_again: How long an hour that was answered after its close is left alone.

    Returns:
        The hours in the order of asking: the open one first, then from the newest back.
    """
    under_way = open_hour(now)
    return [hour for hour in hours if hour == under_way or _due(hour, rows.get(hour), now, look_again)]


def _due(hour: datetime, row: LedgerRow | None, now: datetime, look_again: timedelta) -> bool:
    if row is None or row.last_asked is None or row.failures:
        return True
    return row.last_asked < hour + HOUR or now - row.last_asked >= look_again
