"""The tables behind the report's figures: what is not known stays unknown."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from support.gold_frames import make_calendar

from sec_core.gold.frames import UTC_TIME
from sec_core.gold.report import charts
from sec_core.gold.report.data import (
    NORTH_TO_SOUTH,
    TILES,
    daily_peaks,
    day_table,
    largest_storms,
    monthly_affected,
    monthly_instability,
    recent_saidi,
)
from sec_core.gold.report.page import Figure, render
from sec_core.gold.universe import CUSTOMERS_SCHEMA
from sec_core.hours import hours_of_day
from sec_core.reference.tables import regiones

AUGUST = date(2024, 8, 1)
NOW = datetime(2024, 10, 1, 12, tzinfo=UTC)


def test_a_day_says_why_it_is_missing() -> None:
    days = [hours_of_day(date(2024, 9, day)) for day in range(1, 9)]
    calendar = make_calendar(
        NOW,
        captured=[*days[0], *days[1][:3], *days[7]],
        empty=[*days[2], *days[1][3:]],
        failed=list(days[3][:1]),
        quarantined=list(days[4]),
    )
    table = {row["numero"]: row for row in day_table(calendar).to_dicts()}
    assert [table[day]["estado"] for day in range(1, 7)] == [
        "complete",
        "partial",
        "no data at the source",
        "failed",
        "failed",
        "not asked yet",
    ]
    assert set(charts.COVERAGE_COLOURS) >= {row["estado"] for row in table.values()}
    # The day of the September change has 23 hours, and is complete with them.
    assert (table[8]["esperadas"], table[8]["estado"]) == (23, "complete")
    assert (table[2]["capturadas"], table[2]["vacias"], table[2]["pendientes"]) == (3, 21, 0)


def test_a_day_without_data_has_no_peak() -> None:
    first, second = hours_of_day(date(2024, 8, 1)), hours_of_day(date(2024, 8, 3))
    hourly = pl.DataFrame(
        [(first[0], "MAULE", 50), (first[0], "CHILE", 11), (first[1], "CHILE", 7), (second[0], "CHILE", 0)],
        schema={"hora": UTC_TIME, "serie": pl.String(), "clientes": pl.Int64()},
        orient="row",
    )
    days = day_table(make_calendar(NOW, captured=[*first[:2], second[0]]))
    peaks = daily_peaks(hourly, days)
    assert peaks["clientes"].to_list()[:4] == [11, None, 0, None]
    assert peaks.height == 31


def test_storms_stand_out_and_lie_apart() -> None:
    values: list[int | None] = [10] * 60
    values[5], values[9], values[20], values[40], values[50] = 500, 400, 300, None, 29
    daily = pl.DataFrame({"dia": [AUGUST + timedelta(days=i) for i in range(60)], "clientes": values})
    assert largest_storms(daily).rows() == [
        (AUGUST + timedelta(days=5), 500),
        (AUGUST + timedelta(days=20), 300),
    ]
    assert largest_storms(daily.clear()).is_empty()


def test_a_month_without_hours_is_unknown_and_one_without_events_is_zero() -> None:
    calendar = make_calendar(NOW, captured=list(hours_of_day(AUGUST)), failed=[hours_of_day(date(2024, 9, 1))[0]])
    events = pl.DataFrame({"mes": [AUGUST], "nombre_region": ["MAULE"], "clientes_afectados": [30]})
    monthly = monthly_affected(events, calendar)
    found = {(row["mes"].month, row["nombre_region"]): row["afectados"] for row in monthly.to_dicts()}
    assert (found[8, "MAULE"], found[8, "AYSEN"], found[9, "MAULE"]) == (30, 0, None)
    customers = pl.DataFrame([(AUGUST, "07", "MAULE", 60, None, None)], schema=CUSTOMERS_SCHEMA, orient="row")
    assert monthly_instability(monthly, customers).rows() == [("MAULE", 50.0, 1)]


def saidi_row(region: str, month: str, raw: float, calm: float | None, share: float | None) -> dict[str, object]:
    return {"nombre_region": region, "mes": month, "saidi": raw, "saidi_sin_med": calm, "cobertura": share}


def test_saidi_sums_the_newest_months_in_a_row() -> None:
    rows = [
        saidi_row("MAULE", "2024-05-01", 9.0, 9.0, 0.5),
        saidi_row("MAULE", "2024-07-01", 1.0, 0.5, 1.0),
        saidi_row("MAULE", "2024-08-01", 2.0, 0.5, 0.9),
        saidi_row("AYSEN", "2024-07-01", 1.0, 1.0, 0.9),
        saidi_row("AYSEN", "2024-08-01", 2.0, None, 0.9),
        saidi_row("BIOBIO", "2024-08-01", 2.0, None, 0.9),
        saidi_row("AYSEN", "2024-09-01", 7.0, 7.0, None),
    ]
    span = {"meses": 2, "desde": "2024-07", "hasta": "2024-08"}
    # June is missing, so May does not count; a region without one of the two months has no sum.
    assert recent_saidi(rows) == [
        {"nombre_region": "MAULE", "serie": "all days", "saidi": 3.0, "cobertura": 0.9, **span},
        {"nombre_region": "MAULE", "serie": "without major event days", "saidi": 1.0, "cobertura": 0.9, **span},
        {"nombre_region": "AYSEN", "serie": "all days", "saidi": 3.0, "cobertura": 0.9, **span},
    ]
    assert len(recent_saidi(rows, months=1)) == 4


@pytest.mark.parametrize(
    ("count", "percentage", "label"),
    [(0, 0.0, "0 (0.00%)"), (1234, 0.05, "1,234 (5.00%)"), (1, 0.0000004, "1 (0.00%)")],
)
def test_quality_labels(count: int, percentage: float, label: str) -> None:
    assert charts.quality_label(count, percentage) == label


def test_all_regions_have_a_tile() -> None:
    names = {region.nombre for region in regiones()}
    assert names == set(NORTH_TO_SOUTH)
    assert len({tile[:2] for tile in TILES.values()}) == len(names)


def test_the_page_escapes_what_it_is_given() -> None:
    evil = "</script><script>alert(1)</script>"
    meta: dict[str, Any] = {
        "generado": "2024-10-01T12:00:00Z",
        "primera_hora": None,
        "ultima_hora": None,
        "meses_con_empresa": [],
        "denominadores": [],
        "totales": {"eventos": 0, "clientes_afectados": 0, "horas_cargadas": 0},
    }
    spec = {"mark": "bar", "data": {"values": [{"nombre_empresa": evil}]}}
    figure = Figure("x", evil, evil, spec, [{"nombre_empresa": evil, "n": None}], ("event",))
    page = render([figure], meta, [], "window.x = 1;")
    assert "<script>alert" not in page
    assert page.count("<script>") == 2
    assert "Nothing is loaded yet." in page
    assert "no data" in page
