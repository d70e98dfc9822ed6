"""Which hours the monitor asks for."""

from datetime import UTC, datetime, timedelta

from sec_core.bronze.ledger_rules import HourState, LedgerRow, candidates, hours_to_watch
from sec_core.hours import CHILE, HOUR, is_source_hour

NOW = datetime(2026, 11, 21, 15, 25, tzinfo=UTC)
OPEN = NOW.replace(minute=0)


def row(hour: datetime, asked: datetime, **changes: object) -> LedgerRow:
    return LedgerRow(hour, state=HourState.CAPTURED, asked=1, last_asked=asked, **changes)  # type: ignore[arg-type]


def test_candidates_are_the_open_hour_and_those_before_it() -> None:
    assert candidates(NOW, 3) == [OPEN - HOUR * back for back in range(4)]
    assert candidates(NOW, 0) == [OPEN]


def test_candidates_pass_over_the_hour_that_april_repeats() -> None:
    after = datetime(2026, 4, 5, 1, 30, tzinfo=CHILE).astimezone(UTC)
    hours = candidates(after, 4)
    walls = [hour.astimezone(CHILE).hour for hour in hours]
    assert walls == [1, 0, 23, 22, 21]
    assert all(map(is_source_hour, hours))


def test_during_the_repeated_hour_its_first_occurrence_is_the_open_one() -> None:
    first = datetime(2026, 4, 4, 23, 10, tzinfo=CHILE).astimezone(UTC)
    assert candidates(first + HOUR, 0) == candidates(first, 0)


def test_all_hours_are_due_when_nothing_is_known_of_them() -> None:
    hours = candidates(NOW, 5)
    assert hours_to_watch(hours, {}, NOW) == hours


def test_the_open_hour_is_asked_for_each_time_and_a_closed_one_after_its_close_and_then_hourly() -> None:
    hours = candidates(NOW, 4)
    rows = {
        OPEN: row(OPEN, NOW - timedelta(minutes=10)),
        OPEN - HOUR: row(OPEN - HOUR, OPEN - timedelta(minutes=5)),  # last seen while it was open
        OPEN - HOUR * 2: row(OPEN - HOUR * 2, NOW - timedelta(minutes=59)),
        OPEN - HOUR * 3: row(OPEN - HOUR * 3, NOW - timedelta(minutes=60)),
        OPEN - HOUR * 4: row(OPEN - HOUR * 4, NOW - timedelta(minutes=10), failures=1),
    }
    assert hours_to_watch(hours, rows, NOW) == [OPEN, OPEN - HOUR, OPEN - HOUR * 3, OPEN - HOUR * 4]
