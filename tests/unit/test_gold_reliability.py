"""Reliability indices and major event days against values computed by hand."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from statistics import mean, stdev

import polars as pl
import pytest
from support.gold_frames import make_calendar

from sec_core.gold.frames import UTC_TIME, with_month
from sec_core.gold.major_days import thresholds
from sec_core.gold.model import as_json
from sec_core.gold.payloads.reliability import reliability
from sec_core.gold.universe import CUSTOMERS_SCHEMA
from sec_core.hours import Month, hours_of_day, id_tiempo

AUGUST = Month(2024, 8)
NOW = datetime(2024, 9, 1, 12, tzinfo=UTC)
NO_CUSTOMERS = pl.DataFrame(schema=CUSTOMERS_SCHEMA)
CUSTOMERS = pl.DataFrame(
    [
        (date(2024, 8, 1), "07", "MAULE", 1000, None, "052019"),
        (date(2024, 8, 1), "11", "AYSEN", 500, None, "052019"),
    ],
    schema=CUSTOMERS_SCHEMA,
    orient="row",
)


def make_events(*rows: tuple[date, str, int, int]) -> pl.DataFrame:
    """Events from (day, region, customers, customer-hours), beginning at 00h."""
    return pl.DataFrame(
        [(id_tiempo(hours_of_day(day)[0]), *rest) for day, *rest in rows],
        schema={
            "id_tiempo": pl.Int32,
            "nombre_region": pl.String,
            "clientes_afectados": pl.Int64,
            "cliente_horas": pl.Int64,
        },
        orient="row",
    )


def make_hourly(*rows: tuple[datetime, str, int]) -> pl.DataFrame:
    schema = {"hora": UTC_TIME, "serie": pl.String(), "clientes": pl.Int64()}
    regions = pl.DataFrame(rows, schema=schema, orient="row")
    country = (
        regions.group_by("hora")
        .agg(pl.col("clientes").sum())
        .select("hora", pl.lit("CHILE").alias("serie"), "clientes")
    )
    return with_month(pl.concat([regions, country.select(regions.columns)]))


def test_the_indices_of_a_month() -> None:
    hours = AUGUST.hours()[:72]
    events = make_events(
        (date(2024, 8, 1), "MAULE", 200, 700),
        (date(2024, 8, 2), "MAULE", 50, 50),
        (date(2024, 8, 2), "UNKNOWN", 5, 10),
    )
    hourly = make_hourly(
        (hours[0], "MAULE", 150), (hours[1], "MAULE", 200), (hours[1], "UNKNOWN", 4), (hours[2], "AYSEN", 30)
    )
    rows = as_json(reliability(events, make_calendar(NOW, hours), hourly, CUSTOMERS))
    assert [row["nombre_region"] for row in rows] == ["AYSEN", "MAULE", "CHILE"]
    aysen, maule, chile = rows
    assert maule == {
        "mes": "2024-08-01",
        "nombre_region": "MAULE",
        "clientes": 1000,
        "meses_denominador": 0,
        "saifi": 0.25,
        "saidi": 0.75,
        "caidi": 3.0,
        "saifi_sin_med": None,
        "saidi_sin_med": None,
        "caidi_sin_med": None,
        "dias_med": None,
        "umbral_med": None,
        "dias_base": 2,
        "punta": 0.2,
        "cobertura": round(72 / 744, 6),
        "cubierto": False,
        "etiqueta": "computed from hourly snapshots",
    }
    # Captured hours that list nothing of a region are a true zero; there is no mean duration of nothing.
    assert (aysen["saifi"], aysen["saidi"], aysen["caidi"], aysen["punta"]) == (0.0, 0.0, None, 0.06)
    assert (aysen["saidi_sin_med"], aysen["dias_med"]) == (0.0, 0)
    # The country counts what did not resolve, over all customers.
    assert (chile["clientes"], chile["saifi"], chile["saidi"]) == (1500, 0.17, round(760 / 1500, 8))
    assert chile["punta"] == 0.136


def test_major_event_days_are_left_out_after_the_2_5_beta_method() -> None:
    usual = [100, 110, 90, 105, 95, 100, 120, 80, 100, 100, 100, 100]
    days = AUGUST.days()
    events = make_events(
        *((day, "MAULE", 10, hours) for day, hours in zip(days, usual, strict=False)),
        (days[20], "MAULE", 900, 9000),
    )
    logs = [math.log(hours / 1000) for hours in [*usual, 9000]]
    limit = math.exp(mean(logs) + 2.5 * stdev(logs))
    assert 0.12 < limit < 9
    rows = reliability(events, make_calendar(NOW, AUGUST.hours()), make_hourly(), CUSTOMERS)
    maule = next(row for row in rows if row.nombre_region == "MAULE")
    assert maule.umbral_med == pytest.approx(limit, abs=1e-6)
    assert (maule.dias_med, maule.dias_base) == (1, 13)
    assert (maule.saidi, maule.saidi_sin_med) == (10.2, 1.2)
    assert (maule.saifi, maule.saifi_sin_med) == (1.02, 0.12)
    assert maule.caidi_sin_med == 10.0
    assert (maule.cobertura, maule.cubierto) == (1.0, True)


def test_a_month_with_events_but_no_captured_hour_is_shown_as_uncovered() -> None:
    events = make_events((date(2019, 2, 19), "MAULE", 30, 60))
    rows = reliability(events, make_calendar(NOW, AUGUST.hours()), make_hourly(), CUSTOMERS)
    old = [row for row in rows if row.mes == date(2019, 2, 1)]
    assert [(row.nombre_region, row.saidi, row.punta, row.cobertura, row.cubierto) for row in old] == [
        ("MAULE", 0.06, None, None, False),
        ("CHILE", 0.04, None, None, False),
    ]
    assert {row.meses_denominador for row in old} == {66}


def test_without_customers_there_are_no_indices() -> None:
    events = make_events((date(2024, 8, 1), "MAULE", 30, 60))
    assert reliability(events, make_calendar(NOW, AUGUST.hours()), make_hourly(), NO_CUSTOMERS) == []


def make_daily(*spans: tuple[date, int, float, bool]) -> pl.DataFrame:
    """Days from (first, count, saidi, covered)."""
    rows = [
        ("MAULE", first + timedelta(days=i), saidi * (1 + i % 5), covered)
        for first, count, saidi, covered in spans
        for i in range(count)
    ]
    return pl.DataFrame(rows, schema=["nombre_region", "dia", "saidi", "cubierto"], orient="row")


def reference(values: list[float]) -> float:
    logs = [math.log(value) for value in values if value > 0]
    return math.exp(mean(logs) + 2.5 * stdev(logs))


def test_the_base_is_the_five_years_before_where_they_suffice() -> None:
    daily = make_daily(
        (date(2015, 1, 1), 100, 9.0, True),
        (date(2018, 1, 1), 365, 0.5, True),
        (date(2021, 1, 1), 30, 70.0, True),
    )
    found = {row["anho"]: row for row in thresholds(daily).to_dicts()}
    base = [0.5 * (1 + i % 5) for i in range(365)]
    assert found[2021]["umbral_med"] == pytest.approx(reference(base))
    assert found[2021]["dias_base"] == 365
    # 2018 has a hundred days before it, too few: its own days join them.
    joined = [*(9.0 * (1 + i % 5) for i in range(100)), *base]
    assert found[2018]["umbral_med"] == pytest.approx(reference(joined))


def test_days_without_interruptions_or_data_stay_out_of_the_base() -> None:
    daily = make_daily(
        (date(2024, 1, 1), 12, 0.5, True), (date(2024, 3, 1), 9, 0.0, True), (date(2024, 4, 1), 9, 50.0, False)
    )
    (row,) = thresholds(daily).to_dicts()
    assert row["dias_base"] == 12
    assert row["umbral_med"] == pytest.approx(reference([0.5 * (1 + i % 5) for i in range(12)]))


def test_too_small_a_base_gives_no_threshold() -> None:
    (row,) = thresholds(make_daily((date(2024, 1, 1), 9, 0.5, True))).to_dicts()
    assert (row["umbral_med"], row["dias_base"]) == (None, 9)
