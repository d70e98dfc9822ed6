"""The payloads on investment against values computed by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from statistics import mean, stdev

import polars as pl
import pytest
from support.gold_frames import make_calendar as calendar_of

from sec_core.gold.model import as_json
from sec_core.gold.payloads.eda_projects_dist import eda_projects_dist
from sec_core.gold.payloads.investment_roi import investment_roi, note
from sec_core.gold.payloads.investment_validation import ValidationRow, investment_validation
from sec_core.gold.seia.works import Work, works
from sec_core.gold.universe import CUSTOMERS_SCHEMA
from sec_core.hours import Month, month_range
from sec_core.reference.tables import comunas, regiones

NEWEST = date(2025, 6, 30)


def make_projects(*rows: tuple[str, float | None, date | None, str]) -> pl.DataFrame:
    """Projects from (region, investment, approval, state)."""
    return pl.DataFrame(
        rows,
        schema={
            "nombre_region": pl.String,
            "inversion_mmu": pl.Float64,
            "fecha_calificacion": pl.Date,
            "estado": pl.String,
        },
        orient="row",
    )


PROJECTS = make_projects(
    ("MAULE", 10.0, date(2022, 6, 30), "Aprobado"),
    ("MAULE", 30.0, date(2023, 6, 30), "Aprobado"),
    ("MAULE", 10.0, date(2023, 7, 1), "Aprobado"),
    ("MAULE", 50.0, None, "En Calificación"),
    ("MAULE", 999.0, date(2021, 1, 1), "Rechazado"),
    ("MAULE", 999.0, None, "Desistido"),
    ("AYSEN", None, None, "En Calificación"),
    ("BIOBIO", 4.0, date(2020, 1, 1), "Aprobado"),
)


def make_affected(*rows: tuple[str, int]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["nombre_region", "clientes_afectados"], orient="row")


def test_projects_by_region_descending() -> None:
    assert as_json(eda_projects_dist(PROJECTS)) == [
        {"nombre_region": "MAULE", "count": 6},
        {"nombre_region": "AYSEN", "count": 1},
        {"nombre_region": "BIOBIO", "count": 1},
    ]
    assert eda_projects_dist(make_projects()) == []


def test_customers_affected_for_each_million() -> None:
    affected = make_affected(("MAULE", 5000), ("MAULE", 1000), ("AYSEN", 7), ("UNKNOWN", 3))
    assert as_json(investment_roi(affected, PROJECTS, NEWEST)) == [
        {
            "nombre_region": "MAULE",
            "clientes_afectados": 6000,
            "total_inversión_mmu": 100.0,
            "efficiency_ratio": 60.0,
            "maturity_note": "Inversión: 50% aún sin aprobar, 30% aprobada hace 2 a 3 años (su efecto empieza), "
            "10% aprobada hace menos de 2 años (muy pronto para un efecto), "
            "10% aprobada hace 3 años o más (su efecto ya debería verse).",
        },
        {
            "nombre_region": "BIOBIO",
            "clientes_afectados": 0,
            "total_inversión_mmu": 4.0,
            "efficiency_ratio": 0.0,
            "maturity_note": "Inversión: 100% aprobada hace 3 años o más (su efecto ya debería verse).",
        },
        {
            "nombre_region": "AYSEN",
            "clientes_afectados": 7,
            "total_inversión_mmu": 0.0,
            "efficiency_ratio": None,
            "maturity_note": "Sin inversión declarada.",
        },
    ]


def test_no_ratio_before_anything_is_loaded() -> None:
    assert investment_roi(make_affected(), PROJECTS, None) == []


def test_a_note_names_only_what_there_is() -> None:
    assert note({"mature": 0, "arriving": 0, "early": 0, "pending": 2.0}) == "Inversión: 100% aún sin aprobar."


# --- validation ---------------------------------------------------------------------------------------------

WORK = Work("Línea", ("MAULE",), (), Month(2019, 6), Month(2019, 6))
BEFORE = month_range(Month(2017, 6), Month(2019, 5))
YEARS = [month_range(Month(2019 + i, 7), Month(2020 + i, 6)) for i in range(3)]
CUSTOMERS = pl.DataFrame([(date(2019, 5, 1), "07", "MAULE", 2000, None, None)], schema=CUSTOMERS_SCHEMA, orient="row")


def make_calendar(months: list[Month], shape: str = "detailed", every: int = 6) -> pl.DataFrame:
    hours = [hour for month in months for hour in month.hours()[::every]]
    return calendar_of(datetime(2026, 1, 1, tzinfo=UTC), hours, shape)


def make_rates(months: list[Month], customers: int, spread: int = 2) -> list[tuple[date, str, str, int]]:
    """Events that affect `customers` a month, one more or less in turn."""
    return [
        (month.first_day, "MAULE", "TALCA", customers + (spread if month.month % 2 else -spread)) for month in months
    ]


def validate(
    rows: list[tuple[date, str, str, int]],
    calendar: pl.DataFrame,
    work: Work = WORK,
    customers: pl.DataFrame = CUSTOMERS,
) -> ValidationRow:
    schema = {
        "mes": pl.Date,
        "nombre_region": pl.String,
        "nombre_comuna": pl.String,
        "clientes_afectados": pl.Int64,
    }
    (row,) = investment_validation(pl.DataFrame(rows, schema=schema, orient="row"), calendar, customers, [work])
    return row


ALL = [*BEFORE, *(month for year in YEARS for month in year)]


def test_an_immediate_improvement() -> None:
    rows = make_rates(BEFORE, 200) + [row for year in YEARS for row in make_rates(year, 120, 10)]
    row = validate(rows, make_calendar(ALL))
    assert (row.type, row.delta, row.year, row.project) == ("Inmediato", -40.0, 2019, "Línea")
    # Differences by calendar month, per 1 000 of 2 000 customers: -36 in odd months, -44 in even ones.
    differences = [-36.0] * 6 + [-44.0] * 6
    half = 2.201 * stdev(differences) / 12**0.5
    low, high = mean(differences) - half, mean(differences) + half
    assert "De 100,0 a 60,0 clientes afectados" in row.context
    assert f"{low:+.1f}% a {high:+.1f}%".replace(".", ",") in row.context
    assert "24 de 24 meses antes y 36 de 36 después" in row.context


def test_an_improvement_of_later_years_only_is_a_lag() -> None:
    rows = (
        make_rates(BEFORE, 200) + make_rates(YEARS[0], 230) + make_rates(YEARS[1], 210) + make_rates(YEARS[2], 150, 9)
    )
    row = validate(rows, make_calendar(ALL))
    assert (row.type, row.delta) == ("Lag (3 Años)", -25.0)
    assert row.context.endswith("La primera mejora es del año 3 después de la obra.")


def test_no_improvement() -> None:
    rows = make_rates(BEFORE, 200, 50) + [row for year in YEARS for row in make_rates(year, 210, -40)]
    row = validate(rows, make_calendar(ALL))
    assert (row.type, row.delta) == ("Sin efecto", 5.0)


def test_months_without_data_are_not_months_without_outages() -> None:
    rows = make_rates(BEFORE, 200) + make_rates(YEARS[0], 120, 10)
    row = validate(rows, make_calendar([*BEFORE, *YEARS[0]]))
    assert (row.type, row.delta) == ("Inmediato", -40.0)
    assert "12 de 36 después" in row.context


@pytest.mark.parametrize(
    "calendar",
    [
        make_calendar(BEFORE),
        make_calendar([*BEFORE[:8], *YEARS[0]]),
        make_calendar(ALL, every=24),
        pl.concat([make_calendar(BEFORE), make_calendar(YEARS[0], "aggregated")]),
        pl.concat([make_calendar(BEFORE), make_calendar(YEARS[0], every=1)]),
        make_calendar([]),
    ],
    ids=[
        "no after",
        "too few calendar months",
        "looked at once a day",
        "another shape",
        "looked at more often",
        "none",
    ],
)
def test_insufficient_data_says_so(calendar: pl.DataFrame) -> None:
    rows = make_rates(BEFORE, 200) + make_rates(YEARS[0], 120)
    row = validate(rows, calendar)
    assert (row.type, row.delta) == ("Datos insuficientes", None)


def test_without_customers_there_is_no_rate() -> None:
    row = validate(make_rates(ALL, 200), make_calendar(ALL), customers=pl.DataFrame(schema=CUSTOMERS_SCHEMA))
    assert row.type == "Datos insuficientes"


def test_only_the_works_comunas_count() -> None:
    elsewhere = [(month.first_day, "MAULE", "CURICO", 999) for month in YEARS[0]]
    rows = make_rates(BEFORE, 200) + make_rates(YEARS[0], 120, 10) + elsewhere
    calendar = make_calendar([*BEFORE, *YEARS[0]])
    assert validate(rows, calendar).type == "Sin efecto"
    assert validate(rows, calendar, Work("L", ("MAULE",), ("TALCA",), Month(2019, 6), Month(2019, 6))).delta == -40.0


def test_the_reviewed_list_names_known_places() -> None:
    known = {region.nombre for region in regiones()}
    towns = {comuna.nombre for comuna in comunas()}
    found = {work.name.partition(" (")[0]: work for work in works()}
    assert found.keys() == {"Cardones - Polpaico", "Lo Aguirre - Cerro Navia", "Pichirropulli", "REDENOR"}
    assert all(set(work.regions) <= known and set(work.comunas) <= towns and work.regions for work in works())
    assert found["Cardones - Polpaico"].first == Month(2019, 6)
    assert (found["REDENOR"].first, found["REDENOR"].last) == (Month(2023, 1), Month(2023, 12))
