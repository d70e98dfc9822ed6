"""Panel, patterns and estimates against values computed by hand."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from itertools import pairwise
from math import isnan
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.gold_frames import PLACES, make_hours

from sec_core.gold import estimates
from sec_core.gold.frames import UTC_TIME
from sec_core.gold.panel import Pattern, comuna_hours, panel, pattern, region_hours
from sec_core.hours import CHILE, Month, from_wall, hours_of_day

JUNE = Month(2024, 6)
MAX_GAP = 12
BOUNDS = ("cliente_horas", "cliente_horas_inf", "cliente_horas_sup")
KNOWN = ("metodo", "cliente_horas_observadas", "cliente_horas", "interpoladas")


def june(loaded: Iterable[datetime], suspect: Iterable[datetime] = (), now: datetime | None = None) -> Pattern:
    return pattern(make_hours([JUNE], loaded, suspect, now), MAX_GAP)


def hours_frame(values: Mapping[tuple[datetime, str], int]) -> pl.DataFrame:
    rows = [(hour, serie, customers) for (hour, serie), customers in values.items()]
    schema = {"hora": UTC_TIME, "serie": pl.String(), "clientes": pl.Int64()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def figures(
    values: Mapping[tuple[datetime, str], int], seen: Pattern, names: Iterable[str] = ("MAULE",)
) -> list[dict[str, Any]]:
    parts = estimates.parts(hours_frame(values), seen, names, seen.months["mes"].to_list())
    return estimates.months(parts, seen).to_dicts()


def test_the_panel_sums_a_comunas_rows_and_regions_and_unknown_make_the_country() -> None:
    first, second = JUNE.hours()[:2]
    observations = pl.DataFrame(
        [(first, 7101, 5), (first, 7101, 6), (first, 0, 2), (second, 11101, 9), (second, 7102, 1)],
        schema={"hora": UTC_TIME, "id_geografia": pl.Int16(), "clientes_afectados": pl.Int64()},
        orient="row",
    )
    loads = pl.DataFrame({"hora": [first, second], "forma": ["detailed", "aggregated"]}).cast({"hora": UTC_TIME})
    rows = panel(observations, PLACES, loads)
    assert rows.rows() == [
        (first, "", 2, "detailed"),
        (first, "07101", 11, "detailed"),
        (second, "07102", 1, "aggregated"),
        (second, "11101", 9, "aggregated"),
    ]
    assert region_hours(rows, PLACES).rows() == [
        (first, "CHILE", 13),
        (first, "MAULE", 11),
        (first, "UNKNOWN", 2),
        (second, "AYSEN", 9),
        (second, "CHILE", 10),
        (second, "MAULE", 1),
    ]
    assert comuna_hours(rows)["serie"].to_list() == ["07101", "07102", "11101"]


@pytest.mark.parametrize(("apart", "interpolated"), [(1, 0), (2, 1), (11, 10), (12, 11), (13, 0), (14, 0)])
def test_a_line_spans_at_most_the_gap_that_is_set(apart: int, interpolated: int) -> None:
    hours = JUNE.hours()
    seen = june([*hours[:300], *hours[299 + apart :]])
    (month,) = seen.months.to_dicts()
    missing = apart - 1
    assert (month["observadas"], month["interpoladas"]) == (720 - missing, interpolated)
    assert month["racha"] == missing - interpolated
    assert month["metodo"] == ("medido" if apart == 1 else "estimado")


def test_the_estimate_is_the_line_scaled_to_the_ended_hours() -> None:
    hours = JUNE.hours()
    # Hours 0 to 3 on a line from 40 to 10, then 100 in hour 4; 5 to 19 are uncovered; from 20 on nothing.
    seen = june([hours[0], hours[3], hours[4], *hours[20:]])
    values = {(hours[0], "MAULE"): 40, (hours[3], "MAULE"): 10, (hours[4], "MAULE"): 100}
    (row,) = figures(values, seen)
    assert row["cliente_horas_observadas"] == 150
    assert row["cliente_horas"] == pytest.approx((40 + 30 + 20 + 10 + 100) * 720 / 705)
    assert (row["metodo"], row["horas"], row["interpoladas"], row["clientes_punta"]) == ("estimado", 720, 2, 100)
    assert (row["cobertura"], row["interpolada"]) == (703 / 720, 2 / 720)
    assert 150 <= row["cliente_horas_inf"] < row["cliente_horas"] < row["cliente_horas_sup"]
    # Of the first day only 9 of 24 hours are known: it is no day with a figure.
    parts = estimates.parts(hours_frame(values), seen, ["MAULE"], [JUNE.first_day])
    assert estimates.days(parts)["dia"].to_list() == JUNE.days()[1:]


def test_a_line_over_midnight_and_over_the_months_border_belongs_to_the_hours_it_passes() -> None:
    may, hours = Month(2024, 5), JUNE.hours()
    before = may.hours()
    seen = pattern(make_hours([may, JUNE], [*before[:-2], *hours[2:]]), MAX_GAP)
    # 50 at 21h of 31 May, 100 at 02h of 1 June: 22h and 23h are 60 and 70 of May, 00h and 01h 80 and 90 of June.
    values = {(before[-3], "MAULE"): 50, (hours[2], "MAULE"): 100}
    assert [row["cliente_horas"] for row in figures(values, seen)] == pytest.approx([50 + 60 + 70, 80 + 90 + 100])
    parts = estimates.parts(hours_frame(values), seen, ["MAULE"], [may.first_day, JUNE.first_day])
    days = {row["dia"]: row["cliente_horas"] for row in estimates.days(parts).to_dicts() if row["cliente_horas"]}
    assert days == pytest.approx({date(2024, 5, 31): 180, date(2024, 6, 1): 270})


@pytest.mark.parametrize(
    ("missing", "method"),
    [(0, "medido"), (1, "estimado"), (120, "estimado"), (121, "insuficiente"), (360, "insuficiente")],
)
def test_a_block_of_uncovered_hours(missing: int, method: str) -> None:
    hours = JUNE.hours()
    (row,) = figures({(hours[0], "MAULE"): 7}, june([*hours[:100], *hours[100 + missing :]]))
    assert row["metodo"] == method
    if method == "insuficiente":
        assert [row[name] for name in BOUNDS] == [None] * 3
        assert row["cliente_horas_observadas"] == 7
    else:
        assert (row["cliente_horas_inf"] == row["cliente_horas_sup"]) == (method == "medido")


@pytest.mark.parametrize(("kept", "method"), [(12, "estimado"), (11, "insuficiente")])
def test_half_of_the_hours_are_enough(kept: int, method: str) -> None:
    hours = [hour for day in JUNE.days() for hour in hours_of_day(day)[:kept]]
    assert june(hours).months["metodo"].to_list() == [method]


def test_measured_months_have_no_interval_and_all_others_have_one() -> None:
    hours = JUNE.hours()
    (whole,) = figures({(hours[5], "MAULE"): 9}, june(hours))
    assert [whole[name] for name in ("metodo", *BOUNDS)] == ["medido", 9, 9, 9]
    # A region of which nothing is listed at all is 0, and not surely so while an hour is missing.
    (empty,) = figures({}, june(hours[1:]))
    assert (empty["cliente_horas"], empty["cliente_horas_inf"]) == (0, 0)
    assert empty["cliente_horas_sup"] > 0


def test_a_suspect_hour_counts_as_one_without_data() -> None:
    hours = JUNE.hours()
    values = {(hours[9], "MAULE"): 60, (hours[10], "MAULE"): 1, (hours[11], "MAULE"): 80}
    (row,) = figures(values, june(hours, suspect=[hours[10]]))
    assert [row[name] for name in KNOWN] == ["estimado", 140, 210, 1]
    # A month in which nothing else was loaded has a row all the same, and no figure.
    (row,) = figures({(hours[10], "MAULE"): 1}, june([hours[10]], suspect=[hours[10]]))
    assert [row[name] for name in (*KNOWN, "observadas")] == ["insuficiente", 0, None, 0, 0]


def test_the_current_month_counts_ended_hours_only_and_months_without_data_have_no_row() -> None:
    hours = JUNE.hours()
    seen = june(hours[:30], now=hours[40])
    assert seen.months.select("horas", "observadas", "racha", "metodo").rows() == [(40, 30, 10, "estimado")]
    (row,) = figures({(hours[0], "MAULE"): 30}, seen)
    assert row["cliente_horas"] == pytest.approx(40)
    two = pattern(make_hours([Month(2024, 5), JUNE], hours), MAX_GAP)
    assert two.months["mes"].to_list() == [date(2024, 6, 1)]


def test_the_repeated_hour_of_april_counts_once_and_septembers_missing_hour_never() -> None:
    april, september = Month(2024, 4), Month(2024, 9)
    counted = [
        pattern(make_hours([month], month.hours()), MAX_GAP).months.row(0, named=True) for month in (april, september)
    ]
    assert [(row["horas"], row["metodo"]) for row in counted] == [(720, "medido"), (719, "medido")]
    # From 18h to 06h are 12 source hours, whether the clock repeats one between or not; at 05h in September 11 - 1.
    evening, morning = from_wall(date(2024, 4, 6), 18), from_wall(date(2024, 4, 7), 6)
    hours = [hour for hour in april.hours() if not evening < hour < morning]  # type: ignore[operator]
    assert pattern(make_hours([april], hours), MAX_GAP).months["interpoladas"].to_list() == [11]
    evening, morning = from_wall(date(2024, 9, 7), 18), from_wall(date(2024, 9, 8), 7)
    hours = [hour for hour in september.hours() if not evening < hour < morning]  # type: ignore[operator]
    assert pattern(make_hours([september], hours), MAX_GAP).months["interpoladas"].to_list() == [11]


def test_a_year_needs_all_its_months_and_has_bounds_of_its_own() -> None:
    months = [Month(2024, number) for number in range(1, 13)]
    loaded = [hour for month in months for number, hour in enumerate(month.hours()) if number % 3 == 0]
    values = {(hour, "MAULE"): 50 + number * 7 % 90 for number, hour in enumerate(loaded)}
    seen = pattern(make_hours(months, loaded), MAX_GAP)
    parts = estimates.parts(hours_frame(values), seen, ["MAULE"], seen.months["mes"].to_list())
    by_month = estimates.months(parts, seen)
    (year,) = estimates.years(parts, seen).to_dicts()
    assert (year["anho"], year["metodo"], year["horas"]) == (2024, "estimado", 8783)
    assert year["cliente_horas"] == pytest.approx(by_month["cliente_horas"].sum())
    value, low, high = (year[name] for name in BOUNDS)
    assert by_month["cliente_horas_inf"].sum() < low < value < high < by_month["cliente_horas_sup"].sum()
    without_may = pattern(make_hours(months, [hour for hour in loaded if Month.of(hour) != months[4]]), MAX_GAP)
    parts = estimates.parts(hours_frame(values), without_may, ["MAULE"], without_may.months["mes"].to_list())
    (year,) = estimates.years(parts, without_may).to_dicts()
    assert (year["metodo"], year["cliente_horas"]) == ("insuficiente", None)


@given(data=st.data())
@settings(max_examples=examples(25), deadline=None)
def test_weights_say_the_same_as_lines_drawn_hour_by_hour(data: st.DataObject) -> None:
    """Over a month with a change of the clocks, against a plain loop."""
    month = data.draw(st.sampled_from([Month(2024, 4), Month(2024, 9), JUNE]))
    draw = Random(data.draw(st.integers(0, 10**6)))
    share, limit = draw.choice([0.1, 0.3, 0.7, 0.97]), draw.choice([1, 3, 12])
    months = [month.shift(-1), month, month.shift(1)]
    hours = [hour for one in months for hour in one.hours()]
    known = {number: draw.choice([0, draw.randrange(500)]) for number in range(len(hours)) if draw.random() < share}
    expected: dict[date, list[float]] = {}
    points = sorted(known)
    for left, right in pairwise(points):
        last = right if right - left <= limit else left + 1
        for number in range(left, last):
            value = known[left] + (known[right] - known[left]) * (number - left) / (right - left)
            expected.setdefault(hours[number].astimezone(CHILE).date(), []).append(value)
    expected.setdefault(hours[points[-1]].astimezone(CHILE).date(), []).append(known[points[-1]])

    seen = pattern(make_hours(months, [hours[number] for number in known]), limit)
    values = {(hours[number], "MAULE"): customers for number, customers in known.items() if customers}
    parts = estimates.parts(hours_frame(values), seen, ["MAULE"], seen.months["mes"].to_list())
    for row in parts.to_dicts():
        days = {day: values for day, values in expected.items() if day.replace(day=1) == row["mes"]}
        assert row["suma"] == pytest.approx(sum(map(sum, days.values())))
        for day, total in enumerate(row["dias"], start=1):
            of_day = (
                days.get(row["mes"].replace(day=day), []) if day <= len(Month(2024, row["mes"].month).days()) else []
            )
            ended = len(hours_of_day(row["mes"].replace(day=day))) if of_day else 0
            if of_day and len(of_day) >= ended / 2:
                assert total == pytest.approx(sum(of_day) * ended / len(of_day))
            else:
                assert isnan(total), "too little of the day is known"
