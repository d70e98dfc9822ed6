"""What gaps hide of events: by hand around clock changes, and against plain loops."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sec_core.hours import Month, hours_of_day, month_range
from sec_core.silver.columns import HORA, typed
from sec_core.silver.events import with_censoring
from sec_core.silver.timeline import chile_date

# Source hours over both clock changes.
HOURS = [hour for month in month_range(Month(2025, 3), Month(2025, 9)) for hour in month.hours()]


def make_events(*rows: tuple[str, datetime, datetime]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=typed("forma primera_hora ultima_hora"), orient="row")


def make_loads(*rows: tuple[datetime, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=typed("hora forma"), orient="row")


def found(events: pl.DataFrame, loads: pl.DataFrame) -> list[tuple[str | None, int]]:
    return with_censoring(events, loads).select("censurado", "horas_sin_datos").rows()


@pytest.mark.parametrize(
    ("missing", "expected"),
    [([], (None, 0)), ([4], ("inicio", 0)), ([9], ("fin", 0)), ([4, 9], ("inicio,fin", 0)), ([6, 7, 9], ("fin", 2))],
)
def test_an_event_says_what_is_missing_around_and_inside(missing: list[int], expected: tuple[str | None, int]) -> None:
    day = hours_of_day(date(2025, 8, 5))
    loads = make_loads(*((hour, "detailed") for n, hour in enumerate(day) if n not in missing))
    assert found(make_events(("detailed", day[5], day[8])), loads) == [expected]


@pytest.mark.parametrize("day", [date(2025, 4, 5), date(2025, 9, 7)])
def test_clock_changes_are_no_gaps(day: date) -> None:
    """April's repeated hour is one hour of the source, and September's skipped hour none."""
    around = [hour for shift in (-1, 0, 1) for hour in hours_of_day(day + timedelta(days=shift))]
    loads = make_loads(*((hour, "aggregated") for hour in around))
    events = make_events(
        *(("aggregated", first, last) for first, last in zip(around[20:30], around[24:34], strict=True))
    )
    assert set(found(events, loads)) == {(None, 0)}


def test_only_hours_of_its_own_form_show_an_event() -> None:
    first, second = hours_of_day(date(2025, 8, 5)), hours_of_day(date(2025, 8, 6))
    loads = make_loads(*((hour, "aggregated") for hour in first), (second[0], "detailed"), (second[1], "aggregated"))
    events = make_events(("aggregated", first[22], first[23]), ("detailed", second[0], second[0]))
    assert found(events, loads) == [("fin", 0), ("inicio,fin", 0)]


@given(
    st.lists(st.sampled_from(["detailed", "aggregated", ""]), min_size=120, max_size=120),
    st.sampled_from([700, 4520]),
    st.data(),
)
def test_against_plain_loops(forms: Sequence[str], start: int, data: st.DataObject) -> None:
    hours = HOURS[start : start + 120]
    loaded = {hour: form for hour, form in zip(hours, forms, strict=True) if form}
    days = pl.DataFrame({"hora": hours}, schema={"hora": HORA}).select("hora", dia=chile_date(pl.col("hora")))
    day_of = dict(days.iter_rows())
    detailed_days = {day_of[hour] for hour, form in loaded.items() if form == "detailed"}
    usable = {
        "detailed": {hour for hour, form in loaded.items() if form == "detailed"},
        "aggregated": {
            hour for hour, form in loaded.items() if form == "aggregated" and day_of[hour] not in detailed_days
        },
    }
    form = data.draw(st.sampled_from(["detailed", "aggregated"]))
    inner = [n for n in range(1, 119) if hours[n] in usable[form]]
    if not inner:
        return
    one, other = sorted(data.draw(st.tuples(st.sampled_from(inner), st.sampled_from(inner))))
    ends = [name for name, n in (("inicio", one - 1), ("fin", other + 1)) if hours[n] not in usable[form]]
    inside = sum(hours[n] not in usable[form] for n in range(one, other + 1))
    events = make_events((form, hours[one], hours[other]))
    assert found(events, make_loads(*loaded.items())) == [(",".join(ends) or None, inside)]


def test_no_events_need_no_hours() -> None:
    assert with_censoring(make_events(), make_loads()).columns[-2:] == ["censurado", "horas_sin_datos"]
