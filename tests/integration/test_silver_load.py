"""Loading into a real database: the figures of the real captures, revisions, caps, names, other rules, bad input."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.fuzz_bodies import DETAILED
from support.reference_rules import Hour, Listed, utc
from support.silver_world import MONTHS, NUNOA, Silver, aggregated, body_of, world

from sec_core.bronze.ledger_rules import Capture
from sec_core.errors import DatabaseUnavailable
from sec_core.hours import HOUR, Month
from sec_core.reference import tables
from sec_core.reference.tables import Names, default_names
from sec_core.silver.load import LoadReport
from sec_core.silver.reports import month_figures, unresolved_names
from sec_core.silver.universe import store_universe
from sec_core.source.answers import RegionCustomers
from sec_core.source.shapes import Shape, classify


@pytest.fixture
def real(silver: Silver, captures_dir: Path) -> Silver:
    """With all real captures but the three revisions of one hour, in the order of their names."""
    silver.bronze.put_file(captures_dir / "por_fecha" / "detailed" / "2025-01-29T12.json")
    for path in sorted((captures_dir / "por_fecha" / "aggregated").glob("*.json")):
        silver.bronze.put_file(path)
    return silver


def test_figures_of_the_real_captures(real: Silver) -> None:
    months = [Month.parse(month) for month in ("2026-08", "2025-01", "2024-08")]
    real.load(*months)
    winter, summer, storm = (month_figures(real.database, month) for month in months)
    assert (winter.hours, winter.rows, winter.customers) == (56, 12_111, 1_348_157)
    assert winter.imputed == {"clientes": 0, "geografia": 0, "empresa": 0, "fecha": 0, "tope": 0}
    assert (summer.rows, summer.observations, summer.events, summer.customers) == (604, 267, 267, 21_759)
    assert (storm.hours, storm.rows, storm.customers, storm.imputed["geografia"]) == (1, 299, 1_176_268, 1)
    assert real.rows("select distinct nombre_region, nombre from nombres_no_resueltos") == [("", "")]
    assert real.rows(
        """
        select sum(clientes_afectados)::int from fact_observaciones join dim_geografia using (id_geografia)
        where nombre_region = 'METROPOLITANA' and hora < '2024-09-01'
        """,
    ) == [(716_423,)]
    assert real.rows("select regla, filas, total from calidad_imputacion where mes = '2024-08-01' order by 1") == [
        ("clientes", 0, 299),
        ("empresa", 0, 299),
        ("fecha", 0, 299),
        ("geografia", 1, 299),
        ("tope", 0, 244),
    ]
    # Years-old outages are listed too, with the calendar's row that their beginning needs.
    assert real.rows("select count(*) from fact_interrupciones where inicio < '2024-08-01'") == [(2,)]
    before = real.export()
    for month, found in zip(months, (winter, summer, storm), strict=True):
        assert real.load(month) == [LoadReport(month)]
        assert real.load(month, force=True) == [LoadReport(month, found.hours)]
        assert month_figures(real.database, month) == found
    assert real.export() == before


def test_events_follow_the_newest_revision(silver: Silver, captures_dir: Path) -> None:
    month = Month.parse("2025-02")
    sums = []
    for path in sorted((captures_dir / "por_fecha" / "detailed").glob("2025-02-26T23*.json")):
        silver.bronze.put_file(path)
        silver.load(month)
        report = month_figures(silver.database, month)
        total = silver.rows("select sum(clientes_afectados_crudo)::int, count(*) from fact_interrupciones")
        assert total == [(report.customers, report.events)]
        sums.append((report.customers, report.rows))
    assert sums == [(5_348, 837), (5_516, 834), (5_482, 831)]


def test_an_hour_that_loses_its_value_leaves_silver(silver: Silver) -> None:
    bronze = silver.bronze = world()
    lost = utc(2025, 6, 15, 16)
    detailed = bronze.held.pop(lost)
    silver.load()
    without = silver.export()
    bronze.held[lost] = detailed
    silver.load()
    assert silver.export() != without
    del bronze.held[lost]
    (report,) = silver.load(Month(2025, 6))
    assert report.hours_removed == 1
    assert silver.export() == without


def test_an_hour_asked_again_counts_once_its_day_is_no_longer_detailed(silver: Silver) -> None:
    bronze = silver.bronze
    listed = [utc(2025, 6, 14, at) for at in (18, 19, 20)]
    for hour in listed:
        bronze.put(hour, Shape.AGGREGATED, aggregated(400))
    bronze.put(utc(2025, 6, 14, 21), Shape.AGGREGATED, b"[]")
    start = date(2025, 6, 14)
    bronze.put(utc(2025, 6, 14, 17), Shape.DETAILED, body_of(Hour("detailed", [Listed(NUNOA, 15, start, 300)])))
    silver.load(Month(2025, 6))
    assert silver.rows("select forma from fact_interrupciones") == [("detailed",)]
    # In one load the detailed hour becomes an aggregated one and an hour comes again that lists the same as before.
    bronze.put(utc(2025, 6, 14, 17), Shape.AGGREGATED, b"[]")
    for hour in listed:
        bronze.put(hour, Shape.AGGREGATED, aggregated(400))
    silver.load(Month(2025, 6))
    loaded = silver.export()
    assert silver.rows("select forma, n_observaciones from fact_interrupciones") == [("aggregated", 3)]
    silver.clear()
    silver.load(Month(2025, 6))
    assert silver.export() == loaded


def test_one_hour_at_a_time_equals_a_month_at_once(silver: Silver) -> None:
    bronze = silver.bronze = world()
    silver.load()
    at_once = silver.export()
    silver.clear()
    hours = [hour for hour in sorted(bronze.held) if hour.day in {30, 31, 1, 2} or hour.hour == 12]
    for hour in hours[::7]:
        silver.load_hours([hour])
    silver.load_hours(bronze.held)
    assert silver.export() == at_once


def test_other_rules_derive_all_aggregated_events_again(silver: Silver) -> None:
    silver.bronze = world()
    strict = silver.make_settings(event_threshold=10, event_close_hours=1, event_max_gap_hours=0)
    silver.load(by=strict)
    expected = silver.export()
    silver.clear()
    silver.load()
    assert silver.export()["fact_interrupciones"] != expected["fact_interrupciones"]
    # One month is loaded with the new rules; nothing in Bronze has changed.
    silver.load(Month(2025, 7), by=strict)
    assert silver.export() == expected


def regions(factor: int = 1) -> list[RegionCustomers]:
    return [
        RegionCustomers(str(int(region.codigo)), f"Region de {region.nombre_oficial}", "052019", 100 * factor)
        for region in tables.regiones()
    ]


def test_the_universe_caps_events_and_its_history_is_kept(silver: Silver) -> None:
    silver.bronze = world()
    silver.load()
    report = store_universe(silver.database, regions(2), 6_400, utc(2025, 6, 20))
    assert (report.regions, report.customers, report.national) == (16, 3_200, 6_400)
    assert report.events_changed > 0
    assert silver.rows(
        """
        select clientes, clientes_estimados, periodo_star from clientes_regionales
        where codigo_region in ('00', '13') order by clientes
        """,
    ) == [(200, 400, "052019"), (6_400, 6_400, None)]
    capped = silver.rows(
        """
        select forma, clientes_afectados, clientes_afectados_crudo, topado, meses_denominador, imputaciones
        from fact_interrupciones order by inicio, id_empresa
        """,
    )
    assert {row[0] for row in capped} == {"aggregated", "detailed"}
    for _, affected, reported, is_capped, months, _ in capped:
        assert affected == min(reported, 200)
        assert is_capped == (reported > 200)
        assert months in {-1, 0, 1}
    # A later figure for July re-caps what is nearest to it, and the order of storing does not matter.
    store_universe(silver.database, regions(5), None, utc(2025, 7, 20))
    loaded_first = silver.export()
    assert store_universe(silver.database, regions(5), None, utc(2025, 7, 20)).events_changed == 0
    silver.clear()
    store_universe(silver.database, regions(5), None, utc(2025, 7, 20))
    store_universe(silver.database, regions(2), 6_400, utc(2025, 6, 20))
    store_universe(silver.database, regions(1), None, utc(2025, 6, 19))
    silver.load(*MONTHS[::-1])
    assert silver.export() == loaded_first


def test_an_alias_and_a_reprocess_mend_history(silver: Silver) -> None:
    bronze = silver.bronze
    hour = utc(2025, 6, 10, 12)
    body = [{"NOMBRE_REGION": "Metropolitana", "NOMBRE_COMUNA": "Nunioa", "CLIENTES_AFECTADOS": 300}]
    for step in range(3):
        bronze.put(hour + step * HOUR, Shape.AGGREGATED, orjson.dumps(body))
    silver.load(Month(2025, 6))
    (found,) = unresolved_names(silver.database)
    assert (found.kind, found.name, found.rows, found.hours) == ("comuna", "Nunioa", 3, 3)
    assert (found.suggestion, found.example) == ("NUNOA", hour)
    names = Names(tables.comunas(), tables.regiones(), tables.empresas(), {"Nunioa": str(NUNOA)})
    assert silver.rows("select id_geografia from fact_interrupciones") == [(0,)]
    silver.load(names=names, force=True)
    assert silver.rows("select id_geografia from fact_interrupciones") == [(NUNOA,)]
    assert unresolved_names(silver.database) == []
    assert default_names().id_geografia("", "Nunioa") == 0


def test_a_blank_name_has_no_suggestion(silver: Silver) -> None:
    bronze = silver.bronze
    rows = [{"NOMBRE_REGION": "", "NOMBRE_COMUNA": "", "CLIENTES_AFECTADOS": 1}]
    bronze.put(utc(2025, 6, 10, 12), Shape.AGGREGATED, orjson.dumps(rows))
    silver.load(Month(2025, 6))
    (found,) = unresolved_names(silver.database)
    assert (found.suggestion, found.similarity) == (None, 0.0)


def test_bad_input_of_each_kind_is_imputed_and_counted(silver: Silver) -> None:
    bronze = silver.bronze
    place = {"NOMBRE_REGION": "Metropolitana", "NOMBRE_COMUNA": "Ñuñoa", "NOMBRE_EMPRESA": "ENEL"}
    date_of = {"DIA_INT": 9, "MES_INT": 6, "FECHA_INT_STR": "9/6/2025"}
    good = DETAILED | place | date_of | {"CLIENTES_AFECTADOS": 5}
    bad: list[dict[str, Any]] = [
        {"CLIENTES_AFECTADOS": 2**40},
        {"CLIENTES_AFECTADOS": 2**70},
        {"CLIENTES_AFECTADOS": "many"},
        {"CLIENTES_AFECTADOS": -1},
        {"CLIENTES_AFECTADOS": 5.5},
        {"CLIENTES_AFECTADOS": "NaN"},
        {"CLIENTES_AFECTADOS": ""},
        {"CLIENTES_AFECTADOS": None},
        {"CLIENTES_AFECTADOS": True},
        {"ANHO_INT": 0, "FECHA_INT_STR": "9/6/0000"},
        {"ANHO_INT": 9999},
        {"ANHO_INT": 1},
        {"DIA_INT": 31, "MES_INT": 2, "FECHA_INT_STR": "31/2/2025"},
        {"DIA_INT": 2**40, "FECHA_INT_STR": None},
        {"DIA_INT": "x", "FECHA_INT_STR": "x" * 10_000},
        {"NOMBRE_COMUNA": "", "NOMBRE_REGION": "", "NOMBRE_EMPRESA": " "},
        {"NOMBRE_COMUNA": None, "NOMBRE_REGION": None, "NOMBRE_EMPRESA": None},
        {"NOMBRE_REGION": "y" * 10_000},
        {"NOMBRE_EMPRESA": "z" * 10_000},
        {"NOMBRE_COMUNA": "a\x00b"},
        {"NOMBRE_COMUNA": "x" * 10_000},
        {"NOMBRE_COMUNA": "'); drop table fact_interrupciones; --"},
        {"NOMBRE_EMPRESA": "\x00"},
    ]
    body = json.dumps([good, *(good | change for change in bad)]).encode()
    hour = utc(2025, 6, 10, 12)
    bronze.put(hour, Shape.DETAILED, body)
    silver.load(Month(2025, 6))
    report = month_figures(silver.database, Month(2025, 6))
    assert report.rows == len(bad) + 1
    assert report.imputed == {"clientes": 8, "geografia": 5, "empresa": 4, "fecha": 5, "tope": 0}
    assert report.customers == 5 * (len(bad) + 1 - 9) + 2**40
    # What was captured and what was loaded are counted by code that shares nothing.
    verdict = classify(bronze.bodies[bronze.held[hour].key])
    assert (verdict.rows, verdict.customers) == (report.rows, report.customers)
    assert silver.rows(
        "select sum(n_filas)::int, sum(clientes_afectados)::bigint, max(hora) from fact_observaciones"
    ) == [(report.rows, report.customers, hour)]
    assert silver.rows("select distinct total from calidad_imputacion where regla <> 'tope'") == [(report.rows,)]
    assert silver.rows("select min(id_tiempo), count(*) from fact_interrupciones") == [(1060900, report.events)]


def test_a_value_that_changes_while_bodies_are_read_is_not_overwritten(silver: Silver) -> None:
    bronze = silver.bronze = world()
    silver.load()
    hour = utc(2025, 6, 20, 12)
    stale = bronze.put(hour, Shape.AGGREGATED, aggregated(1_000))

    def read(capture: Capture) -> bytes:
        if capture == stale:  # another worker captures and loads a newer revision just now
            bronze.put(hour, Shape.AGGREGATED, aggregated(2_000))
            silver.load(Month(2025, 6))
        return bronze.read(capture)

    silver.load(Month(2025, 6), read=read)
    where = f"hora = '{hour.isoformat()}'"
    assert silver.rows(f"select clientes_afectados from fact_observaciones where {where}") == [(2_000,)]
    assert silver.rows(f"select sha256 from cargas where {where}") == [(bronze.held[hour].sha256,)]


def test_what_is_missing_after_the_newest_hour_closes_nothing(silver: Silver) -> None:
    bronze = silver.bronze
    start = utc(2025, 6, 30, 20)
    bronze.put(start, Shape.AGGREGATED, aggregated(400))
    silver.load()
    ends = "select fin from fact_interrupciones order by inicio"
    assert silver.rows(ends) == [(None,)]
    # Seven hours without data, over the month's end, then a captured hour: the event ended at its last hit.
    bronze.put(start + timedelta(hours=8), Shape.AGGREGATED, b"[]")
    silver.load()
    assert silver.rows(ends) == [(start + HOUR,)]
    # An hour in between that comes later bridges the gap: open again.
    bronze.put(start + timedelta(hours=4), Shape.AGGREGATED, aggregated(400))
    silver.load()
    assert silver.rows(ends) == [(None,)]
    # A detailed hour far away in the future is the newest hour of the history: closed.
    later = Hour("detailed", [Listed(NUNOA, 15, date(2025, 7, 20), 3)])
    bronze.put(utc(2025, 7, 20, 12), Shape.DETAILED, body_of(later))
    silver.load()
    assert silver.rows(ends) == [(start + timedelta(hours=5),), (None,)]


def test_a_chain_over_months_keeps_events_of_the_months_between_whole(silver: Silver) -> None:
    """April reaches March's second event alone, and that one reaches the first, which began in February."""
    bronze = silver.bronze
    first, second = (utc(2024, 2, 29, 17), utc(2024, 3, 2, 16)), (utc(2024, 3, 14, 7), utc(2024, 3, 19, 22))
    last = (utc(2024, 4, 21, 11), utc(2024, 5, 7, 11))
    for hour in (*first, *second, *last):
        bronze.put(hour, Shape.AGGREGATED, aggregated(400))
    for hour in (utc(2024, 3, 5, 18), utc(2024, 3, 25, 9)):
        bronze.put(hour, Shape.AGGREGATED, b"[]")
    silver.load(by=silver.make_settings(event_close_hours=1, event_max_gap_hours=800))
    spans = "select primera_hora, ultima_hora from fact_interrupciones order by 1"
    assert silver.rows(spans) == [first, second, last]


