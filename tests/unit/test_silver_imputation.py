"""Each sentence of the contract's section on imputation, value by value and body by body."""

import json
from datetime import date, timedelta
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fuzz_bodies import DETAILED
from support.reference_rules import utc

from sec_core.errors import StorageError
from sec_core.reference.tables import default_names
from sec_core.silver.imputation import Imputacion, start_date
from sec_core.silver.observations import MAX_NAME, Observed, Snapshot, decode, observe
from sec_core.source.shapes import MAX_CUSTOMERS, Shape, customer_count, whole_number

HOUR = utc(2025, 1, 29, 15)
TODAY = date(2025, 1, 29)


def row(**values: object) -> dict[str, Any]:
    place = {"NOMBRE_REGION": "Metropolitana", "NOMBRE_COMUNA": "Ñuñoa", "NOMBRE_EMPRESA": "ENEL"}
    return DETAILED | place | {"DIA_INT": 28, "FECHA_INT_STR": "28/1/2025", "CLIENTES_AFECTADOS": 5} | values


def observed(*rows: dict[str, Any], shape: Shape = Shape.DETAILED) -> Observed:
    # The standard library writes numbers of any length.
    return observe([Snapshot(HOUR, shape, json.dumps(rows).encode())], default_names())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0), (5, 5), (3_000_000_000, 3_000_000_000), ("12", 12), (" 12 ", 12), ("12.0", None), (12.0, 12),
        (MAX_CUSTOMERS, MAX_CUSTOMERS), (MAX_CUSTOMERS + 1, None), (2**63, None), (10**30, None), (-1, None),
        ("-3", None), (None, None), ("", None), (" ", None), ("muchos", None), ("1.234", None), (1.5, None),
        (True, None), ([1], None), ({"a": 1}, None), ("٣", None), ("+3", 3), ("1_0", None), ("9" * 25, None),
        (1e300, None),
    ],
)  # fmt: skip
def test_rule_1_customers(value: object, expected: int | None) -> None:
    assert customer_count(value) == expected
    result = observed(row(CLIENTES_AFECTADOS=value))
    assert result.observations["clientes_afectados"].to_list() == [expected or 0]
    assert result.observations["imputaciones"].to_list() == [int(Imputacion.CLIENTES) if expected is None else 0]
    assert result.quality["filas_clientes"].to_list() == [int(expected is None)]


@pytest.mark.parametrize("constant", [float("nan"), float("inf"), float("-inf")])
def test_what_json_can_not_say_is_no_number(constant: float) -> None:
    assert whole_number(constant) is None


def test_rule_2_geography_and_company_are_marked_and_their_spelling_kept() -> None:
    result = observed(
        row(),
        row(NOMBRE_REGION="", NOMBRE_COMUNA=""),
        row(NOMBRE_COMUNA="Atlantis", NOMBRE_EMPRESA="ACME"),
        row(NOMBRE_COMUNA="Atlantis", NOMBRE_EMPRESA=None),
        row(NOMBRE_COMUNA=None),
    )
    found = {(place, company): bits for _, place, company, _, _, _, bits in result.observations.iter_rows()}
    both = int(Imputacion.GEOGRAFIA | Imputacion.EMPRESA)
    assert found == {(13120, 15): 0, (0, 15): int(Imputacion.GEOGRAFIA), (0, 0): both}
    assert result.quality.select("n_filas", "filas_geografia", "filas_empresa").row(0) == (5, 4, 2)
    assert result.unresolved.drop("hora").rows() == [
        ("comuna", "", "", 1),
        ("comuna", "Metropolitana", "", 1),
        ("comuna", "Metropolitana", "Atlantis", 2),
        ("empresa", "Metropolitana", "", 1),
        ("empresa", "Metropolitana", "ACME", 1),
    ]


def test_the_aggregated_shape_has_no_company_and_imputes_none() -> None:
    rows = [{"NOMBRE_REGION": "", "NOMBRE_COMUNA": "", "CLIENTES_AFECTADOS": 1}]
    result = observed(*rows, shape=Shape.AGGREGATED)
    assert result.observations.drop("hora").rows() == [(0, 1, None, 1, 1, int(Imputacion.GEOGRAFIA))]
    assert result.quality.select("filas_empresa", "filas_fecha").row(0) == (0, 0)


