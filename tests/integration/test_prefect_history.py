"""Where Prefect's tables go: beside ours, marked; never into what is somebody else's."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deployments.stack.history import ADDRESS_VARIABLE, adopt, installation_id, keep_told, prefect_history
from deployments.stack.settings import load_stack_settings
from sec_core.config import load_settings
from sec_core.db.address import Address
from sec_core.errors import ConfigError

PATH = "PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_SEARCH_PATH"
FOREIGN = "create table flow (name text); insert into flow values ('payroll'), ('monitor')"
OURS = "create table flow (name text); insert into flow values ('monitor'), ('rerun-month')"


class Server:
    """The run's server, with databases and roles of one test.

    Attributes:
        admin: A superuser's address.
        name: Begins the names of all that is made.
    """

    def __init__(self, server_url: str) -> None:
        self.admin = Address.parse(server_url)
        self.name = f"test_{secrets.token_hex(4)}"

    def run(self, statement: str, database: str | None = None) -> list[Any]:
        address = self.admin if database is None else self.admin.at(database)
        with address.connect(autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def database(self, name: str, owner: str = "sec") -> Address:
        self.run(f"create database {self.name}{name} owner {owner}")
        return self.admin.at(f"{self.name}{name}")

    def role(self, name: str, rights: str = "") -> dict[str, str]:
        self.run(f"create role {self.name}{name} login password 'x' {rights}")
        return {"user": f"{self.name}{name}", "password": "x"}

    def clear(self) -> None:
        query = f"select datname from pg_database where datname like '{self.name}%' or datname = 'prefect'"
        for (each,) in self.run(query):
            self.run(f"drop database {each} with (force)")
        for (each,) in self.run(f"select rolname from pg_roles where rolname like '{self.name}%'"):
            self.run(f"drop role {each}")


@pytest.fixture
def server(server_url: str) -> Iterator[Server]:
    made = Server(server_url)
    yield made
    made.clear()


def history(database: Address, chosen: str | None = None, *, embedded: bool = False) -> dict[str, str]:
    """What a stack with this database, on a server that is not ours alone, would use."""
    settings = load_settings(_env_file=None, database_url=None if embedded else database.url)
    options = load_stack_settings(_env_file=None, prefect_database_url=chosen)
    return prefect_history(settings, options, database)


def place(environment: dict[str, str]) -> tuple[str, str]:
    """Database and schema of Prefect's tables."""
    return Address.parse(environment[ADDRESS_VARIABLE]).parameters["dbname"], environment.get(PATH, "public")


def test_two_installations_on_one_server_have_a_database_each(server: Server) -> None:
    prod, test = server.database("prod"), server.database("test")
    assert place(history(prod)) == (f"{server.name}prod_prefect", "public")
    assert place(history(test)) == (f"{server.name}test_prefect", "public")
    assert place(history(prod)) == (f"{server.name}prod_prefect", "public"), "the same again"
    assert server.run("select * from sec_prefect.mark", f"{server.name}prod_prefect") == [
        (installation_id(prod), "public")
    ]


def test_two_installations_that_share_a_database_for_prefect_have_a_schema_each(server: Server) -> None:
    prod, test, shared = server.database("prod"), server.database("test"), server.database("shared")
    assert place(history(prod, shared.url)) == (f"{server.name}shared", "public")
    assert place(history(test, shared.url)) == (f"{server.name}shared", f"prefect_{installation_id(test)}")
    assert place(history(prod, shared.url)) == (f"{server.name}shared", "public")


@pytest.mark.parametrize("given", [True, False])
def test_a_database_of_somebody_else_is_refused_and_stays_as_it_is(server: Server, given: bool) -> None:
    ours, foreign = server.database("ours"), server.database("ours_prefect")
    server.run(FOREIGN, f"{server.name}ours_prefect")
    with pytest.raises(ConfigError, match=r"was not made by this installation.*SEC_PREFECT_DATABASE_URL"):
        history(ours, foreign.url if given else None)
    assert server.run("select nspname from pg_namespace where nspname like 'sec%'", f"{server.name}ours_prefect") == []
    assert len(server.run("select * from flow", f"{server.name}ours_prefect")) == 2


def test_a_copy_of_a_database_does_not_take_over_the_history_of_its_original(server: Server) -> None:
    prod, copy = server.database("prod"), server.database("copy")
    made = history(prod)[ADDRESS_VARIABLE]
    server.run("create table flow (name text)", place(history(prod))[0])
    assert place(history(copy, made)) == (f"{server.name}prod_prefect", f"prefect_{installation_id(copy)}")


