"""Each payload against values computed by hand on a small world."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import orjson
import polars as pl
import pytest
from pydantic import ValidationError
from support.gold_frames import make_customers, make_ledger

from sec_core.gold.customers import denominators, nearest, newest
from sec_core.gold.frames import (
    ORIGIN,
    UTC_TIME,
    hour_calendar,
    hours_by_origin,
    in_words,
    one_word,
    others,
    source_hours,
)
from sec_core.gold.model import as_json, dump
from sec_core.gold.payloads.basis import CoverageRow, QualityRow, coverage, eda_quality_stats, meta
from sec_core.gold.payloads.registry import rows_of
from sec_core.gold.payloads.seen import TimeSeriesRow, company_ranking, market_map, time_series
from sec_core.hours import Month, closed_hours, hours_of_day, month_range

AUGUST, SEPTEMBER = date(2024, 8, 1), date(2024, 9, 1)
NOW = datetime(2024, 10, 5, 12, 30, tzinfo=UTC)
TEXT, NUMBER = pl.String(), pl.Int64()
EVENT_COLUMNS = {
    "mes": pl.Date(), "nombre_region": TEXT, "nombre_comuna": TEXT, "nombre_empresa": TEXT,
    "clientes_afectados": NUMBER, "topado": pl.Boolean(), "fin": UTC_TIME,
}  # fmt: skip


def make_events(*rows: tuple[Any, ...]) -> pl.DataFrame:
    """Events from (mes, region, comuna, empresa, clientes[, topado[, fin]])."""
    filled = [(*row, *(False, NOW)[len(row) - 5 :]) for row in rows]
    return pl.DataFrame(filled, schema=EVENT_COLUMNS, orient="row")


EVENTS = make_events(
    (AUGUST, "MAULE", "TALCA", "CGE", 600),
    (AUGUST, "MAULE", "TALCA", "CGE", 150),
    (SEPTEMBER, "MAULE", "TALCA", "CEC", 10),
    (AUGUST, "AYSEN", "COIHAIQUE", "EDELAYSEN", 5000, True),
    (SEPTEMBER, "UNKNOWN", "UNKNOWN", "UNKNOWN", 7, False, None),
    (SEPTEMBER, "AYSEN", "AYSEN", "NO INFORMADA", 0),
)
CUSTOMERS = make_customers(
    (date(2019, 5, 1), "07", "MAULE", 999_999, None, "052019"),
    (AUGUST, "07", "MAULE", 3000, None, "052019"),
    (AUGUST, "11", "AYSEN", 4000, 5000, "052019"),
)


MONTHS = pl.DataFrame({"mes": [AUGUST, SEPTEMBER]})


def test_market_map_divides_by_the_newest_customers_and_stops_at_100() -> None:
    assert market_map(EVENTS, CUSTOMERS).rows() == [
        ("AYSEN", "AYSEN", "NO INFORMADA", 0, 1, 0.0),
        ("AYSEN", "COIHAIQUE", "EDELAYSEN", 5000, 1, 100.0),
        ("MAULE", "TALCA", "CEC", 10, 1, 0.333333),
        ("MAULE", "TALCA", "CGE", 750, 2, 25.0),
        ("UNKNOWN", "UNKNOWN", "UNKNOWN", 7, 1, None),
    ]


def test_market_map_without_customers_has_no_index() -> None:
    rows = market_map(EVENTS, make_customers())
    assert set(rows["instability_index"]) == {None}
    assert rows["total_afectados"].sum() == 5767


def test_time_series_sums_by_month_of_the_beginning() -> None:
    assert time_series(EVENTS, MONTHS).rows() == [
        (AUGUST, "AYSEN", 5000),
        (AUGUST, "MAULE", 750),
        (SEPTEMBER, "AYSEN", 0),
        (SEPTEMBER, "MAULE", 10),
        (SEPTEMBER, "UNKNOWN", 7),
    ]


def test_a_month_without_a_loaded_hour_has_no_row() -> None:
    assert set(time_series(EVENTS, pl.DataFrame({"mes": [AUGUST]}))["mes"]) == {AUGUST}


def test_company_ranking_leaves_out_what_names_no_company() -> None:
    assert company_ranking(EVENTS).rows() == [
        ("EDELAYSEN", 1, 5000, 5000.0),
        ("CGE", 2, 750, 375.0),
        ("CEC", 1, 10, 10.0),
    ]


def test_company_ranking_keeps_15_and_breaks_ties_by_events_then_name() -> None:
    many = [(AUGUST, "MAULE", "TALCA", f"E{i:02d}", 100 + i) for i in range(20)]
    tied = [(AUGUST, "MAULE", "TALCA", name, 1000) for name in ("B", "A")]
    split = [(AUGUST, "MAULE", "TALCA", "C", 500)] * 2
    assert company_ranking(make_events(*many, *tied, *split))["nombre_empresa"].to_list() == [
        "C",
        "A",
        "B",
        *(f"E{i:02d}" for i in range(19, 7, -1)),
    ]


def test_company_ranking_rounds_the_mean_to_two_decimals() -> None:
    rows = [(AUGUST, "MAULE", "TALCA", "CGE", n) for n in (1, 1, 2)]
    assert company_ranking(make_events(*rows))["promedio_afectados"].to_list() == [1.33]


def test_quality_counts_source_rows_and_capped_events() -> None:
    rules = ["clientes", "geografia", "empresa", "fecha"]
    imputation = pl.DataFrame({"regla": rules * 2, "filas": [0, 3, 1, 0, 0, 2, 0, 5], "total": [150] * 4 + [50] * 4})
    assert eda_quality_stats(imputation, EVENTS).rows() == [
        ("Affected = 0 (Imputed)", 0, 0.0),
        ("Geography = UNKNOWN (Imputed)", 5, 0.025),
        ("Company = UNKNOWN (Imputed)", 1, 0.005),
        ("Start date = server time (Imputed)", 5, 0.025),
        ("Affected capped at regional total", 1, 1 / 6),
    ]


def test_coverage_accounts_for_every_hour_that_has_ended() -> None:
    first = hours_of_day(date(2024, 8, 30))
    later = hours_of_day(date(2024, 10, 1))
    ledger = make_ledger(
        *((hour, "captured", "detailed", 10) for hour in first[:3]),
        (first[3], "captured", "aggregated", 4),
        (first[4], "empty", None, 0),
        (first[5], "failed", None, 0),
        (first[6], "quarantined", None, 0),
        (later[0], "captured", "aggregated", 1),
    )
    loads = pl.DataFrame({"hora": first[:2]}, schema={"hora": UTC_TIME})
    rows = as_json(rows_of(CoverageRow, coverage(hour_calendar(ledger, loads, NOW))))
    assert [row["mes"] for row in rows] == ["2024-08-01", "2024-09-01", "2024-10-01"]
    assert rows[0] == {
        "mes": "2024-08-01", "horas_esperadas": 744, "capturadas": 4, "vacias": 1, "fallidas": 1, "en_cuarentena": 1,
        "pendientes": 737, "cobertura": 0.005376, "detalladas": 3, "agregadas": 1, "cargadas": 2, "filas": 34,
    }  # fmt: skip
    # September has an hour less, and October only the hours that have ended by 09:30 of the 5th on the wall.
    assert (rows[1]["horas_esperadas"], rows[1]["pendientes"], rows[1]["cobertura"]) == (719, 719, 0.0)
    assert rows[2]["horas_esperadas"] == 4 * 24 + 9


def test_coverage_of_an_hour_still_open_counts_nothing() -> None:
    open_hour = NOW.replace(minute=0)
    ledger = make_ledger((open_hour, "captured", "aggregated", 9))
    rows = coverage(hour_calendar(ledger, pl.DataFrame({"hora": [open_hour]}, schema={"hora": UTC_TIME}), NOW))
    assert rows.select("capturadas", "filas", "pendientes").rows() == [(0, 0, 105)]


def test_expected_hours_are_those_of_the_source_rules() -> None:
    first, last = Month(2016, 12), Month(2026, 9)
    now = datetime(2026, 9, 6, 5, 10, tzinfo=UTC)
    expected = [hour for month in month_range(first, last) for hour in closed_hours(month, now)]
    assert source_hours(first.start, last.start, now)["hora"].to_list() == expected


LOADS = {
    "hora": UTC_TIME, "mes": pl.Date(), "forma": TEXT, "n_filas": NUMBER, "n_observaciones": NUMBER, "origen": TEXT,
}  # fmt: skip
THRESHOLDS = {
    "umbral_evento": 100, "horas_cierre": 2, "horas_sin_datos_max": 6, "horas_interpoladas_max": 12,
    "cobertura_minima": 0.95,
}  # fmt: skip


def meta_of(events: pl.DataFrame, loads: pl.DataFrame, customers: pl.DataFrame) -> dict[str, Any]:
    figures = {"events": events, "loads": loads, "customers": customers, "origins": hours_by_origin(loads)}
    frames = SimpleNamespace(**figures, thresholds=THRESHOLDS, now=NOW)
    (row,) = as_json(meta(frames))  # type: ignore[arg-type]
    return row


def test_meta_says_from_what_it_was_made() -> None:
    start = Month(2024, 8).start
    loads = pl.DataFrame(
        [
            (start, AUGUST, "detailed", 5, 4, "SEC"),
            (start + timedelta(hours=1), AUGUST, "aggregated", 3, 3, "SEC"),
            (Month(2024, 9).start, SEPTEMBER, "aggregated", 2, 2, "SIMULACIÓN"),
        ],
        schema=LOADS,
        orient="row",
    )
    early = make_events((date(2023, 5, 1), "MAULE", "TALCA", "CGE", 40))
    row = meta_of(pl.concat([EVENTS, early]), loads, CUSTOMERS)
    assert row["fuera_de_ventana"] == {"eventos": 1, "clientes": 40}
    assert row["mezcla"] == {"detalladas": 1, "agregadas": 2}
    assert row["version_metodo"] == "2"
    assert row["origen"] == "mixto"
    assert row["origenes"] == [{"origen": "SEC", "horas": 2}, {"origen": "SIMULACIÓN", "horas": 1}]
    assert row["generado"] == "2024-10-05T12:30:00Z"
    assert (row["primera_hora"], row["ultima_hora"]) == ("2024-08-01T04:00:00Z", "2024-09-01T04:00:00Z")
    assert row["formas"] == [
        {"mes": "2024-08-01", "detalladas": 1, "agregadas": 1},
        {"mes": "2024-09-01", "detalladas": 0, "agregadas": 1},
    ]
    assert row["meses_con_empresa"] == ["2024-08-01"]
    assert row["umbrales"] == THRESHOLDS
    assert [tuple(figure.values()) for figure in row["denominadores"]] == [
        ("AYSEN", 5000, "2024-08-01", "052019", 64),
        ("MAULE", 3000, "2024-08-01", "052019", 64),
        ("CHILE", 8000, "2024-08-01", "052019", 64),
    ]
    assert row["totales"] == {
        "eventos": 7, "eventos_abiertos": 1, "clientes_afectados": 5807, "horas_cargadas": 3, "filas": 10,
        "observaciones": 9,
    }  # fmt: skip


def test_empty_silver_gives_empty_payloads_not_zeros() -> None:
    nothing = make_events()
    imputation = pl.DataFrame(schema={"mes": pl.Date, "regla": pl.String, "filas": pl.Int64, "total": pl.Int64})
    calendar = hour_calendar(make_ledger(), pl.DataFrame(schema={"hora": UTC_TIME}), NOW)
    sums = market_map(nothing, make_customers()), time_series(nothing, MONTHS), company_ranking(nothing)
    assert all(table.is_empty() for table in (*sums, eda_quality_stats(imputation, nothing), coverage(calendar)))
    row = meta_of(nothing, pl.DataFrame(schema=LOADS), make_customers())
    assert (row["ultima_hora"], row["denominadores"], row["totales"]["eventos"]) == (None, [], 0)


def test_the_country_takes_the_national_figure_where_there_is_one() -> None:
    customers = make_customers(
        (AUGUST, "07", "MAULE", 3000, None, "052019"),
        (AUGUST, "00", None, 9000, None, None),
        (SEPTEMBER, "07", "MAULE", 3100, None, "052019"),
    )
    found = denominators(customers).filter(pl.col("nombre_region") == "CHILE")
    assert found.select("mes", "universo").rows() == [(AUGUST, 9000), (SEPTEMBER, 3100)]


def test_a_month_without_all_regions_gives_no_sum_for_the_country() -> None:
    customers = make_customers(
        (AUGUST, "07", "MAULE", 3000, None, None),
        (AUGUST, "11", "AYSEN", 1000, None, None),
        (SEPTEMBER, "11", "AYSEN", 1000, None, None),
    )
    country = newest(customers).filter(pl.col("nombre_region") == "CHILE")
    assert country.select("universo", "mes").rows() == [(4000, AUGUST)]


def test_the_nearest_denominator_is_the_earlier_one_on_a_tie() -> None:
    customers = make_customers(
        (date(2024, 1, 1), "07", "MAULE", 100, None, None),
        (date(2024, 5, 1), "07", "MAULE", 500, None, None),
    )
    months = [date(2023, 12, 1), date(2024, 3, 1), date(2024, 4, 1), date(2025, 1, 1)]
    pairs = pl.DataFrame({"mes": [*months, months[0]], "nombre_region": ["MAULE"] * 4 + ["AYSEN"]})
    found = nearest(pairs, denominators(customers), "nombre_region").select("universo", "meses_denominador").rows()
    assert found == [(100, 1), (100, 2), (500, 1), (500, 8), (None, None)]


def test_a_payload_that_is_not_what_it_says_is_refused() -> None:
    with pytest.raises(ValidationError, match="percentage"):
        QualityRow(category="x", count=1, percentage=1.5)
    with pytest.raises(ValidationError, match="finite"):
        QualityRow(category="x", count=1, percentage=float("nan"))
    with pytest.raises(ValidationError, match="extra"):
        QualityRow.model_validate({"category": "x", "count": 1, "percentage": 0.5, "other": 1})


def test_the_bytes_of_a_payload_are_a_json_list_in_any_case() -> None:
    rows, again = (rows_of(TimeSeriesRow, time_series(events, MONTHS)) for events in (EVENTS, EVENTS.reverse()))
    assert orjson.loads(dump(as_json(rows))) == as_json(rows)
    assert dump(as_json(rows)) == dump(as_json(again))
    assert orjson.loads(dump([])) == []


UNKNOWN = (None, None, "sec")
SEC = ("apps.sec.cl", None, "sec")
IMPORT = (None, "outages.json", "legacy")
SIMULATED = ("127.0.0.1", "simulator", "sec")


@pytest.mark.parametrize(
    ("captures", "word", "foreign"),
    [
        ([SEC, IMPORT], "SEC", {}),
        ([UNKNOWN], "desconocido", {}),
        ([SEC, UNKNOWN], "desconocido", {}),
        ([], "desconocido", {}),
        ([SIMULATED, SIMULATED], "SIMULACIÓN", {"SIMULACIÓN": 2}),
        ([("10.0.0.7", "replay", "sec")], "REPETICIÓN", {"REPETICIÓN": 1}),
        # What calls itself a simulator is none of the SEC's, whatever its host.
        ([("apps.sec.cl", "simulator", "sec")], "SIMULACIÓN", {"SIMULACIÓN": 1}),
        ([("mirror.example.org", None, "sec")], "mirror.example.org", {"mirror.example.org": 1}),
        ([SEC, SIMULATED], "mixto", {"SIMULACIÓN": 1}),
        ([UNKNOWN, SIMULATED], "mixto", {"SIMULACIÓN": 1}),
    ],
)
def test_a_word_for_where_hours_come_from(
    captures: list[tuple[str | None, ...]], word: str, foreign: dict[str, int]
) -> None:
    columns = dict.fromkeys(("anfitrion", "fuente", "origen_cuerpo"), pl.String())
    found = hours_by_origin(pl.DataFrame(captures, schema=columns, orient="row").with_columns(origen=ORIGIN))
    assert (
        hours_by_origin(found, pl.DataFrame({"origen": ["desconocido"]}))["origen"].to_list()
        == found["origen"].to_list()
    )
    assert one_word(found) == word
    assert {each["origen"]: each["horas"] for each in others(found.to_dicts())} == foreign


def test_customers_of_another_host_make_figures_not_the_secs() -> None:
    found = hours_by_origin(pl.DataFrame({"origen": ["SEC"] * 3}), pl.DataFrame({"origen": ["SIMULACIÓN", "SEC"]}))
    assert one_word(found) == "mixto"
    assert in_words(others(found.to_dicts())) == "customers of regions SIMULACIÓN"
