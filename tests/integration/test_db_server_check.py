"""Servers, databases and roles that won't do are refused with one line that says what to change."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql
from support.fixtures import MakeSettings
from support.pooler import pooled

from sec_core.db import embedded
from sec_core.db.address import Address
from sec_core.db.checks import check_server
from sec_core.db.database import Database, open_database
from sec_core.db.schema import migrate
from sec_core.errors import DatabaseError, DatabaseUnavailable


@pytest.fixture
def role(server_url: str) -> Iterator[Address]:
    """A role that owns nothing and may do nothing in particular."""
    name, password = f'ñandú "{secrets.token_hex(3)}', "p@ss w/ö:rd%?#"
    server = Address.parse(server_url)
    with server.connect(autocommit=True) as connection:
        connection.execute(
            sql.SQL("create role {} login password {}").format(sql.Identifier(name), sql.Literal(password))
        )
    yield server.changed(user=name, password=password)
    with server.connect(autocommit=True) as connection:
        connection.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


def as_role(role: Address, database: Database) -> Database:
    return Database(role.at(database.address.parameters["dbname"]))


def refusal(database: Database) -> str:
    with pytest.raises(DatabaseError) as caught:
        check_server(database.engine, database.address)
    database.close()
    assert caught.value.next_step
    assert "\n" not in str(caught.value)
    assert "p@ss" not in str(caught.value)
    return str(caught.value)


def test_a_pooler_in_transaction_mode_is_refused_and_one_in_session_mode_works(
    database: Database, make_settings: MakeSettings
) -> None:
    with pooled(database.address, "transaction") as address:
        told = refusal(Database(address))
        assert "pooler in transaction mode" in told
        assert "direct connection" in told
        assert "session mode" in told
        with pytest.raises(DatabaseError, match="transaction mode"):
            open_database(make_settings(database_url=address.url))
    with pooled(database.address, "session") as address:
        through = Database(address)
        check_server(through.engine, through.address)
        with through.engine.connect() as connection:
            assert connection.exec_driver_sql("show timezone").scalar() == "UTC"
        through.close()


@pytest.mark.parametrize("how", ["database", "role"])
def test_a_read_only_database_is_named(database: Database, role: Address, how: str) -> None:
    name = sql.Identifier(database.address.parameters["dbname"])
    who = sql.Identifier(role.parameters["user"])
    with database.address.connect(autocommit=True) as connection:
        target = sql.SQL("database {}").format(name) if how == "database" else sql.SQL("role {}").format(who)
        connection.execute(sql.SQL("alter {} set default_transaction_read_only = on").format(target))
    assert "is read-only for" in refusal(as_role(role, database))


def test_a_wrong_search_path_is_named(database: Database) -> None:
    with database.address.connect(autocommit=True) as connection:
        connection.execute("create schema elsewhere")
    told = refusal(Database(database.address.changed(options="-c search_path=elsewhere,public")))
    assert "(elsewhere,public) does not begin with public" in told
    assert "set search_path = public" in told


def test_a_role_without_rights_is_named(database: Database, empty_database: Database, role: Address) -> None:
    told = refusal(as_role(role, empty_database))
    assert "may not make tables in schema public" in told
    assert "grant usage, create on schema public" in told
    owner = database.address.parameters["user"]
    assert f"belong to {owner}" in refusal(as_role(role, database))
    with database.address.connect(autocommit=True) as connection:
        connection.execute(
            sql.SQL("grant {} to {}").format(sql.Identifier(owner), sql.Identifier(role.parameters["user"]))
        )
    member = as_role(role, database)
    check_server(member.engine, member.address)
    migrate(member.engine)
    member.close()
    with database.address.connect(autocommit=True) as connection:
        connection.execute(
            sql.SQL("revoke {} from {}").format(sql.Identifier(owner), sql.Identifier(role.parameters["user"]))
        )


def test_a_refused_statement_says_whose_turn_it_is(database: Database, role: Address) -> None:
    stranger = as_role(role, database)
    with (
        pytest.raises(DatabaseError, match="refuses this role: permission denied") as caught,
        stranger.engine.begin() as c,
    ):
        c.exec_driver_sql("delete from capturas")
    assert "owner" in caught.value.next_step
    with pytest.raises(DatabaseError, match="refuses this role"), stranger.adbc() as adbc:
        adbc.execute("delete from capturas")
    stranger.close()


@pytest.mark.parametrize("wrong", [{"password": "zq;no"}, {"dbname": "no_such"}, {"user": "nobody_known"}])
def test_who_may_not_come_in_reads_one_line_without_the_password(role: Address, wrong: dict[str, str]) -> None:
    database = Database(role.changed(**wrong))
    for way in (database.engine.connect, database.adbc().__enter__):
        with pytest.raises(DatabaseUnavailable) as caught:
            way()
        assert "\n" not in str(caught.value)
        assert not {"p@ss", "zq;no"} & set(str(caught.value).split())
    database.close()


@pytest.mark.usefixtures("server_url")
def test_variables_of_libpq_do_not_reach_the_embedded_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGHOST": "nowhere.invalid",
        "PGSERVICE": "none",
        "PGSSLMODE": "require",
        "PGUSER": "x",
    }.items():
        monkeypatch.setenv(name, value)
    address = embedded.ensure_running(Path(os.environ["SEC_TEST_POSTGRES_DIR"]))
    with address.connect() as connection:
        assert connection.info.user == "sec"
    with Database(address).adbc() as connection:
        assert connection.query("select current_user::text").row(0) == ("sec",)
