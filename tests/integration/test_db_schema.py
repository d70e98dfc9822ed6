"""The schema: made once whoever comes first, explained to the last column, its calendar and partitions right."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import pytest
import sqlalchemy
from alembic.config import Config
from alembic.script import ScriptDirectory

from scripts import dictionary
from sec_core.db import schema
from sec_core.db.database import Database
from sec_core.db.schema import migrate, seed_dimensions
from sec_core.errors import DatabaseError
from sec_core.hours import Month, id_tiempo
from sec_core.reference import tables


def test_dimensions_equal_the_reference_files(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(sqlalchemy.text("update dim_geografia set nombre_comuna = 'X' where id_geografia = 13120"))
        connection.execute(sqlalchemy.text("delete from dim_geografia where id_geografia = 1101"))
    seed_dimensions(database.engine)
    with database.engine.connect() as connection:
        places = {
            tuple(row)
            for row in connection.exec_driver_sql(
                "select id_geografia, nombre_comuna, nombre_region from dim_geografia"
            )
        }
        companies = {tuple(row) for row in connection.exec_driver_sql("select * from dim_empresa")}
    assert len(places) == 347
    assert {(0, "UNKNOWN", "UNKNOWN"), (13120, "NUNOA", "METROPOLITANA"), (1101, "IQUIQUE", "TARAPACA")} <= places
    assert companies == {(each.id_empresa, each.nombre) for each in tables.empresas()}
    assert {(0, "UNKNOWN"), (1, "NO INFORMADA")} <= companies


def test_seeding_again_writes_nothing(database: Database) -> None:
    query = "select max(xmin::text::bigint) from dim_geografia"
    with database.engine.connect() as connection:
        before = connection.exec_driver_sql(query).scalar_one()
    seed_dimensions(database.engine)
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql(query).scalar_one() == before


def test_several_processes_may_migrate_an_empty_database_at_once(empty_database: Database) -> None:
    gate = threading.Barrier(4)

    def open_one() -> str | None:
        own = Database(empty_database.url)
        gate.wait()
        migrate(own.engine)
        seed_dimensions(own.engine)
        with own.engine.connect() as connection:
            version = schema.current_version(connection)
        own.close()
        return version

    with ThreadPoolExecutor(4) as pool:
        versions = [future.result() for future in [pool.submit(open_one) for _ in range(4)]]
    assert versions == [schema.HEAD] * 4


def test_the_known_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS_DIR))
    config.set_main_option("path_separator", "newline")
    assert ScriptDirectory.from_config(config).get_current_head() == schema.HEAD


def test_a_schema_of_a_newer_program_is_refused(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("update alembic_version set version_num = '9999'")
    with pytest.raises(DatabaseError, match="unknown to this version"):
        migrate(database.engine)


def test_every_table_column_view_and_function_is_explained(database: Database) -> None:
    assert dictionary.missing_comments(database) == []


def test_the_dictionary_page_is_current(database: Database) -> None:
    shown = dictionary.PAGE.read_text(encoding="utf-8")
    assert shown == dictionary.render(database), "Run `python -m scripts.dictionary` and commit the page."


@pytest.mark.parametrize("month", ["2023-04", "2023-09", "2022-09", "2024-02", "2025-12", "2017-05", "2019-04"])
def test_the_calendar_has_the_hours_of_the_source(database: Database, month: str) -> None:
    expected = Month.parse(month)
    with database.engine.begin() as connection:
        for _ in range(2):
            connection.execute(sqlalchemy.text("select asegurar_tiempo(:day)"), {"day": expected.days()[-1]})
        found = connection.exec_driver_sql(
            "select id_tiempo, inicio, fecha, anho, mes, dia, hora from dim_tiempo order by inicio"
        ).all()
    assert [(row.id_tiempo, row.inicio) for row in found] == [(id_tiempo(hour), hour) for hour in expected.hours()]
    assert all(
        row.id_tiempo == ((row.anho * 100 + row.mes) * 100 + row.dia) * 100 + row.hora
        and row.fecha == date(row.anho, row.mes, row.dia)
        for row in found
    )


def test_a_partition_holds_exactly_the_hours_of_its_chilean_month(database: Database) -> None:
    month = Month.parse("2024-09")
    insert = sqlalchemy.text("insert into fact_observaciones values (:hour, 1101, 1, null, 5, 1, 0)")
    with database.engine.begin() as connection:
        for each in (month, month.shift(-1), month):
            connection.execute(sqlalchemy.text("select asegurar_particion(:day)"), {"day": each.days()[4]})
        for hour in (month.hours()[0], month.hours()[-1], month.shift(-1).hours()[-1]):
            connection.execute(insert, {"hour": hour})
        counts = connection.exec_driver_sql(
            "select tableoid::regclass::text, count(*) from fact_observaciones group by 1 order by 1"
        ).all()
    assert [tuple(row) for row in counts] == [("fact_observaciones_202408", 1), ("fact_observaciones_202409", 2)]
    with pytest.raises(sqlalchemy.exc.IntegrityError, match="no partition"), database.engine.begin() as connection:
        connection.execute(insert, {"hour": month.shift(1).hours()[0]})


def test_an_observation_without_start_date_exists_once(database: Database) -> None:
    insert = sqlalchemy.text("insert into fact_observaciones values (:hour, 1101, 1, null, 5, 1, 0)")
    hour = {"hour": datetime(2024, 8, 3, 4, tzinfo=UTC)}
    with database.engine.begin() as connection:
        connection.execute(sqlalchemy.text("select asegurar_particion('2024-08-01')"))
        connection.execute(insert, hour)
    with pytest.raises(sqlalchemy.exc.IntegrityError, match="duplicate key"), database.engine.begin() as connection:
        connection.execute(insert, hour)


def test_sessions_that_need_the_same_partition_at_once_all_get_it(database: Database) -> None:
    gate = threading.Barrier(4)

    def ensure(_: int) -> None:
        with database.engine.begin() as connection:
            gate.wait()
            connection.execute(sqlalchemy.text("select asegurar_particion('2024-08-01')"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ensure, range(4)))
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("select count(*) from pg_partition_tree('fact_observaciones')").scalar() == 2


def test_the_live_views_end_at_the_newest_loaded_hour(database: Database) -> None:
    with database.engine.begin() as connection:
        for day in ("2024-07-01", "2024-08-01"):
            connection.execute(sqlalchemy.text("select asegurar_particion(:day), asegurar_tiempo(:day)"), {"day": day})
        connection.exec_driver_sql("""
            insert into cargas (hora, forma, capturado_en, sha256, n_filas, n_observaciones, clientes)
            select h, 'aggregated', h, '', 1, 1, 1
            from unnest(array['2024-07-02 05:00Z', '2024-08-01 04:00Z', '2024-08-01 05:00Z']::timestamptz[]) h
        """)
        connection.exec_driver_sql("""
            insert into fact_observaciones values
                ('2024-07-02 05:00Z', 13101, 1, null, 900, 1, 0), ('2024-08-01 04:00Z', 13101, 1, null, 7, 1, 0),
                ('2024-08-01 04:00Z', 13120, 1, null, 5, 1, 0), ('2024-08-01 05:00Z', 1101, 1, null, 3, 1, 0)
        """)
        event = """
            insert into fact_interrupciones values (gen_random_uuid(), 'aggregated', 13101, 1, 2024070201,
                '2024-07-02 05:00Z', %s, 1, 1, '2024-07-02 05:00Z', 1, 1, 0, false, '2024-07-02 05:00Z',
                '2024-07-02 05:00Z', null)
        """
        for end in ("2024-07-02 06:00Z", "2024-07-02 06:01Z", None):
            connection.exec_driver_sql(event, (end,))
        hours = connection.exec_driver_sql(
            "select hora, nombre_region, clientes_afectados from v_afectacion_horaria_30d where clientes_afectados > 0"
        ).all()
        shown = connection.exec_driver_sql("select count(*) from v_afectacion_horaria_30d").scalar_one()
        alive = (
            connection.exec_driver_sql("select fin from v_interrupciones_30d order by fin nulls last").scalars().all()
        )
    assert {(row.hora.hour, row.nombre_region, row.clientes_afectados) for row in hours} == {
        (4, "METROPOLITANA", 12),
        (5, "TARAPACA", 3),
    }
    assert shown == 2 * 17
    assert alive == [datetime(2024, 7, 2, 6, 1, tzinfo=UTC), None]
