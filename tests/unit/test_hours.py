from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sec_core.clock import in_chile
from sec_core.errors import InputError
from sec_core.hours import (
    CHILE,
    FIRST_MONTH,
    HOUR,
    Month,
    closed_hours,
    day_start,
    from_wall,
    hours_of_day,
    id_tiempo,
    is_source_hour,
    month_range,
    open_hour,
    past_or_present,
)

# Days with another number of hours at the source than 24, by Chile's decrees: the missing 00h of each September change.
SKIPPED = {
    2017: date(2017, 8, 13),
    2018: date(2018, 8, 12),
    2019: date(2019, 9, 8),
    2020: date(2020, 9, 6),
    2021: date(2021, 9, 5),
    2022: date(2022, 9, 11),
    2023: date(2023, 9, 3),
    2024: date(2024, 9, 8),
    2025: date(2025, 9, 7),
    2026: date(2026, 9, 6),
}
# Saturdays whose 23h is repeated: the April change (May in 2017 and 2018).
REPEATED = {
    2017: date(2017, 5, 13),
    2018: date(2018, 5, 12),
    2019: date(2019, 4, 6),
    2020: date(2020, 4, 4),
    2021: date(2021, 4, 3),
    2022: date(2022, 4, 2),
    2023: date(2023, 4, 1),
    2024: date(2024, 4, 6),
    2025: date(2025, 4, 5),
    2026: date(2026, 4, 4),
}


@pytest.mark.parametrize("year", SKIPPED)
def test_the_source_has_23_hours_on_the_september_change_and_24_on_the_april_one(year: int) -> None:
    days = [date(year, 1, 1) + timedelta(days=i) for i in range((date(year + 1, 1, 1) - date(year, 1, 1)).days)]
    assert {day for day in days if len(hours_of_day(day)) != 24} == {SKIPPED[year]}
    assert from_wall(SKIPPED[year], 0) is None
    assert day_start(SKIPPED[year]) == hours_of_day(SKIPPED[year])[0]
    last = hours_of_day(REPEATED[year])[-1]
    assert last.astimezone(CHILE).hour == 23
    assert last.astimezone(CHILE).fold == 0
    assert not is_source_hour(last + HOUR)
    assert day_start(REPEATED[year] + timedelta(days=1)) == last + 2 * HOUR
    hours = [hour for day in days for hour in hours_of_day(day)]
    assert len({id_tiempo(hour) for hour in hours}) == len(hours) == len(days) * 24 - 1
    assert hours == sorted(hours)


def test_february_29_and_the_borders_of_a_year() -> None:
    assert Month(2024, 2).days()[-1] == date(2024, 2, 29)
    assert id_tiempo(Month(2024, 12).hours()[-1]) == 2024123123
    assert id_tiempo(Month(2025, 1).hours()[0]) == 2025010100
    assert Month(2024, 12).end == Month(2025, 1).start


@given(st.integers(2017 * 12, 2040 * 12))
def test_months_follow_each_other_without_gap_or_overlap(index: int) -> None:
    month = Month(index // 12, index % 12 + 1)
    hours = month.hours()
    assert hours[0] == month.start
    assert month.end == month.shift(1).start
    assert all(Month.of(hour) == month for hour in hours)
    assert Month.parse(str(month)) == Month.parse(f" {month.year}-{month.month}") == month


@given(st.datetimes(datetime(2017, 1, 1), datetime(2030, 1, 1)).map(lambda naive: naive.replace(tzinfo=UTC)))  # noqa: DTZ001
def test_the_open_hour_is_an_hour_of_the_source_that_has_begun(now: datetime) -> None:
    hour = open_hour(now)
    assert is_source_hour(hour)
    assert timedelta() <= now - hour < 2 * HOUR
    assert hour not in closed_hours(Month.of(now), now)
    assert all(closed + HOUR <= now for closed in closed_hours(Month.of(now), now))


@pytest.mark.parametrize(
    "text",
    ["", "2024", "2024-13", "2024-00", "24-08", "2024-008", "\uff12\uff10\uff12\uff14-08", "2024-08-01", "0001-01"],
)
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="YYYY-MM"):
        Month.parse(text)


def test_an_instant_is_told_in_chile_with_utc_in_brackets() -> None:
    assert in_chile(datetime(2026, 11, 26, 16, 10, tzinfo=UTC)) == "2026-11-26 13:10 in Chile (16:10 UTC)"
    assert in_chile(datetime(2026, 7, 2, 2, 5, tzinfo=UTC)) == "2026-07-01 22:05 in Chile (2026-07-02 02:05 UTC)"


def test_ranges_and_months_without_data_are_refused() -> None:
    now = datetime(2024, 8, 1, 3, 59, tzinfo=UTC)  # still July in Chile
    assert past_or_present(Month(2024, 7), now) == Month(2024, 7)
    for month in (Month(2024, 8), FIRST_MONTH.shift(-1)):
        with pytest.raises(InputError):
            past_or_present(month, now)
    with pytest.raises(InputError):
        month_range(Month(2024, 2), Month(2024, 1))
    assert len(month_range(Month(2017, 1), Month(2025, 12))) == 108
