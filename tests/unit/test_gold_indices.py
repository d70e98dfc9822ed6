"""Rises, stale values and the indices of regions against values computed by hand."""

import math
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from random import Random
from statistics import mean, stdev

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.gold_frames import PLACES, make_customers, make_hours, make_loads, make_monthly, make_observations

from sec_core.gold import indices
from sec_core.gold.indices import alike, thresholds
from sec_core.gold.monthly import imputed, rises, standing
from sec_core.gold.panel import Pattern, pattern
from sec_core.gold.payloads.hours import quality, sensitivity
from sec_core.hours import Month
from sec_core.silver import stretches
from sec_core.silver.timeline import EventRules, usable_hours

JUNE = Month(2024, 6)
CUSTOMERS = make_customers(
    (date(2024, 3, 1), "07", "MAULE", 1000, None, None), (date(2024, 3, 1), "11", "AYSEN", 500, None, None)
)
HOURS = JUNE.hours()
FIRST, SECOND = date(2024, 6, 1), date(2024, 6, 2)
Row = tuple[datetime, int, int, "date | None", int]


def seen(
    hours: Iterable[datetime], first: Month = JUNE, last: Month = JUNE, suspect: Iterable[datetime] = ()
) -> Pattern:
    return pattern(make_hours([first, last], hours, suspect), 12)


def test_rises_are_first_values_and_every_rise_between_neighbouring_hours() -> None:
    rows: list[Row] = [
        # 10, 4, not listed, 6: 10 new, then 6 new. Another start date is another series.
        (HOURS[0], 7101, 2, FIRST, 10),
        (HOURS[1], 7101, 2, FIRST, 4),
        (HOURS[3], 7101, 2, FIRST, 6),
        (HOURS[3], 7101, 2, SECOND, 3),
        # 5, then 8 in the next loaded hour, whatever lies between: 5 + 3.
        (HOURS[1], 0, 0, FIRST, 5),
        (HOURS[30], 0, 0, FIRST, 8),
    ]
    hours = [*HOURS[:4], HOURS[30]]
    rows.insert(-1, (HOURS[3], 0, 0, FIRST, 5))
    rows.insert(-1, (HOURS[2], 0, 0, FIRST, 5))
    found = rises(make_observations(rows), PLACES, make_loads(hours), seen(hours))
    assert found.rows() == [
        (FIRST, "CHILE", 24),
        (FIRST, "MAULE", 19),
        (FIRST, "UNKNOWN", 5),
        (SECOND, "CHILE", 3),
        (SECOND, "UNKNOWN", 3),
    ]


def test_aggregated_rises_over_the_months_border_and_over_a_change_of_form() -> None:
    may = Month(2024, 5).hours()
    rows: list[Row] = [
        (may[-5], 7101, 1, None, 70),
        (HOURS[0], 7101, 1, None, 100),
        (HOURS[1], 7101, 2, FIRST, 90),
        (HOURS[1], 7101, 3, FIRST, 30),
        (HOURS[2], 7101, 1, None, 125),
    ]
    hours = [may[-5], *HOURS[:3]]
    forms = pl.concat([make_loads([may[-5], HOURS[0], HOURS[2]], "aggregated"), make_loads([HOURS[1]])]).sort("hora")
    found = rises(make_observations(rows), PLACES, forms, seen(hours, Month(2024, 5)))
    assert found.filter(dia=FIRST, serie="MAULE").rows() == [(FIRST, "MAULE", 30 + 20 + 5)]
    # A suspect hour is passed over: 100 is followed by 125.
    doubtful = seen(hours, Month(2024, 5), suspect=[HOURS[1]])
    found = rises(make_observations(rows), PLACES, forms, doubtful)
    assert found.filter(dia=FIRST, serie="MAULE").rows() == [(FIRST, "MAULE", 30 + 25)]


