"""Which hours are asked for, by a run and by the monitor."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sec_core.bronze.ledger_rules import (
    Capture,
    HourState,
    LedgerRow,
    Origin,
    candidates,
    hours_to_ask,
    hours_to_watch,
)
from sec_core.hours import CHILE, Month, is_source_hour
from sec_core.source.shapes import Shape

HOUR = datetime(2024, 8, 2, 16, tzinfo=UTC)
H = timedelta(hours=1)
DAY = timedelta(days=1)


def row(state: HourState, asked_at: datetime, *, hour: datetime = HOUR, customers: int = 5) -> LedgerRow:
    capture = Capture(hour, asked_at, Origin.SEC, "k", "s", 9, 3, customers, Shape.AGGREGATED)
    return LedgerRow(
        hour,
        state,
        value=capture if state is HourState.CAPTURED else None,
        asked=1,
        first_asked=asked_at,
        last_asked=asked_at,
        empty_since=asked_at if state is HourState.EMPTY else None,
        failures=1 if state is HourState.FAILED else 0,
    )


def is_asked(known: LedgerRow | None, now: datetime, **options: bool | datetime | timedelta) -> bool:
    rows = {} if known is None else {HOUR: known}
    return hours_to_ask([HOUR], rows, now, **options) == [HOUR]  # type: ignore[arg-type]


def test_hours_that_have_not_closed_or_do_not_exist_are_never_asked_for() -> None:
    assert not is_asked(None, HOUR + timedelta(minutes=59), force=True)
    assert is_asked(None, HOUR + H)
    repeated = datetime(2024, 4, 7, 3, tzinfo=UTC)  # the second 23h of the April change
    assert hours_to_ask([repeated], {}, HOUR) == []
    september = Month(2024, 9)
    assert len(hours_to_ask(september.hours(), {}, HOUR + 365 * DAY)) == 719


def test_settled_hours_are_left_alone_unless_forced() -> None:
    settled = row(HourState.CAPTURED, HOUR + 2 * H)
    assert not is_asked(settled, HOUR + 30 * DAY)
    assert is_asked(settled, HOUR + 30 * DAY, force=True)


def test_captured_hours_are_looked_at_again_for_72_hours() -> None:
    captured = row(HourState.CAPTURED, HOUR + 2 * H)
    assert is_asked(captured, HOUR + H + timedelta(hours=71, minutes=59))
    assert not is_asked(captured, HOUR + H + timedelta(hours=72))
    assert not is_asked(captured, HOUR + 3 * H, asked_since=HOUR + 2 * H)


def test_what_was_seen_while_the_hour_was_open_is_not_its_value() -> None:
    assert is_asked(row(HourState.CAPTURED, HOUR + timedelta(minutes=36)), HOUR + 300 * DAY)


def test_empty_hours_are_asked_for_until_they_have_stayed_empty_over_a_week() -> None:
    empty = row(HourState.EMPTY, HOUR + 2 * H)
    assert is_asked(empty, HOUR + 300 * DAY)
    stayed = replace(empty, last_asked=HOUR + 2 * H + 7 * DAY)
    assert not is_asked(stayed, HOUR + 300 * DAY)
    assert is_asked(replace(stayed, failures=1), HOUR + 300 * DAY)


def test_failed_quarantined_suspect_and_differing_hours_are_asked_for() -> None:
    now = HOUR + 6 * DAY
    assert is_asked(row(HourState.FAILED, now), now, asked_since=now)
    assert is_asked(row(HourState.QUARANTINED, HOUR + H), now)
    held = row(HourState.CAPTURED, HOUR + H)
    assert not is_asked(held, now)
    assert is_asked(replace(held, suspect=True), now)
    assert not is_asked(replace(held, suspect=True, last_asked=HOUR + H + 7 * DAY), now + 9 * DAY)
    assert is_asked(replace(held, national_total=6), now)
    assert not is_asked(replace(held, national_total=6), now + 9 * DAY)


def test_imported_hours_are_held() -> None:
    imported = replace(row(HourState.CAPTURED, HOUR + H), asked=0, first_asked=None, last_asked=None)
    assert not is_asked(imported, HOUR + 300 * DAY)


def test_new_hours_come_first_and_those_in_quarantine_last() -> None:
    hours = [HOUR + i * H for i in range(4)]
    known = {
        hours[0]: row(HourState.QUARANTINED, HOUR + 9 * DAY, hour=hours[0]),
        hours[1]: row(HourState.FAILED, HOUR + 9 * DAY, hour=hours[1]),
    }
    assert hours_to_ask(hours, known, HOUR + 10 * DAY) == [hours[2], hours[3], hours[1], hours[0]]


# --- by the monitor ---

NOW = datetime(2026, 11, 21, 15, 25, tzinfo=UTC)
OPEN = NOW.replace(minute=0)


def seen(hour: datetime, asked: datetime, **changes: object) -> LedgerRow:
    return LedgerRow(hour, state=HourState.CAPTURED, asked=1, last_asked=asked, **changes)  # type: ignore[arg-type]


def test_candidates_are_the_open_hour_and_those_before_it() -> None:
    assert candidates(NOW, 3) == [OPEN - H * back for back in range(4)]
    assert candidates(NOW, 0) == [OPEN]


def test_candidates_pass_over_the_hour_that_april_repeats() -> None:
    after = datetime(2026, 4, 5, 1, 30, tzinfo=CHILE).astimezone(UTC)
    hours = candidates(after, 4)
    walls = [hour.astimezone(CHILE).hour for hour in hours]
    assert walls == [1, 0, 23, 22, 21]
    assert all(map(is_source_hour, hours))


def test_during_the_repeated_hour_its_first_occurrence_is_the_open_one() -> None:
    first = datetime(2026, 4, 4, 23, 10, tzinfo=CHILE).astimezone(UTC)
    assert candidates(first + H, 0) == candidates(first, 0)


def test_all_hours_are_due_when_nothing_is_known_of_them() -> None:
    hours = candidates(NOW, 5)
    assert hours_to_watch(hours, {}, NOW) == hours


def test_the_open_hour_is_asked_for_each_time_and_a_closed_one_after_its_close_and_then_hourly() -> None:
    hours = candidates(NOW, 4)
    rows = {
        OPEN: seen(OPEN, NOW - timedelta(minutes=10)),
        OPEN - H: seen(OPEN - H, OPEN - timedelta(minutes=5)),  # last seen while it was open
        OPEN - H * 2: seen(OPEN - H * 2, NOW - timedelta(minutes=59)),
        OPEN - H * 3: seen(OPEN - H * 3, NOW - timedelta(minutes=60)),
        OPEN - H * 4: seen(OPEN - H * 4, NOW - timedelta(minutes=10), failures=1),
    }
    assert hours_to_watch(hours, rows, NOW) == [OPEN, OPEN - H, OPEN - H * 3, OPEN - H * 4]
