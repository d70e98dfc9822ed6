"""What an event is, sentence by sentence, on hand-made hours."""

import hashlib
from datetime import date, datetime, timedelta

import polars as pl
import pytest
from support.reference_rules import History, Hour, Listed, source_hours, utc
from support.worlds import loads_of, observation_frame

from sec_core.hours import CHILE, HOUR, Month, day_start, from_wall, hours_of_day, is_source_hour
from sec_core.silver import stretches
from sec_core.silver.columns import HORA, typed
from sec_core.silver.events import EVENT_SCHEMA, UNIVERSE_SCHEMA, derive_events, identities
from sec_core.silver.imputation import Imputacion
from sec_core.silver.stretches import first_of_maximum, month_stretches
from sec_core.silver.timeline import EventRules, repeated_hours, source_index, usable_hours, whole_days
from sec_core.source.shapes import Shape

RULES = EventRules(threshold=100, close_hours=2, max_gap_hours=6)
START = utc(2025, 6, 10, 4)  # midnight in Chile
MONTH = date(2025, 6, 1)
NUNOA = 13120
NO_UNIVERSE = pl.DataFrame(schema=UNIVERSE_SCHEMA)


def history(values: list[int | str | None], start: datetime = START) -> History:
    """Hours one after the other: a count of Ñuñoa, 0 for absent, None without data, "d" a detailed hour."""
    made: History = {}
    hours = source_hours(start, start + timedelta(hours=2 * len(values)))
    for hour, value in zip(hours, values, strict=False):
        if value == "d":
            made[hour] = Hour("detailed", [Listed(NUNOA, 15, date(2025, 6, 9), 500)])
        elif isinstance(value, int):
            made[hour] = Hour("aggregated", [Listed(NUNOA, 1, None, value)] if value else [])
    return made


def aggregated_of(made: History, rules: EventRules = RULES) -> list[tuple[datetime, datetime, int, int, int, bool]]:
    """First and last hour, high-water mark, customer-hours, listed hours and openness of each event."""
    usable = usable_hours(loads_of(made), rules)
    parts = stretches.aggregated_stretches(observation_frame(made, "aggregated"), usable, rules, MONTH)
    events = stretches.aggregated_events(parts, usable, rules).sort("primera_hora")
    is_open = stretches.is_open(events["ultima_hora"], usable, rules, max(made))
    columns = ("primera_hora", "ultima_hora", "maximo", "cliente_horas", "n_observaciones")
    return [(*row, flag) for row, flag in zip(events.select(columns).iter_rows(), is_open, strict=True)]


def events_of(made: History, universe: pl.DataFrame, newest: datetime) -> pl.DataFrame:
    """All events of a history, month by month."""
    loaded = loads_of(made)
    usable = usable_hours(loaded, RULES)
    listed = pl.concat([observation_frame(made, shape) for shape in Shape])
    parts = [
        month_stretches(
            listed.filter(pl.col("hora").is_between(month.start, month.end, "left")), usable, RULES, month.first_day
        )
        for month in sorted({Month.of(hour) for hour in made})
    ]
    return derive_events(pl.concat(parts), loaded, RULES, newest, universe)


def at(step: int) -> datetime:
    return START + step * HOUR


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # At the threshold is a hit, below it is none.
        ([99, 100, 0, 0], [(1, 1, 100, 100, 1, False)]),
        # One captured hour below does not close; its listed value counts in the sums.
        ([150, 40, 120, 0, 0], [(0, 2, 150, 310, 3, False)]),
        # Absent is 0, and is not listed.
        ([150, 0, 120, 0, 0], [(0, 2, 150, 270, 2, False)]),
        # Two consecutive captured hours below close.
        ([150, 40, 0, 120, 0, 0], [(0, 0, 150, 150, 1, False), (3, 3, 120, 120, 1, False)]),
        # Hours without data are passed over when captured hours are counted, and don't interrupt their row.
        ([150, 0, None, 0, 120, 0, 0], [(0, 0, 150, 150, 1, False), (4, 4, 120, 120, 1, False)]),
        # Six hours without data are outlived, seven in a row are not.
        ([150, *[None] * 6, 120, 0, 0], [(0, 7, 150, 270, 2, False)]),
        ([150, *[None] * 7, 120, 0, 0], [(0, 0, 150, 150, 1, False), (8, 8, 120, 120, 1, False)]),
        # Gaps are counted singly, not added up.
        ([150, *[None] * 6, 20, *[None] * 6, 120, 0, 0], [(0, 14, 150, 290, 3, False)]),
        # Open: fewer than two captured hours below since the last hit.
        ([150], [(0, 0, 150, 150, 1, True)]),
        ([150, 0], [(0, 0, 150, 150, 1, True)]),
        ([150, None, None, 0], [(0, 0, 150, 150, 1, True)]),
        ([150, *[None] * 7, 0], [(0, 0, 150, 150, 1, False)]),
        # The first hour that reached the mark, and the sum over all hours.
        ([100, 300, 200, 300, 0, 0], [(0, 3, 300, 900, 4, False)]),
    ],
)
def test_aggregated_runs(values: list[int | str | None], expected: list[tuple[int, int, int, int, int, bool]]) -> None:
    assert aggregated_of(history(values)) == [(at(a), at(b), *rest) for a, b, *rest in expected]


