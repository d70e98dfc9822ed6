"""Gold from a small Silver in a real PostgreSQL: files, payloads, the table, and nothing written twice."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from support import gold_world
from support.fixtures import StandingClock, change, contents, on_disk
from support.silver_world import rows_of

from sec_core.blobs.local import LocalBlobs
from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.errors import DatabaseUnavailable
from sec_core.gold import parquet
from sec_core.gold.build import build_gold
from sec_core.gold.frames import read_names, snapshot
from sec_core.gold.month_files import month_key, read_events
from sec_core.gold.standing import EVENTS_FILE
from sec_core.hours import Month
from sec_core.silver.tables import Archive, SilverTables

NOW = datetime(2024, 9, 3, 12, 30, tzinfo=UTC)
AUGUST = Month(2024, 8)
TALCA = 7101


FixedClock = partial(StandingClock, NOW)


@pytest.fixture
def silver(database: Database) -> Database:
    """Two hours of August in Silver: see the script."""
    script = Path(gold_world.__file__).with_name("small_silver.sql").read_text(encoding="utf-8")
    change(database, *script.rstrip(";\n").split(";\n"))
    return database


def test_gold_of_a_small_silver(silver: Database, make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    report = build_gold(silver, settings, FixedClock())
    assert report.events == 3
    assert report.months_written == (AUGUST,)

    events = pl.read_parquet(on_disk(settings.gold) / EVENTS_FILE)
    assert events["hash_id"].to_list() == [f"00000000-0000-0000-0000-0000000000{end}" for end in ("bb", "aa", "cc")]
    assert events.select("nombre_region", "nombre_comuna", "nombre_empresa", "codigo_comuna").rows() == [
        ("UNKNOWN", "UNKNOWN", "UNKNOWN", ""),
        ("MAULE", "TALCA", "CGE", "07101"),
        ("AYSEN", "COIHAIQUE", "NO INFORMADA", "11101"),
    ]
    assert events["inicio"].dtype == pl.Datetime("us", "UTC")

    found = pl.read_parquet(on_disk(settings.gold) / "observaciones", hive_partitioning=True)
    assert found.select("anho", "mes", "forma", "nombre_comuna", "clientes_afectados", "n_filas").rows() == [
        (2024, 8, "detailed", "UNKNOWN", 7, 1),
        (2024, 8, "detailed", "TALCA", 600, 2),
        (2024, 8, "aggregated", "TALCA", 400, 1),
        (2024, 8, "aggregated", "COIHAIQUE", 500, 2),
    ]

    payloads = {
        path.stem: json.loads(path.read_bytes()) for path in (on_disk(settings.gold) / "dashboard_stats").iterdir()
    }
    assert {(row["nombre_comuna"], row["instability_index"]) for row in payloads["market_map"]} == {
        ("TALCA", 20.0),
        ("COIHAIQUE", 100.0),
        ("UNKNOWN", None),
    }
    assert [row["count"] for row in payloads["eda_quality_stats"]] == [0, 1, 1, 0, 1]
    assert payloads["company_ranking"] == [
        {"nombre_empresa": "CGE", "total_eventos": 1, "total_clientes_afectados": 600, "promedio_afectados": 600.0}
    ]
    (august,) = payloads["coverage"]
    assert (august["capturadas"], august["vacias"], august["pendientes"]) == (2, 1, 741)
    chile = next(row for row in payloads["reliability"] if row["nombre_region"] == "CHILE")
    assert (chile["clientes"], chile["saifi_eventos"]) == (3500, round(1107 / 3500, 8))
    assert (chile["punta"], chile["metodo"], chile["saidi"]) == (round(900 / 3500, 8), "insuficiente", None)
    assert chile["saidi_observado"] == round(1507 / 3500, 8)
    hours = pl.read_parquet(on_disk(settings.gold) / "horas.parquet")
    assert (hours.height, hours["cargada"].sum()) == (744, 2)

    assert dict(rows_of(silver, "SELECT id, data FROM dashboard_stats")) == payloads
    assert report.payloads.keys() == payloads.keys()


def test_customers_of_comunas_are_kept_and_indices_divide_by_them(
    silver: Database, make_settings: Callable[..., Settings]
) -> None:
    settings = make_settings()
    change(
        silver,
        "INSERT INTO facturacion_comunal SELECT '2024-12-01', codigo_comuna, 100, 'cne.csv', now()"
        " FROM dim_geografia WHERE codigo_region = '07'",
    )
    build_gold(silver, settings, FixedClock())
    query = "SELECT codigo_comuna, clientes, metodo, fuente, xmin::text FROM clientes_comunales ORDER BY 1"
    kept = rows_of(silver, query)
    maule = {row[1:4] for row in kept if row[0].startswith("07")}
    assert maule == {(100, "facturacion", "CNE, facturación de clientes regulados, 2024-12 (cne.csv)")}
    assert sum(row[1] for row in kept if row[0].startswith("11")) == 500
    comunal = pl.read_parquet(on_disk(settings.gold) / "indices_comunales.parquet")
    assert comunal.filter(codigo_comuna="07101")["clientes"].to_list() == [100]
    comunas = pl.read_parquet(on_disk(settings.gold) / "comunas.parquet")
    assert comunas.filter(codigo_comuna="05602")["clientes"].to_list() == [None]
    build_gold(silver, settings, FixedClock())
    assert rows_of(silver, query) == kept, "rows that stay are not written"
    change(silver, "UPDATE clientes_regionales SET clientes = 510 WHERE codigo_region = '11'")
    build_gold(silver, settings, FixedClock())
    assert sum(row[1] for row in rows_of(silver, query) if row[0].startswith("11")) == 510


@pytest.mark.usefixtures("site_drawn")
def test_the_same_silver_gives_the_same_bytes(silver: Database, make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    build_gold(silver, settings, FixedClock())
    before = contents(on_disk(settings.gold))
    again = build_gold(silver, settings, StandingClock(NOW + timedelta(minutes=20)))
    after = contents(on_disk(settings.gold))
    assert again.months_written == ()
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"dashboard_stats/meta.json"}
    moved = f"SELECT id FROM dashboard_stats WHERE updated_at > '{NOW + timedelta(minutes=1)}'"
    assert rows_of(silver, moved) == [("meta",)]


def test_a_month_loaded_again_is_written_again(silver: Database, make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    build_gold(silver, settings, FixedClock())
    key = month_key(AUGUST)
    digest = parquet.metadata(LocalBlobs(on_disk(settings.gold)), key)["digest"]
    change(
        silver,
        "UPDATE fact_observaciones SET clientes_afectados = 8 WHERE id_geografia = 0",
        "UPDATE cargas SET clientes = clientes",
    )
    assert build_gold(silver, settings, FixedClock()).months_written == (AUGUST,)
    assert parquet.metadata(LocalBlobs(on_disk(settings.gold)), key)["digest"] != digest
    assert 8 in pl.read_parquet(on_disk(settings.gold) / key)["clientes_afectados"]


def test_what_is_kept_gives_the_bytes_of_a_build_from_nothing(
    silver: Database, make_settings: Callable[..., Settings]
) -> None:
    """Four months, of which one changes: only it and its neighbours are computed, and nothing tells that."""
    settings = make_settings()
    later = [AUGUST.shift(n) for n in (-2, -1, -4)]
    for month in later:
        load_hours(silver, month, [0, 6, 7, 400])
    build_gold(silver, settings, FixedClock())
    within = f"WHERE hora >= '{later[0].start}' AND hora < '{later[0].end}'"
    change(
        silver,
        f"UPDATE fact_observaciones SET clientes_afectados = 77 {within}",
        f"UPDATE cargas SET clientes = clientes {within}",
    )
    again = build_gold(silver, settings, FixedClock())
    assert again.months_written == (later[0],)
    assert again.months_computed == (later[2], later[0], later[1])
    kept = contents(on_disk(settings.gold))
    shutil.rmtree(on_disk(settings.gold))
    from_nothing = build_gold(silver, settings, FixedClock())
    assert from_nothing.months_computed == (later[2], later[0], later[1], AUGUST)
    assert contents(on_disk(settings.gold)) == kept


def test_only_events_of_changed_months_are_read_again(silver: Database, make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    change(
        silver,
        "SELECT asegurar_tiempo('2024-07-01')",
        "INSERT INTO fact_interrupciones (hash_id, forma, id_geografia, id_empresa, id_tiempo, inicio,"
        " clientes_afectados, clientes_afectados_crudo, hora_maximo, cliente_horas, n_observaciones, topado,"
        " primera_hora, ultima_hora) SELECT gen_random_uuid(), 'aggregated', 11101, 1, id_tiempo, inicio, 9, 9, inicio,"
        f" 9, 1, false, inicio, inicio FROM dim_tiempo WHERE inicio = '{Month(2024, 7).hours()[5]}'",
    )
    gold = LocalBlobs(on_disk(settings.gold))

    def changed_months() -> tuple[str, ...]:
        with snapshot(silver) as connection:
            return read_events(connection, read_names(connection), gold).changed

    assert changed_months() == ("202407", "202408")
    build_gold(silver, settings, FixedClock())
    assert changed_months() == ()
    change(silver, "UPDATE fact_interrupciones SET clientes_afectados = 8 WHERE id_tiempo < 2024080000")
    assert changed_months() == ("202407",)
    build_gold(silver, settings, FixedClock())
    kept = contents(on_disk(settings.gold))
    assert pl.read_parquet(on_disk(settings.gold) / EVENTS_FILE)["clientes_afectados"].to_list() == [8, 7, 600, 500]
    shutil.rmtree(on_disk(settings.gold))
    build_gold(silver, settings, FixedClock())
    assert contents(on_disk(settings.gold)) == kept
    change(silver, "DELETE FROM fact_interrupciones WHERE id_tiempo < 2024080000")
    build_gold(silver, settings, FixedClock())
    assert pl.read_parquet(on_disk(settings.gold) / EVENTS_FILE)["clientes_afectados"].to_list() == [7, 600, 500]
    (on_disk(settings.gold) / EVENTS_FILE).write_bytes(b"damaged")
    assert changed_months() == ("202408",)


def load_hours(database: Database, month: Month, numbers: list[int]) -> None:
    """Aggregated hours of a month with one comuna out."""
    hours = month.hours()
    listed = ", ".join(f"(timestamptz '{hours[number]}', {100 + number})" for number in numbers)
    change(
        database,
        f"SELECT asegurar_tiempo('{month.first_day}'), asegurar_particion('{month.first_day}')",
        f"CREATE TEMPORARY TABLE nuevas ON COMMIT DROP AS SELECT * FROM (VALUES {listed}) AS v (h, c)",
        "INSERT INTO capturas (hora, estado, forma, n_filas) SELECT h, 'captured', 'aggregated', 1 FROM nuevas",
        "INSERT INTO cargas (hora, forma, capturado_en, sha256, n_filas, n_observaciones, clientes)"
        " SELECT h, 'aggregated', h, 'x', 1, 1, c FROM nuevas",
        f"INSERT INTO fact_observaciones SELECT h, {TALCA}, 1, NULL, c, 1, 0 FROM nuevas",
    )


def test_an_archived_month_gives_the_same_gold(silver: Database, make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    build_gold(silver, settings, FixedClock())
    before = contents(on_disk(settings.gold))
    with silver.adbc() as connection:
        SilverTables(connection, Archive(settings.archive)).archive_month(AUGUST)
    shutil.rmtree(on_disk(settings.gold))
    build_gold(silver, settings, FixedClock())
    assert contents(on_disk(settings.gold)) == before


def test_a_month_that_is_moved_meanwhile_is_not_written_short(
    silver: Database, make_settings: Callable[..., Settings]
) -> None:
    change(silver, "DELETE FROM fact_observaciones WHERE id_geografia = 0")
    settings = make_settings()
    with pytest.raises(DatabaseUnavailable, match="2024-08 were moved"):
        build_gold(silver, settings, FixedClock())
    assert contents(on_disk(settings.data)) == {}


def test_an_empty_silver_gives_an_empty_gold(database: Database, make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    report = build_gold(database, settings, FixedClock())
    assert (report.events, report.months_written) == (0, ())
    assert pl.read_parquet(on_disk(settings.gold) / EVENTS_FILE).columns == [column.name for column in parquet.EVENTS]
    rows = dict(report.payloads)
    assert rows.pop("meta") == 1
    validation = json.loads((on_disk(settings.gold) / "dashboard_stats" / "investment_validation.json").read_bytes())
    assert {row["type"] for row in validation} == {"Datos insuficientes"}
    assert rows.pop("investment_validation") == len(validation)
    assert rows.pop("official_comparison") == 27
    assert set(rows.values()) == {0}
