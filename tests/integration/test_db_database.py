"""Connections: what moves through ADBC, and what a person reads when the database is not there."""

import socket
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import psycopg
import pytest
import sqlalchemy

from sec_core.config import Settings
from sec_core.db.checks import check_server
from sec_core.db.database import Database, open_database
from sec_core.errors import DatabaseError, DatabaseUnavailable
from sec_core.silver.observations import OBSERVATION_SCHEMA

HOUR = datetime(2024, 8, 3, 4, tzinfo=UTC)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers, like a host behind a dropping firewall."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def end_other_sessions(database: Database) -> None:
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )


def test_adbc_appends_to_a_partition_in_its_own_types(database: Database) -> None:
    rows = [(HOUR, 1101, 1, None, 5, 1, 0), (HOUR, 13101, 15, date(2024, 8, 1), 2**40, 2, 8)]
    frame = pl.DataFrame(rows, schema=OBSERVATION_SCHEMA, orient="row")
    with database.engine.begin() as connection:
        connection.execute(sqlalchemy.text("select asegurar_particion('2024-08-01')"))
    with database.adbc() as connection:
        connection.append("fact_observaciones_202408", frame)
    with database.adbc() as connection:
        back = connection.query("select * from fact_observaciones order by id_geografia")
    assert back.equals(frame)
    assert back.schema == frame.schema


def test_adbc_takes_sixteen_bytes_into_uuid_through_a_temporary_table(database: Database) -> None:
    keys = [uuid.UUID(int=7), uuid.uuid4()]
    frame = pl.DataFrame({"hash_id": [key.bytes for key in keys], "n": [1, 2]}, schema_overrides={"n": pl.Int16})
    with database.adbc() as connection:
        connection.execute("create temporary table nuevos (hash_id uuid, n smallint) on commit drop")
        connection.append("nuevos", frame, temporary=True)
        back = connection.query("select hash_id::text from nuevos order by n")
    assert back.rows() == [(str(key),) for key in keys]


def test_an_error_inside_adbc_rolls_back(database: Database) -> None:
    def write_and_fail() -> None:
        with database.adbc() as connection:
            connection.execute("insert into dashboard_stats (id, data) values ('x', '[]')")
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        write_and_fail()
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("select count(*) from dashboard_stats").scalar() == 0


def test_sessions_speak_utc(database: Database) -> None:
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("show timezone").scalar() == "UTC"
    with database.adbc() as connection:
        assert connection.query("select current_setting('timezone')").item() == "UTC"


def test_a_named_database_replaces_the_embedded_one(make_settings: Callable[..., Settings], tmp_path: Path) -> None:
    settings = make_settings()
    opened = open_database(settings)
    with opened.engine.connect() as connection:
        assert connection.exec_driver_sql("select count(*) from dim_geografia").scalar() == 347
    opened.close()
    assert not (tmp_path / "data" / "postgres").exists()


def test_a_database_that_is_down_is_one_clear_line_without_the_password(make_settings: Callable[..., Settings]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        settings = make_settings(database_url=f"postgresql://sec:s3cret@127.0.0.1:{port}/sec")
        with pytest.raises(DatabaseUnavailable, match="Connection refused") as caught:
            open_database(settings)
        down = Database(settings.database_url.get_secret_value() if settings.database_url else "")
        with pytest.raises(DatabaseUnavailable, match="Connection refused") as by_adbc, down.adbc():
            pass
    for text in (str(caught.value), str(by_adbc.value), repr(down)):
        assert f"sec at 127.0.0.1:{port}" in text
        assert "\n" not in text
        assert "s3cret" not in text


def test_a_host_that_never_answers_does_not_hang(silent_port: int) -> None:
    silent = Database(f"postgresql://sec@127.0.0.1:{silent_port}/sec?connect_timeout=2")
    with pytest.raises(DatabaseUnavailable, match="timeout"):
        check_server(silent.engine, silent.address)
    with pytest.raises(DatabaseUnavailable, match="timeout"), silent.adbc():
        pass


def test_waiting_is_bounded_without_being_asked(database: Database) -> None:
    assert database.address.session["connect_timeout"] == "10"


def test_a_connection_lost_in_a_transaction_is_unavailability(database: Database) -> None:
    def lose_by_engine() -> None:
        with database.engine.begin() as connection:
            connection.exec_driver_sql("select 1")
            end_other_sessions(database)
            connection.exec_driver_sql("select 1")

    def lose_by_adbc() -> None:
        with database.adbc() as connection:
            connection.execute("select 1")
            end_other_sessions(database)
            connection.execute("select 1")

    def lose_while_rows_stream_in() -> None:
        with database.adbc() as connection:
            connection.query("select pg_terminate_backend(pg_backend_pid())")

    for lose in (lose_by_engine, lose_by_adbc, lose_while_rows_stream_in):
        with pytest.raises(DatabaseUnavailable, match="lost"):
            lose()


@pytest.mark.parametrize(
    ("code", "says", "told"),
    [
        ("53100", "could not write to file: No space left on device", "PostgreSQL's disk is full"),
        ("22012", "division by zero", "PostgreSQL refused a statement"),
    ],
)
def test_what_is_refused_while_rows_stream_in_is_no_lost_connection(
    database: Database, code: str, says: str, told: str
) -> None:
    fail = f"begin raise exception '{says}' using errcode = '{code}'; end"
    with database.adbc() as connection:
        connection.execute(f"create function fail() returns int language plpgsql as $${fail}$$")
    with pytest.raises(DatabaseError, match=f"{told}: .*{says}") as caught, database.adbc() as connection:
        connection.query("select fail() from generate_series(1, 3)")
    assert not isinstance(caught.value, DatabaseUnavailable)


def test_a_pooled_connection_lost_between_transactions_is_replaced(database: Database) -> None:
    check_server(database.engine, database.address)
    end_other_sessions(database)
    check_server(database.engine, database.address)


def test_faults_of_a_statement_keep_their_own_error(database: Database) -> None:
    with pytest.raises(sqlalchemy.exc.IntegrityError), database.engine.begin() as connection:
        connection.exec_driver_sql("insert into dim_empresa values (0, 'AGAIN')")
    with database.engine.connect() as connection:
        connection.exec_driver_sql("set statement_timeout = 1")
        with pytest.raises(sqlalchemy.exc.OperationalError):
            connection.exec_driver_sql("select pg_sleep(10)")