def test_the_hour_of_the_mark_is_the_first_that_reached_it() -> None:
    assert events_of(history([100, 300, 200, 300]), NO_UNIVERSE, at(3))["hora_maximo"].to_list() == [at(1)]


def test_a_day_with_a_detailed_hour_is_without_data_for_aggregated_events() -> None:
    # The first day is aggregated, the second holds one detailed hour, the third is aggregated again.
    values: list[int | str | None] = [*[0] * 22, 150, 160, *[900] * 12, "d", *[900] * 11, 140, 0, 0]
    # 24 hours without data lie between hours 23 and 48: more than six.
    assert aggregated_of(history(values)) == [
        (at(22), at(23), 160, 310, 2, False),
        (at(48), at(48), 140, 140, 1, False),
    ]


def test_hours_of_a_detailed_day_at_the_end_close_too() -> None:
    # The newest loaded hour is detailed; what lies between it and the last hit is without data.
    assert aggregated_of(history([*[0] * 23, 150, *[900] * 6, "d"]))[0][-1] is False
    assert aggregated_of(history([*[0] * 23, 150, *[900] * 5, "d"]))[0][-1] is True


def test_the_repeated_hour_of_april_is_no_hour_without_data() -> None:
    last = from_wall(date(2025, 4, 5), 23)
    midnight = from_wall(date(2025, 4, 6), 0)
    assert last is not None
    assert midnight is not None
    assert midnight - last == timedelta(hours=2)
    strict = EventRules(threshold=100, close_hours=1, max_gap_hours=0)
    made = {hour: Hour("aggregated", [Listed(NUNOA, 1, None, 200)]) for hour in (last, midnight)}
    assert [event[:2] for event in aggregated_of(made, strict)] == [(last, midnight)]


@pytest.mark.parametrize("year", range(2017, 2027))
def test_every_change_of_the_clock_keeps_source_hours_neighbours(year: int) -> None:
    days = [date(year, 1, 1) + timedelta(days=step) for step in range(366)]
    hours = [hour for day in days for hour in hours_of_day(day) if day.year == year]
    assert all(is_source_hour(hour) for hour in hours)
    index = source_index(pl.Series(hours, dtype=HORA))
    assert index.diff().drop_nulls().unique().to_list() == [1]


def test_one_hour_a_year_is_repeated_and_never_a_source_hour() -> None:
    hours = [datetime.fromtimestamp(number * 3600, CHILE) for number in repeated_hours()]
    recent = [hour for hour in hours if 2017 <= hour.year <= 2026]
    assert [hour.year for hour in recent] == list(range(2017, 2027))
    assert {(hour.hour, hour.weekday(), hour.fold) for hour in recent} == {(23, 5, 1)}
    assert not any(is_source_hour(hour) for hour in recent)


def test_detailed_events_are_one_for_each_comuna_company_and_start_date() -> None:
    old, today = date(2024, 2, 19), date(2025, 5, 31)
    first, later = utc(2025, 5, 31, 20), utc(2025, 6, 2, 1)
    made: History = {
        first: Hour("detailed", [Listed(NUNOA, 15, old, 7), Listed(NUNOA, 15, today, 3), Listed(NUNOA, 16, today, 1)]),
        later: Hour("detailed", [Listed(NUNOA, 15, old, 9), Listed(0, 0, today, 4, 6)]),
    }
    events = events_of(made, NO_UNIVERSE, newest=later + HOUR).sort("inicio", "id_geografia", "id_empresa")
    assert events.select("id_geografia", "id_empresa", "inicio", "primera_hora", "ultima_hora", "fin").rows() == [
        (NUNOA, 15, day_start(old), first, later, later + HOUR),
        (0, 0, day_start(today), later, later, later + HOUR),
        (NUNOA, 15, day_start(today), first, first, first + HOUR),
        (NUNOA, 16, day_start(today), first, first, first + HOUR),
    ]
    assert events.select(
        "clientes_afectados", "hora_maximo", "cliente_horas", "n_observaciones", "imputaciones"
    ).rows()[:2] == [(9, later, 16, 2, 0), (4, later, 4, 1, 6)]
    assert events["id_tiempo"].to_list() == [2024021900, 2025053100, 2025053100, 2025053100]


