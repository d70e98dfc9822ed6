"""Customers by comuna: both methods by hand, one method a region and year, and what a billing file holds."""

import csv
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from orjson import loads
from support.gold_frames import make_customers

from sec_core.errors import InputError
from sec_core.gold.customers import CENSUS, CUSTOMERS_SCHEMA, comuna_customers, dwellings, read_billing
from sec_core.gold.sheets import decimal_mark, hand_in, in_inbox, number
from sec_core.silver.universe import figures
from sec_core.source.answers import RegionCustomers

MARCH, JULY = date(2024, 3, 1), date(2024, 7, 1)
THIS_MONTH = date(2026, 11, 1)
TARAPACA = ["01101", "01107", "01401", "01402", "01403", "01404", "01405"]


def regional(*rows: tuple[date, int]) -> pl.DataFrame:
    """Customers of Tarapacá."""
    return make_customers(*((month, "01", "TARAPACA", count, None, "052019") for month, count in rows))


def billed(*rows: tuple[date, str, int]) -> pl.DataFrame:
    schema = {"mes": pl.Date, "codigo_comuna": pl.String, "clientes": pl.Int64, "fuente": pl.String}
    return pl.DataFrame([(*row, "cne.csv") for row in rows], schema=schema, orient="row")


def test_dwellings_share_out_a_region() -> None:
    found = comuna_customers(regional((MARCH, 105_155)), billed())
    shares = dwellings().filter(pl.col("codigo_region") == "01")["viviendas"]
    assert found["codigo_comuna"].to_list() == TARAPACA
    assert found["clientes"].sum() == 105_155
    for customers, homes in zip(found["clientes"], shares, strict=True):
        assert abs(customers - 105_155 * homes / shares.sum()) < 1
    assert found["metodo_clientes"].unique().to_list() == ["viviendas"]
    assert found["fuente_clientes"].unique().to_list() == [CENSUS]


def test_counts_of_a_file_go_before_dwellings_and_are_scaled() -> None:
    rows = [(MARCH, code, count) for code, count in zip(TARAPACA, (700, 200, 60, 10, 10, 10, 10), strict=True)]
    found = comuna_customers(regional((MARCH, 2_000), (JULY, 3_000)), billed(*rows))
    assert found.filter(pl.col("mes") == MARCH)["clientes"].to_list() == [1_400, 400, 120, 20, 20, 20, 20]
    assert found.filter(pl.col("mes") == JULY)["clientes"].sum() == 3_000
    assert found["metodo_clientes"].unique().to_list() == ["facturacion"], "the nearest file of the year counts"
    assert found["fuente_clientes"].unique().to_list() == ["cne.csv"]


def test_one_method_for_a_region_and_year() -> None:
    whole = [(MARCH, code, 10) for code in TARAPACA]
    found = comuna_customers(regional((MARCH, 2_000), (JULY, 3_000)), billed(*whole, (JULY, "01101", 700)))
    assert found["metodo_clientes"].unique().to_list() == ["viviendas"], "the file of July lacks most comunas"
    other_year = comuna_customers(regional((date(2025, 1, 1), 2_000)), billed(*whole))
    assert other_year["metodo_clientes"].unique().to_list() == ["viviendas"]


def test_a_comuna_that_a_good_file_does_not_list_has_no_figure() -> None:
    found = comuna_customers(regional((MARCH, 2_000)), billed(*((MARCH, code, 10) for code in TARAPACA[:-1])))
    assert found["codigo_comuna"].to_list() == TARAPACA[:-1]
    assert found["clientes"].sum() == 2_000


def test_no_denominator_no_customers() -> None:
    assert comuna_customers(regional(), billed()).is_empty()


@given(st.integers(0, 9_000_000), st.lists(st.integers(0, 400_000), min_size=7, max_size=7))
def test_comunas_sum_to_their_region(total: int, counts: list[int]) -> None:
    rows = [(MARCH, code, count) for code, count in zip(TARAPACA, counts, strict=True)]
    found = comuna_customers(regional((MARCH, total)), billed(*rows))
    assert found["clientes"].sum() == (total if sum(counts) else 0)
    assert found.filter(pl.col("clientes") < 0).is_empty()


def test_dwellings_against_real_counts(captures_dir: Path) -> None:
    """The error that docs/estimates.md states: dwellings give 0.8 to 2.1 of 13 real counts of regulated customers."""
    with (captures_dir / "reference" / "clientes_comunales_muestra.csv").open(encoding="utf-8") as lines:
        real = {row["codigo_comuna"]: int(row["clientes"]) for row in csv.DictReader(lines)}
    body = (captures_dir / "clientes_regional" / "todas.captured-2024-08-06.json").read_bytes()
    answers = [RegionCustomers(row["REGION_ID"], row["NOMBRE_REGION"], "", int(row["CLIENTES"])) for row in loads(body)]
    regions = figures(answers, 8_156_814, datetime(2024, 8, 6, tzinfo=UTC))
    names = dwellings().select("codigo_region", "nombre_region").unique()
    found = comuna_customers(regions.join(names, on="codigo_region").select(*CUSTOMERS_SCHEMA), billed())
    estimated = dict(found.select("codigo_comuna", "clientes").iter_rows())
    ratios = sorted(estimated[code] / count for code, count in real.items())
    assert (len(ratios), round(ratios[0], 1), round(ratios[-1], 1)) == (13, 0.8, 2.1)