@given(seed=st.integers(0, 10**6), form=st.sampled_from(["detailed", "aggregated"]))
@settings(max_examples=examples(25), deadline=None)
def test_rises_and_stale_values_say_the_same_as_a_plain_loop(seed: int, form: str) -> None:
    draw = Random(seed)
    hours = [hour for hour in HOURS[:500] if draw.random() < draw.choice([0.3, 0.95])]
    keys = (
        [(7101, 1, None), (0, 1, None)]
        if form == "aggregated"
        else [(7101, 2, FIRST), (7101, 3, FIRST), (0, 2, SECOND)]
    )
    value, rows, risen, still = dict.fromkeys(keys, 0), list[Row](), 0, 0
    runs: dict[object, list[datetime]] = {key: [] for key in keys}
    for hour, before in zip(hours, [None, *hours], strict=False):
        for key in keys:
            now = value[key] if draw.random() < 0.995 else draw.choice([0, 1, 5])
            risen += max(now - value[key], 0)
            near = before is not None and hour - before <= timedelta(hours=24)
            if now != value[key] or not near:
                still += _stale(runs[key]) * value[key]
                runs[key] = []
            value[key] = now
            runs[key].append(hour)
            rows += [(hour, *key, now)] if now else []
    still += sum(_stale(runs[key]) * value[key] for key in keys)
    frame, what = make_observations(rows), seen(hours)
    found = rises(frame, PLACES, make_loads(hours, form), what).filter(pl.col("serie") == "CHILE")
    assert found["subidas"].sum() == risen
    stale = standing(frame, PLACES, what).filter(pl.col("serie") == "CHILE")
    assert stale["quietas"].sum() == still


def _stale(run: list[datetime]) -> int:
    return len(run) if run and run[-1] - run[0] >= timedelta(hours=167) else 0


@pytest.mark.parametrize(("hours", "still"), [(167, 0), (168, 168 * 4)])
def test_a_value_that_stands_still_for_a_week_is_stale(hours: int, still: int) -> None:
    rows: list[Row] = [(hour, 7101, 2, FIRST, 4) for hour in HOURS[10 : 10 + hours]]
    rows += [(hour, 7101, 2, SECOND, 4 + number % 2) for number, hour in enumerate(HOURS[10:400])]
    found = standing(make_observations(rows), PLACES, seen(HOURS))
    assert found["quietas"].to_list() == ([still, still] if still else [])


def test_stale_values_are_found_over_the_months_border() -> None:
    may = Month(2024, 5).hours()
    rows: list[Row] = [(hour, 7101, 1, None, 4) for hour in [*may[-100:], *HOURS[:68]]]
    found = standing(make_observations(rows), PLACES, seen([*may, *HOURS], Month(2024, 5)))
    assert found.filter(mes=FIRST).rows() == [(FIRST, "CHILE", 68 * 4), (FIRST, "MAULE", 68 * 4)]


def reliability(
    values: Iterable[Row], what: Pattern, hours: Sequence[datetime]
) -> dict[tuple[date, str], dict[str, object]]:
    forms = make_loads(hours)
    monthly = make_monthly(make_observations(values), forms, what)
    events = pl.DataFrame({"mes": [FIRST], "nombre_region": ["MAULE"], "clientes_afectados": [250]})
    found = indices.reliability(monthly, what, forms, events, CUSTOMERS)
    return {(row["mes"], row["nombre_region"]): row for row in found.to_dicts()}


def test_the_indices_of_a_measured_month() -> None:
    rows: list[Row] = [(hour, 7101, 2, FIRST, 200) for hour in HOURS[:3]]
    rows += [(HOURS[3], 7101, 2, FIRST, 300), (HOURS[2], 0, 2, FIRST, 30)]
    found = reliability(rows, seen(HOURS), HOURS)
    assert found[FIRST, "MAULE"] == {
        "mes": FIRST,
        "nombre_region": "MAULE",
        "clientes": 1000,
        "meses_denominador": 3,
        "metodo": "medido",
        "saidi": 0.9,
        "saidi_inf": 0.9,
        "saidi_sup": 0.9,
        "saidi_observado": 0.9,
        "saifi": 0.3,
        "saifi_eventos": 0.25,
        "caidi": 3.0,
        "saidi_sin_med": None,
        "saifi_sin_med": None,
        "caidi_sin_med": None,
        "dias_med": None,
        "umbral_med": None,
        "dias_base": 1,
        "punta": 0.3,
        "cobertura": 1.0,
        "interpolada": 0.0,
        "cubierto": True,
        "estancado": 0.0,
        "nota": indices.SMALL_BASE,
        "etiqueta": indices.LABEL,
    }
    # The country counts what did not resolve; a region that lists nothing had nothing.
    chile, aysen = found[FIRST, "CHILE"], found[FIRST, "AYSEN"]
    assert (chile["saidi"], chile["saifi"]) == (round(930 / 1500, 8), round(330 / 1500, 8))
    assert (aysen["saidi"], aysen["saidi_sin_med"], aysen["dias_med"], aysen["caidi"]) == (0.0, 0.0, 0, None)
    assert (aysen["estancado"], aysen["nota"]) == (None, None)
    assert (FIRST, "UNKNOWN") not in found


