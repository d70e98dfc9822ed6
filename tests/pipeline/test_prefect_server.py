"""Prefect's server: started with its tables in a place of their own, guarded, and gone when its starter is."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from support.fixtures import MakeSettings
from support.prefect_server import prefect_server
from support.stack import ask, eventually

from sec_core.db.address import Address
from sec_core.db.database import Database


@pytest.fixture
def prefect_database(database: Database) -> Iterator[Address]:
    """Address of the database that is made for Prefect beside ours; dropped afterwards."""
    name = f"{database.address.parameters['dbname']}_prefect"
    yield database.address.at(name)
    with database.address.connect(autocommit=True) as connection:
        connection.execute(f"drop database if exists {name} with (force)")


def test_two_servers_that_start_at_once_on_a_new_database_both_come_up(
    database: Database, prefect_database: Address, make_settings: MakeSettings
) -> None:
    settings = make_settings()

    def start(_: int) -> bool:
        with prefect_server(settings, database.address):
            return True

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(start, range(2))) == [True, True]
    with prefect_database.connect() as connection:
        assert connection.execute("select schema from sec_prefect.mark").fetchall() == [("public",)]


def test_a_role_that_may_not_make_databases_keeps_prefects_tables_in_a_schema(
    database: Database, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = database.address.parameters["dbname"]
    role = f"{name}_owner"
    with database.address.connect(autocommit=True) as connection:
        connection.execute(f"create role {role} login password 'x'")
        connection.execute(f"alter database {name} owner to {role}")
    monkeypatch.setenv("SEC_PREFECT_DATABASE_URL", "schema")
    with prefect_server(make_settings(), database.address.changed(user=role, password="x")) as url:
        made = ask(url, "flows/", name="in a schema")
        ask(url, "flow_runs/", flow_id=made["id"], state={"type": "COMPLETED"})
        ask(url, "flow_runs/filter", flow_runs={"name": {"like_": "x"}})
    with database.address.connect(autocommit=True) as connection:
        assert connection.execute("select name from prefect.flow").fetchall() == [("in a schema",)]
        assert connection.execute("select to_regclass('public.flow')").fetchone() == (None,)
        assert connection.execute("select to_regclass('public.capturas') is not null").fetchone() == (True,)
        connection.execute(f"alter database {name} owner to current_user")
        connection.execute(f"reassign owned by {role} to current_user")
        connection.execute(f"drop owned by {role}")
        connection.execute(f"drop role {role}")


_HOLDER = """
import os, time
from deployments.stack.services import prefect_api
from sec_core.config import load_settings
with prefect_api(load_settings()):
    print(os.environ["PREFECT_API_URL"], flush=True)
    time.sleep(600)
"""


@pytest.mark.usefixtures("prefect_database")
def test_a_server_ends_with_a_command_that_is_killed(database: Database, make_settings: MakeSettings) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "SEC_"))}
    environment |= make_settings().environment | {"SEC_DATABASE_URL": database.address.url}
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER], env=environment, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        url = holder.stdout.readline().strip()
        (limit,) = ask(url, "v2/concurrency_limits/filter")
        assert (limit["name"], limit["limit"], limit["active"]) == ("sec-source", 8, True)
        left = psutil.Process(holder.pid).children(recursive=True)
        assert left
        holder.kill()
    eventually(lambda: not any(process.is_running() for process in left))