HEAD = "anio;mes;region;comuna;tipo_clientes;tarifa;clientes_facturados;e1_kwh;e2_kwh;energia_kwh"


def written(tmp_path: Path, *rows: str, head: str = HEAD) -> Path:
    path = tmp_path / "facturacion.csv"
    path.write_text("\n".join([head, *rows]), encoding="utf-8")
    return path


def test_a_file_sums_over_kinds_and_tariffs(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "2024;12;Región de Tarapacá;Iquique;Residencial;BT1;60.679;0;0;1",
        "2024;12;Región de Tarapacá;Iquique;Comercial;AT4.3;21;0;0;1",
        "2024;12;Región de Valparaíso;Algarrobo;Residencial;BT1;22125;0;0;1",
    )
    found = read_billing(path, THIS_MONTH)
    assert found.customers.rows() == [(date(2024, 12, 1), "01101", 60_700), (date(2024, 12, 1), "05602", 22_125)]
    assert (found.rows, found.rejected) == (3, ())


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2024;12;V;Algarobo;R;BT1;5;0;0;1", "Is Algarrobo meant?"),
        ("2024;13;V;Algarrobo;R;BT1;5;0;0;1", "Its month 2024-13 is none."),
        ("2027;01;V;Algarrobo;R;BT1;5;0;0;1", "yet to come"),
        ("2024;12;V;Algarrobo;R;BT1;-5;0;0;1", "is no number of customers"),
        ("2024;12;V;Algarrobo;R;BT1;5,5;0;0;1", "is no number of customers"),
        ("2024;12;V;Algarrobo;R;BT1;1e300;0;0;1", "is no number of customers"),
        ("2024;12;V;Algarrobo;R;BT1;99999999999999999999;0;0;1", "is no number of customers"),
        ("2024;12;V;Atlantis;R;BT1;5;0;0;1", "is not known."),
    ],
)
def test_a_bad_row_is_listed_and_never_guessed(tmp_path: Path, row: str, reason: str) -> None:
    rows = ["2024;12;V;Algarrobo;R;BT1;7;0;0;1", row, "2024;12;V;Quillota;R;BT1;9;0;0;1"]
    found = read_billing(written(tmp_path, *rows), THIS_MONTH)
    # Without a row's count its comuna's sum would be too small.
    assert found.customers["clientes"].to_list() == ([9] if "count" in found.rejected[0].reason else [9, 7])
    assert [(bad.row, reason in bad.reason) for bad in found.rejected] == [(3, True)]


def test_what_is_no_billing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no billing file of the CNE"):
        read_billing(written(tmp_path, head="a;b"), THIS_MONTH)
    with pytest.raises(InputError, match="has no column clientes_facturados"):
        read_billing(written(tmp_path, "2024;1;V;Algarrobo", head="anio;mes;region;comuna"), THIS_MONTH)
    with pytest.raises(InputError, match="No row of"):
        read_billing(written(tmp_path, "2024;1;V;Atlantis;R;BT1;5;0;0;1"), THIS_MONTH)
    with pytest.raises(InputError, match="can't be read"):
        read_billing(tmp_path / "none.csv", THIS_MONTH)
    with pytest.raises(InputError, match="not a regular file"):
        read_billing(tmp_path, THIS_MONTH)


@pytest.mark.parametrize(
    ("text", "decimal", "value"),
    [
        ("1.250,5", ",", 1250.5),
        ("1 250,5", ",", 1250.5),
        ("1,250.5", ".", 1250.5),
        ("1.250", ",", 1250),
        ("30,4000", ",", 30.4),
        ("2.5", ",", 2.5),
        ("1.234", ".", 1.234),
        ("$ 1'250", ".", 1250),
        ("-7", ",", -7),
        ("1.25.0", ",", None),
        ("nan", ",", None),
        ("", ",", None),
    ],
)
def test_numbers(text: str, decimal: str, value: float | None) -> None:
    assert number(text, decimal=decimal) == value


@pytest.mark.parametrize(
    ("texts", "mark"),
    [
        (["1.250", "1.250,5"], ","),
        (["1,250.5"], "."),
        (["1.250", "3.4"], "."),
        (["1.250.000"], ","),
        (["1,250,000"], "."),
        (["1.250", "7"], ","),
    ],
)
def test_the_mark_of_a_column(texts: list[str], mark: str) -> None:
    assert decimal_mark(texts, ",") == mark


def test_runs_take_files_from_the_inbox_and_from_nowhere_else(tmp_path: Path) -> None:
    inbox, outside = tmp_path / "data" / "inbox", tmp_path / "cne.csv"
    outside.write_text("first")
    assert hand_in(outside, inbox) == "cne.csv"
    outside.write_text("second")
    hand_in(outside, inbox)
    assert in_inbox("cne.csv", inbox).read_text() == "second"
    assert hand_in(inbox / "cne.csv", inbox) == "cne.csv", "what is there already stays"
    assert [path.name for path in inbox.iterdir()] == ["cne.csv"]
    (inbox / "link.csv").symlink_to(outside)
    (inbox / "folder").mkdir()
    (inbox / "up").symlink_to(tmp_path)
    for name in (
        "../../cne.csv", str(outside), "link.csv", "up/cne.csv", "folder", "none.csv", "..", ".", "", "a\0b",
        "\ud800", "x" * 300,
    ):  # fmt: skip
        with pytest.raises(InputError, match="The inbox has no file"):
            in_inbox(name, inbox)
    with pytest.raises(InputError, match="not a regular file"):
        hand_in(tmp_path, inbox)