def test_thin_months_say_what_is_missing() -> None:
    thin, few = HOURS[::6], HOURS[:100]
    rows: list[Row] = [(hour, 7101, 2, FIRST, 100) for hour in thin]
    row = reliability(rows, seen(thin), thin)[FIRST, "MAULE"]
    assert (row["saidi"], row["saidi_observado"], row["metodo"]) == (72.0, 12.0, "estimado")
    assert (row["saifi"], row["caidi"], row["caidi_sin_med"], row["cubierto"]) == (0.1, None, None, False)
    assert (row["estancado"], row["nota"]) == (1.0, f"{indices.LOWER_BOUND} {indices.NOT_ALIKE}")
    assert (row["dias_med"], row["saidi_sin_med"]) == (None, None)
    row = reliability([(hour, 7101, 2, FIRST, 100) for hour in few], seen(few), few)[FIRST, "MAULE"]
    assert (row["saidi"], row["saidi_inf"], row["saidi_observado"], row["saidi_sin_med"]) == (None, None, 10.0, None)
    assert row["nota"] == f"{indices.INSUFFICIENT} {indices.LOWER_BOUND}"


def test_major_days_by_estimated_days_of_years_that_were_seen_alike() -> None:
    usual = [100, 110, 90, 105, 95, 100, 120, 80, 100, 100, 100, 100]
    rows: list[Row] = [(HOURS[day * 24], 7101, 2, FIRST, customers) for day, customers in enumerate(usual)]
    rows.append((HOURS[20 * 24], 7101, 2, FIRST, 900))
    row = reliability(rows, seen(HOURS), HOURS)[FIRST, "MAULE"]
    logs = [math.log(customers / 1000) for customers in [*usual, 900]]
    assert row["umbral_med"] == pytest.approx(math.exp(mean(logs) + 2.5 * stdev(logs)), abs=1e-7)
    assert (row["dias_med"], row["dias_base"], row["saidi_sin_med"], row["saifi_sin_med"]) == (1, 13, 1.2, 1.2)
    # The same month, half of it seen every sixth hour: no base is like it.
    hours = [hour for number, hour in enumerate(HOURS) if number < 360 or number % 6 == 0]
    row = reliability(rows, seen(hours), hours)[FIRST, "MAULE"]
    assert (row["umbral_med"], row["dias_med"], row["saidi_sin_med"]) == (None, None, None)
    assert indices.NOT_ALIKE in str(row["nota"])


def test_years_are_alike_in_form_and_in_what_was_seen() -> None:
    hours = [hour for year in (2021, 2022, 2023, 2024) for number in (1, 2) for hour in Month(year, number).hours()]
    kept = [hour for number, hour in enumerate(hours) if hour.year > 2021 or number % 6 == 0]
    what = seen(kept, Month(2021, 1), Month(2024, 2))
    forms = make_loads(kept).with_columns(
        forma=pl.when(pl.col("hora").dt.year() == 2024).then(pl.lit("aggregated")).otherwise("forma")
    )
    pairs = alike(what.days.filter(pl.col("observadas") > 0), forms)
    # 2021 was seen every sixth hour: too seldom to judge a day.
    assert sorted(pairs.rows()) == [(2022, 2022), (2022, 2023), (2023, 2022), (2023, 2023), (2024, 2024)]


def test_an_hourly_year_after_six_hourly_ones_has_no_base_yet() -> None:
    pairs = pl.DataFrame({"anho": [2023, 2024], "base": [2023, 2024]})
    days = [(date(year, 1, 1) + timedelta(days=day), 1.0 + day % 7) for year in (2023, 2024) for day in range(360)]
    daily = pl.DataFrame(days, schema=["dia", "saidi"], orient="row")
    daily = daily.with_columns(serie=pl.lit("MAULE"))
    first, second = thresholds(daily, pairs).sort("anho").to_dicts()
    assert (first["umbral_med"] > 7, first["dias_base"], first["distinta"]) == (True, 360, False)
    assert (second["umbral_med"], second["distinta"]) == (None, True)
    both = pl.DataFrame({"anho": [2023, 2024, 2024], "base": [2023, 2023, 2024]})
    assert thresholds(daily, both).sort("anho")["dias_base"].to_list() == [360, 720]