def test_a_role_that_may_not_make_databases_has_a_choice(server: Server) -> None:
    login = server.role("poor")
    ours, empty = (server.database(name, login["user"]).changed(**login) for name in ("ours", "empty"))
    with pytest.raises(ConfigError, match=r"may not make the database .* `schema`, .* empty database"):
        history(ours)
    server.run("create table public.alembic_version (version_num text)", f"{server.name}ours")
    assert place(history(ours, "schema")) == (f"{server.name}ours", "prefect")
    assert place(history(ours, ours.url)) == (f"{server.name}ours", "prefect"), "our own address means the same"
    assert place(history(ours, empty.url)) == (f"{server.name}empty", "public")


def test_a_schema_of_somebody_else_is_refused(server: Server) -> None:
    ours = server.database("ours")
    server.run("create schema prefect", f"{server.name}ours")
    with pytest.raises(ConfigError, match="schema prefect, was not made by this installation"):
        history(ours, "schema")


def test_an_extension_elsewhere_is_found(server: Server) -> None:
    ours = server.database("ours")
    server.run("create schema extensions", f"{server.name}ours")
    server.run("create extension pg_trgm schema extensions", f"{server.name}ours")
    assert place(history(ours, "schema")) == (f"{server.name}ours", "prefect,extensions")
    server.run("alter extension pg_trgm set schema public", f"{server.name}ours")
    with pytest.raises(ConfigError, match="pg_trgm"):
        history(ours, "schema")


def test_a_malformed_address_is_named_by_its_setting(server: Server) -> None:
    with pytest.raises(ConfigError, match="SEC_PREFECT_DATABASE_URL is no PostgreSQL address"):
        history(server.database("ours"), "mysql://somewhere")


@pytest.fixture
def old(server: Server) -> Callable[[str], None]:
    """Makes the database `prefect`, of which a server has one."""

    def make(tables: str) -> None:
        server.run("create database prefect")
        server.run(tables, "prefect")

    return make


def test_on_the_embedded_server_the_database_of_the_version_before_is_taken_on(
    server: Server, old: Callable[[str], None]
) -> None:
    old(OURS)
    ours = server.database("ours")
    assert place(history(ours, embedded=True)) == (f"{server.name}ours_prefect", "public")
    assert len(server.run("select * from flow", f"{server.name}ours_prefect")) == 2
    assert server.run("select datname from pg_database where datname = 'prefect'") == []


def test_elsewhere_it_is_taken_on_by_a_command(server: Server, old: Callable[[str], None]) -> None:
    old(OURS)
    ours = server.database("ours")
    assert place(history(ours)) == (f"{server.name}ours_prefect", "public")
    assert len(server.run("select * from flow", "prefect")) == 2, "not touched by itself"
    assert adopt(ours) == f"{server.name}ours_prefect"
    assert place(history(ours)) == (f"{server.name}ours_prefect", "public")
    assert len(server.run("select * from flow", f"{server.name}ours_prefect")) == 2
    assert server.run("select * from sec_prefect.mark", f"{server.name}ours_prefect_replaced"), "kept"
    with pytest.raises(ConfigError, match="no database prefect"):
        adopt(ours)


def test_one_that_holds_other_flows_is_left_alone(server: Server, old: Callable[[str], None]) -> None:
    old(FOREIGN)
    ours = server.database("ours")
    with pytest.raises(ConfigError, match=r"not ours alone .*payroll"):
        adopt(ours)
    assert place(history(ours)) == (f"{server.name}ours_prefect", "public")
    assert len(server.run("select * from flow", "prefect")) == 2


def test_what_notices_told_is_kept_for_each_installation_and_servers_take_turns(server: Server) -> None:
    shared = server.database("shared")
    seen: list[tuple[str, str]] = []

    def look(owner: str, inside: Callable[[], None] = lambda: None) -> Callable[[str], str]:
        def work(kept: str) -> str:
            seen.append((owner, kept))
            inside()
            return f"told {owner}"

        return work

    def others() -> None:
        keep_told(shared, "one", look("refused"))
        keep_told(shared, "two", look("two"))

    keep_told(shared, "one", look("one", others))
    assert seen == [("one", ""), ("two", "")], "another server of the first installation waits for its turn"
    for owner in ("one", "two"):
        keep_told(shared, owner, look(owner))
    assert seen[2:] == [("one", "told one"), ("two", "told two")]