def test_reports_of_single_hours_come_by_month(silver: Silver) -> None:
    silver.bronze = world()
    asked = [utc(2025, 5, 31, 12), utc(2025, 6, 2, 12)]
    reports = silver.load_hours(asked)
    assert [(each.month, each.hours_loaded) for each in reports] == [(Month(2025, 5), 1), (Month(2025, 6), 1)]
    assert [month_figures(silver.database, each.month).hours for each in reports] == [1, 1]


def test_a_lost_connection_is_named_and_changes_nothing(silver: Silver) -> None:
    bronze = silver.bronze = world()
    silver.load(Month(2025, 5))
    before = silver.export()

    def read(capture: Capture) -> bytes:
        with silver.database.engine.begin() as connection:
            connection.exec_driver_sql(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
        return bronze.read(capture)

    with pytest.raises(DatabaseUnavailable):
        silver.load(Month(2025, 6), read=read)
    assert silver.export() == before


def test_every_event_has_its_place_company_and_hour(real: Silver) -> None:
    real.load(*map(Month.parse, ("2025-01", "2024-08", "2026-08", "2026-09")))
    events = real.rows("select count(*) from fact_interrupciones")[0][0]
    joined = """
        select count(*) from fact_interrupciones e
        join dim_geografia using (id_geografia) join dim_empresa using (id_empresa)
        join dim_tiempo t on t.id_tiempo = e.id_tiempo and t.inicio = e.inicio
    """
    assert real.rows(joined) == [(events,)]
