"""The payloads on investment against values computed by hand."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest

from scripts.work_worlds import falls_found, false_findings
from sec_core.gold.payloads.investment_validation import ValidationRow, Work, investment_validation, works
from sec_core.gold.payloads.seen import eda_projects_dist, investment_roi, note
from sec_core.hours import Month, month_range
from sec_core.reference.tables import comunas, regiones

NEWEST = date(2025, 6, 30)


def make_projects(*rows: tuple[str, float | None, date | None, str]) -> pl.DataFrame:
    """Projects from (region, investment, approval, state)."""
    types = {
        "nombre_region": pl.String,
        "inversion_mmu": pl.Float64,
        "fecha_calificacion": pl.Date,
        "estado": pl.String,
    }
    return pl.DataFrame(rows, schema=types, orient="row")


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
    assert eda_projects_dist(PROJECTS).rows() == [("MAULE", 6), ("AYSEN", 1), ("BIOBIO", 1)]
    assert eda_projects_dist(make_projects()).is_empty()


def test_customers_affected_for_each_million() -> None:
    affected = make_affected(("MAULE", 5000), ("MAULE", 1000), ("AYSEN", 7), ("UNKNOWN", 3))
    mixed = (
        "Inversión: 50% aún sin aprobar, 30% aprobada hace 2 a 3 años (su efecto empieza), 10% aprobada hace menos de"
        " 2 años (muy pronto para un efecto), 10% aprobada hace 3 años o más (su efecto ya debería verse)."
    )
    all_of_it = "Inversión: 100% aprobada hace 3 años o más (su efecto ya debería verse)."
    assert investment_roi(affected, PROJECTS, NEWEST).rows() == [
        ("MAULE", 6000, 100.0, 60.0, mixed),
        ("BIOBIO", 0, 4.0, 0.0, all_of_it),
        ("AYSEN", 7, 0.0, None, "Sin inversión declarada."),
    ]


def test_no_ratio_before_anything_is_loaded() -> None:
    assert investment_roi(make_affected(), PROJECTS, None).is_empty()


def test_a_note_names_only_what_there_is() -> None:
    assert note({"mature": 0, "arriving": 0, "early": 0, "pending": 2.0}) == "Inversión: 100% aún sin aprobar."


# --- validation ---------------------------------------------------------------------------------------------

WORK = Work("Línea", ("MAULE",), (), Month(2019, 6), Month(2019, 6))
MONTHS = month_range(Month(2015, 6), Month(2023, 6))
REGIONS = ("MAULE", "NUBLE", "BIOBIO", "LOS RIOS", "LOS LAGOS", "AYSEN")


def comunal(change: Callable[[Month], float], months: Sequence[Month] = MONTHS) -> pl.DataFrame:
    """Monthly indices of 20 comunas in each region; in MAULE customer-hours are multiplied by `change`."""
    draw = np.random.default_rng(3)
    rows = []
    for number, region in enumerate(REGIONS):
        for month in months:
            factor = (1 + 0.3 * np.cos(month.month)) * (change(month) if region == "MAULE" else 1)
            for comuna in range(20):
                hours = 2000 * factor * np.exp(draw.normal(0, 0.3))
                rows.append(
                    (month.first_day, f"{number:02d}{comuna:03d}", f"C{comuna}", region, "estimado", hours, 1000)
                )
    names = ["mes", "codigo_comuna", "nombre_comuna", "nombre_region", "metodo", "cliente_horas", "clientes"]
    return pl.DataFrame(rows, schema=names, orient="row")


def validate(rows: pl.DataFrame, work: Work = WORK) -> ValidationRow:
    (row,) = investment_validation(rows, [work])
    return row


def test_a_fall_is_found_and_said_with_the_smallest_one_that_could_be_seen() -> None:
    row = validate(comunal(lambda month: 0.6 if month > WORK.last else 1.0))
    assert (row.type, row.year, row.project) == ("Inmediato", 2019, "Línea")
    assert row.delta == pytest.approx(-40, abs=4)
    assert "48 meses antes y 48 después" in row.context
    assert "La menor baja que se habría visto es de " in row.context


def test_a_fall_of_a_later_year_alone_is_a_lag() -> None:
    row = validate(comunal(lambda month: 0.55 if Month(2021, 7) <= month <= Month(2022, 6) else 1.1))
    assert row.type == "Lag (3 Años)"
    assert row.delta is not None
    assert row.delta < -30


def test_what_falls_everywhere_is_no_effect() -> None:
    half = pl.when(pl.col("mes") > WORK.last.first_day).then(0.5).otherwise(1.0)
    row = validate(comunal(lambda _month: 1.0).with_columns(pl.col("cliente_horas") * half))
    assert row.type == "Sin efecto"
    assert row.delta == pytest.approx(0, abs=6)


@pytest.mark.parametrize(
    "rows",
    [
        comunal(lambda _month: 1.0, MONTHS[:40]),
        comunal(lambda _month: 1.0, MONTHS[30:]),
        comunal(lambda _month: 1.0).with_columns(metodo=pl.lit("insuficiente")),
        comunal(lambda _month: 1.0).filter(pl.col("nombre_region").is_in(["MAULE", "NUBLE"])),
        comunal(lambda month: 1.0 if month < Month(2017, 6) else 0.5),
    ],
    ids=["nothing after", "too little before", "no estimate", "one region to compare with", "it fell long before"],
)
def test_what_cannot_be_decided_says_so(rows: pl.DataFrame) -> None:
    row = validate(rows)
    assert (row.type, row.delta) == ("Datos insuficientes", None)


def test_only_the_works_comunas_count() -> None:
    rows = comunal(lambda month: 0.3 if month > WORK.last else 1.0)
    untouched = pl.when(pl.col("nombre_comuna") == "C1").then(2000.0).otherwise("cliente_horas")
    some = rows.with_columns(cliente_horas=untouched)
    assert validate(some, replace(WORK, comunas=("C1",))).type != "Inmediato"
    assert validate(some, replace(WORK, comunas=("C2", "C3"))).type == "Inmediato"


def test_the_two_error_rates_on_worlds() -> None:
    """A smaller run of `make calibrate`."""
    false = [each for rho in (0.0, 0.6) for each in false_findings(range(30), rho)]
    assert sum(false) <= 6  # at 5% more of 60 come by chance in 3% of such runs
    whole = [each for rho in (0.0, 0.6) for each in false_findings(range(30), rho, whole=True)]
    assert sum(whole) <= 6
    assert np.mean(falls_found(range(30), 0.3)) >= 0.8


def test_the_reviewed_list_names_known_places() -> None:
    known = {region.nombre for region in regiones()}
    towns = {comuna.nombre for comuna in comunas()}
    found = {work.name.partition(" (")[0]: work for work in works()}
    assert found.keys() == {"Cardones - Polpaico", "Lo Aguirre - Cerro Navia", "Pichirropulli", "REDENOR"}
    assert all(set(work.regions) <= known and set(work.comunas) <= towns and work.regions for work in works())
    assert found["Cardones - Polpaico"].first == Month(2019, 6)
    assert (found["REDENOR"].first, found["REDENOR"].last) == (Month(2023, 1), Month(2023, 12))