@pytest.mark.parametrize(
    ("year", "month", "day", "text", "expected"),
    [
        (2025, 1, 28, "1/1/2020", date(2025, 1, 28)), (2024, 2, 29, "", date(2024, 2, 29)),
        (2023, 2, 29, "1/3/2023", date(2023, 3, 1)), (0, 0, 0, "28/1/2025", date(2025, 1, 28)),
        (0, 0, 0, "28/01/2025", date(2025, 1, 28)), (None, 1, 28, " 28/1/2025 ", date(2025, 1, 28)),
        (1, 1, 1, None, date(1, 1, 1)), (9999, 12, 31, None, date(9999, 12, 31)), (10_000, 1, 1, None, None),
        (2025, 13, 1, "31/4/2025", None), (2025, 1, 2**40, "1/1/0000", None), (None, None, None, None, None),
        (None, None, None, "2025-01-28", None), (None, None, None, "1/1/25", None),
    ],
)  # fmt: skip
def test_rule_3_reads_the_numbers_then_the_text(
    year: int | None, month: int | None, day: int | None, text: str | None, expected: date | None
) -> None:
    assert start_date(year, month, day, text) == expected


@pytest.mark.parametrize(
    ("changes", "expected", "imputed"),
    [
        ({}, date(2025, 1, 28), False), ({"DIA_INT": 29}, TODAY, False), ({"DIA_INT": 30}, TODAY, True),
        ({"ANHO_INT": 9999}, TODAY, True), ({"ANHO_INT": 1}, date(1, 1, 28), False),
        ({"ANHO_INT": "2024"}, date(2024, 1, 28), False),
        ({"ANHO_INT": "x", "FECHA_INT_STR": "31/12/2024"}, date(2024, 12, 31), False),
        ({"ANHO_INT": None, "FECHA_INT_STR": "x"}, TODAY, True), ({"ANHO_INT": 0, "FECHA_INT_STR": 28}, TODAY, True),
    ],
)  # fmt: skip
def test_rule_3_replaces_what_is_no_date_or_lies_after_the_hour(
    changes: dict[str, Any], expected: date, imputed: bool
) -> None:
    result = observed(row(**changes))
    assert result.observations["fecha_inicio"].to_list() == [expected]
    assert result.quality["filas_fecha"].to_list() == [int(imputed)]
    assert result.observations["imputaciones"].to_list() == [int(Imputacion.FECHA) if imputed else 0]


def test_the_observed_date_is_that_of_chile() -> None:
    # 02:00 UTC on the 30th is 23:00 on the 29th in Chile.
    late = observe([Snapshot(utc(2025, 1, 30, 2), Shape.DETAILED, orjson.dumps([row(DIA_INT=30)]))], default_names())
    assert late.observations["fecha_inicio"].to_list() == [TODAY]
    assert late.quality["filas_fecha"].to_list() == [1]


def test_alike_rows_are_summed_and_every_row_is_counted() -> None:
    result = observed(row(), row(), row(CLIENTES_AFECTADOS=-2), row(NOMBRE_COMUNA="NUNOA "), row(DIA_INT=27))
    assert result.observations.select("fecha_inicio", "clientes_afectados", "n_filas", "imputaciones").rows() == [
        (date(2025, 1, 27), 5, 1, 0),
        (date(2025, 1, 28), 15, 4, int(Imputacion.CLIENTES)),
    ]
    assert result.quality.select("n_filas", "n_observaciones", "clientes").row(0) == (5, 2, 20)


def test_names_that_postgres_could_not_hold_are_bounded() -> None:
    result = observed(
        row(NOMBRE_COMUNA="x" * 10_000), row(NOMBRE_COMUNA="a\x00b"), row(NOMBRE_COMUNA="'; drop table x;")
    )
    assert sorted(result.unresolved["nombre"].to_list(), key=len) == ["ab", "'; drop table x;", "x" * MAX_NAME]