@pytest.mark.parametrize(
    ("forma", "geo", "company", "start", "hour", "text", "id_tiempo"),
    [
        ("detailed", 13120, 15, date(2025, 1, 29), None, "13120|ENEL|20250129", 2025012900),
        ("detailed", 1101, 3, date(1, 1, 1), None, "01101|CGE|00010101", 1010100),
        ("detailed", 0, 0, date(2025, 9, 7), None, "|UNKNOWN|20250907", 2025090701),
        ("aggregated", 0, 1, None, utc(2024, 8, 2, 16), "|NO INFORMADA|20240802T12", 2024080212),
        ("aggregated", 1101, 1, None, utc(2025, 4, 6, 2), "01101|NO INFORMADA|20250405T23", 2025040523),
    ],
)
def test_identity(
    forma: str, geo: int, company: int, start: date | None, hour: datetime | None, text: str, id_tiempo: int
) -> None:
    schema = typed("forma id_geografia id_empresa fecha_inicio primera_hora")
    part = pl.DataFrame([(forma, geo, company, start, hour)], schema=schema, orient="row")
    row = identities(part).row(0, named=True)
    assert row["hash_id"] == hashlib.md5(text.encode(), usedforsecurity=False).digest()
    assert row["id_tiempo"] == id_tiempo
    assert row["inicio"] == (hour if start is None else day_start(start))


UNIVERSE = pl.DataFrame(
    [
        (date(2025, 1, 1), "13", 1000),
        (date(2025, 5, 1), "13", 2000),
        (date(2025, 3, 1), "13", 0),
        (date(2025, 3, 1), "05", 1),
    ],
    schema=UNIVERSE_SCHEMA,
    orient="row",
)


@pytest.mark.parametrize(
    ("geo", "peak", "hour", "universe", "expected"),
    [
        (NUNOA, 1500, utc(2025, 1, 10), UNIVERSE, (1000, True, 0)),
        (NUNOA, 1000, utc(2025, 1, 10), UNIVERSE, (1000, False, 0)),
        # On a tie of two months each way the earlier; a figure of 0 is none.
        (NUNOA, 1500, utc(2025, 3, 10), UNIVERSE, (1000, True, 2)),
        (NUNOA, 2500, utc(2025, 4, 10), UNIVERSE, (2000, True, -1)),
        (NUNOA, 2500, utc(2026, 5, 10), UNIVERSE, (2000, True, 12)),
        # The month is that of Chile: 02:00 UTC of the first is still April there.
        (NUNOA, 2500, utc(2025, 5, 1, 2), UNIVERSE, (2000, True, -1)),
        # UNKNOWN, a region without a figure, no figures at all: no cap.
        (0, 10**9, utc(2025, 1, 10), UNIVERSE, (10**9, False, None)),
        (1101, 10**9, utc(2025, 1, 10), UNIVERSE, (10**9, False, None)),
        (NUNOA, 10**9, utc(2025, 1, 10), NO_UNIVERSE, (10**9, False, None)),
    ],
)
def test_rule_4_caps_at_the_regions_customers(
    geo: int, peak: int, hour: datetime, universe: pl.DataFrame, expected: tuple[int, bool, int | None]
) -> None:
    made: History = {hour: Hour("aggregated", [Listed(geo, 1, None, peak)])}
    event = events_of(made, universe, newest=hour)
    assert event.schema == pl.Schema(EVENT_SCHEMA)
    assert event.select("clientes_afectados", "topado", "meses_denominador").row(0) == expected
    assert event["clientes_afectados_crudo"].to_list() == [peak]
    assert event["imputaciones"].to_list() == [int(Imputacion.TOPE) if expected[1] else 0]
    assert event["fin"].to_list() == [None]


def test_spans_are_widened_to_days_and_made_one() -> None:
    first = utc(2025, 6, 10, 12)
    spans = [(first + timedelta(hours=40), first + timedelta(hours=41)), (first, first + timedelta(hours=20))]
    assert whole_days(spans) == [(day_start(date(2025, 6, 10)), day_start(date(2025, 6, 13)))]


def test_the_first_of_equal_maxima_counts_in_a_sorted_column_too() -> None:
    rows = pl.DataFrame({"k": [1, 1], "hora": [5, 6], "valor": pl.Series([0, 0]).set_sorted()})
    assert rows.group_by("k").agg(first_of_maximum("hora", "valor"))["hora"].to_list() == [5]