def test_sensitivity_agrees_with_the_events_of_silver() -> None:
    random = Random(3)
    hours = [hour for number, hour in enumerate(HOURS) if number % 50 < 40 and random.random() < 0.9]
    cells = [(hour, place) for hour in hours for place in (7101, 7102, 11101) if random.random() < 0.6]
    rows: list[Row] = [(hour, place, 1, None, int(40 / random.random())) for hour, place in cells]
    frame, what = make_observations(rows), make_loads(hours, "aggregated")
    panel = frame.select("hora", pl.format("{}", "id_geografia").alias("codigo_comuna"), "clientes_afectados")
    found = sensitivity(panel, what, EventRules())
    assert found["umbral"].to_list() == [50, 100, 500, 1000]
    for row in found.to_dicts():
        rules = EventRules(threshold=row["umbral"])
        usable = usable_hours(what, rules)
        events = stretches.aggregated_events(
            stretches.aggregated_stretches(frame, usable, rules, JUNE.first_day), usable, rules
        )
        assert row["anho"] == 2024
        assert (row["eventos"], row["clientes"], row["cliente_horas"]) == (
            events.height,
            events["maximo"].sum(),
            events["cliente_horas"].sum(),
        )


def test_the_parts_of_quality_are_shares() -> None:
    hours = HOURS[:-1]
    rows = make_observations([(hour, 7101, 2, FIRST, 100) for hour in hours])
    rows = rows.with_columns(imputaciones=pl.when(pl.col("hora") == HOURS[0]).then(4).otherwise(0).cast(pl.Int16))
    made = pl.DataFrame(list(reliability([(hour, 7101, 2, FIRST, 100) for hour in hours], seen(hours), hours).values()))
    national = pl.DataFrame({"hora": HOURS[:2], "total_nacional": [100, 300], "diferencia_nacional": [-30, 10]})
    calendar = seen(hours).hours.with_columns(sospechosa=pl.col("hora") == HOURS[1])
    calendar = calendar.join(national.cast({"hora": calendar["hora"].dtype}), on="hora", how="left")
    touched = imputed(rows, PLACES)
    found = {row["nombre_region"]: row for row in quality(made, calendar, touched).to_dicts()}
    assert found["MAULE"] == {
        "mes": FIRST,
        "nombre_region": "MAULE",
        "cobertura": round(719 / 720, 6),
        "interpolada": 0.0,
        "imputadas": round(1 / 719, 6),
        "sospechosas": round(1 / 720, 6),
        "diferencia": 0.1,
        "antiguedad": 0.025,
        "estancado": 1.0,
    }
    assert (found["AYSEN"]["imputadas"], found["AYSEN"]["estancado"]) == (None, None)


ALL_ALIKE = pl.DataFrame({"anho": range(2010, 2030)}).join(pl.DataFrame({"base": range(2010, 2030)}), how="cross")


def make_daily(*spans: tuple[date, int, float]) -> pl.DataFrame:
    """Days from (first, count, saidi)."""
    rows = [
        ("MAULE", first + timedelta(days=i), saidi * (1 + i % 5)) for first, count, saidi in spans for i in range(count)
    ]
    return pl.DataFrame(rows, schema=["serie", "dia", "saidi"], orient="row")


def reference(values: list[float]) -> float:
    logs = [math.log(value) for value in values if value > 0]
    return math.exp(mean(logs) + 2.5 * stdev(logs))


def test_the_base_is_the_five_years_before_where_they_suffice() -> None:
    daily = make_daily(
        (date(2015, 1, 1), 100, 9.0),
        (date(2018, 1, 1), 365, 0.5),
        (date(2021, 1, 1), 30, 70.0),
    )
    found = {row["anho"]: row for row in thresholds(daily, ALL_ALIKE).to_dicts()}
    base = [0.5 * (1 + i % 5) for i in range(365)]
    assert found[2021]["umbral_med"] == pytest.approx(reference(base))
    assert found[2021]["dias_base"] == 365
    # 2018 has a hundred days before it, too few: its own days join them.
    joined = [*(9.0 * (1 + i % 5) for i in range(100)), *base]
    assert found[2018]["umbral_med"] == pytest.approx(reference(joined))


def test_days_without_interruptions_stay_out_of_the_base() -> None:
    daily = make_daily((date(2024, 1, 1), 12, 0.5), (date(2024, 3, 1), 9, 0.0))
    (row,) = thresholds(daily, ALL_ALIKE).to_dicts()
    assert row["dias_base"] == 12
    assert row["umbral_med"] == pytest.approx(reference([0.5 * (1 + i % 5) for i in range(12)]))


def test_too_small_a_base_gives_no_threshold() -> None:
    (row,) = thresholds(make_daily((date(2024, 1, 1), 9, 0.5)), ALL_ALIKE).to_dicts()
    assert (row["umbral_med"], row["dias_base"]) == (None, 9)