def test_an_hour_without_rows_is_an_hour() -> None:
    result = observe([Snapshot(HOUR, Shape.AGGREGATED, b"[]")], default_names())
    assert result.quality.select("n_filas", "n_observaciones", "clientes").rows() == [(0, 0, 0)]
    assert result.observations.is_empty()


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"<html>", b'[{"a":1}', b"null"])
def test_a_body_that_is_no_list_of_rows_is_refused(body: bytes) -> None:
    with pytest.raises(StorageError):
        decode([body], Shape.AGGREGATED)


def test_of_a_key_twice_the_last_value_counts_as_everywhere() -> None:
    row = b'{"NOMBRE_REGION":"Maule","NOMBRE_COMUNA":"Talca","CLIENTES_AFECTADOS":1,"CLIENTES_AFECTADOS":2}'
    frame = decode([b"[" + row + b"]"], Shape.AGGREGATED)
    assert frame["CLIENTES_AFECTADOS"].to_list() == [2]


@pytest.mark.parametrize("half", [b"\\ud800", b"\\uDC00"])
def test_half_a_character_is_a_mark_and_a_whole_one_is_read(half: bytes) -> None:
    body = b'[{"NOMBRE_REGION":"Maule","NOMBRE_COMUNA":"%s","CLIENTES_AFECTADOS":1}]'
    for name, read in ((half, "\ufffd"), (b"\\ud83d\\ude00", "\U0001f600")):
        frame = decode([body % name], Shape.AGGREGATED)
        assert frame["NOMBRE_COMUNA"].cast(pl.String).to_list() == [read]


NAMES = st.one_of(
    st.sampled_from(["Arica", "Ñuñoa ", "", "},{", "a\nb", '"', "Sierra;rda"]), st.none(), st.text(max_size=4)
)
NUMBERS = st.one_of(
    st.integers(-5, 50), st.integers(), st.none(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "NOMBRE_REGION": NAMES,
            "NOMBRE_COMUNA": NAMES,
            "NOMBRE_EMPRESA": NAMES,
            "CLIENTES_AFECTADOS": st.one_of(st.integers(0, 50), NUMBERS, st.sampled_from(["7", "x", ""])),
            "ANHO_INT": st.one_of(st.just(2025), NUMBERS),
            "MES_INT": st.one_of(st.just(1), NUMBERS),
            "DIA_INT": st.one_of(st.integers(1, 31), NUMBERS),
            "FECHA_INT_STR": NAMES,
        }
    ),
    max_size=5,
)


def encode(rows: list[dict[str, Any]], style: str) -> bytes:
    if style == "indented":
        return orjson.dumps(rows, option=orjson.OPT_INDENT_2)
    return orjson.dumps(rows)


def fits(rows: list[dict[str, Any]]) -> bool:
    try:
        orjson.dumps(rows)
    except TypeError:
        return False
    return True


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(ROWS.filter(fits), st.sampled_from(["compact", "indented"])), max_size=4))
def test_decoding_is_exact_whatever_bodies_stand_together(bodies: list[tuple[list[dict[str, Any]], str]]) -> None:
    frame = decode([encode(rows, style) for rows, style in bodies], Shape.DETAILED)
    expected = [
        (index, row["NOMBRE_COMUNA"], whole_number(row["CLIENTES_AFECTADOS"]), whole_number(row["ANHO_INT"]))
        for index, (rows, _) in enumerate(bodies)
        for row in rows
    ]
    assert (
        frame.select("cuerpo", pl.col("NOMBRE_COMUNA").cast(pl.String), "CLIENTES_AFECTADOS", "ANHO_INT").rows()
        == expected
    )


def test_conservation_over_real_sized_batches() -> None:
    hours = [HOUR + timedelta(hours=step) for step in range(40)]
    bodies = [
        Snapshot(hour, shape, orjson.dumps([row(CLIENTES_AFECTADOS=number) for number in range(30)]))
        for hour, shape in zip(hours, [Shape.DETAILED, Shape.AGGREGATED] * 20, strict=True)
    ]
    result = observe(iter(bodies), default_names())
    assert result.quality["n_filas"].sum() == 40 * 30 == result.observations["n_filas"].sum()
    assert result.quality["clientes"].sum() == 40 * sum(range(30)) == result.observations["clientes_afectados"].sum()
    assert result.quality["hora"].to_list() == hours
