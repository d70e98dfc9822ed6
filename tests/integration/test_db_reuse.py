"""Connections that are used again: alive, clean, and never by two at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from sec_core.db.database import IDLE_ADBC as MOST
from sec_core.db.database import Database

ALIVE = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
IN_TRANSACTION = f"{ALIVE} and state <> 'idle'"


def number(database: Database, sql: str) -> int:
    with database.engine.connect() as connection:
        return int(connection.exec_driver_sql(sql).scalar_one())


def session(database: Database) -> int:
    with database.adbc() as connection:
        return int(connection.query("select pg_backend_pid()").item())


def test_the_next_use_gets_the_same_session_and_it_waits_in_no_transaction(database: Database) -> None:
    assert session(database) == session(database)
    assert number(database, IN_TRANSACTION) == 0


def test_a_session_that_was_ended_meanwhile_is_replaced(database: Database) -> None:
    first = session(database)
    number(database, f"select pg_terminate_backend({first})::int")
    assert session(database) != first


def test_after_an_error_the_session_is_not_used_again(database: Database) -> None:
    first = session(database)

    def fail() -> None:
        with database.adbc() as connection:
            connection.execute("set time zone 'America/Santiago'")
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        fail()
    assert session(database) != first


def test_a_use_commits_and_rolls_back_as_it_says(database: Database) -> None:
    with database.adbc() as connection:
        connection.execute("create table probe (n int)")
        connection.commit()
        connection.execute("insert into probe values (1)")
        connection.commit()
        assert number(database, "select count(*) from probe") == 1
        connection.execute("insert into probe values (2)")
        connection.rollback()
    assert number(database, "select sum(n) from probe") == 1


def test_uses_at_once_have_sessions_of_their_own_and_few_are_kept(database: Database) -> None:
    with database.adbc(), database.adbc():
        assert session(database) > 0
    with ThreadPoolExecutor(max_workers=4) as pool:
        assert all(pool.map(session, [database] * 40))
    assert number(database, ALIVE) <= MOST


def test_disposal_ends_them_and_the_database_stays_usable(database: Database) -> None:
    session(database)
    database.close()
    assert number(database, ALIVE) == 0
    assert session(database) > 0
