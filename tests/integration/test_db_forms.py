"""An outside PostgreSQL written down in every way that people do: all drivers reach the same database."""

import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from support.capturing import keep_answers
from support.fixtures import MakeSettings

from sec_core.config import load_settings
from sec_core.db import embedded
from sec_core.db.address import Address
from sec_core.db.database import Database, open_database
from sec_core.hours import Month
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.server import Simulator
from sec_core.usecases.adapters import open_adapters

ROLE, PASSWORD = "peña & hijos", "p@ss/w:rd?#% ñ"
WHO = f"{ROLE.replace(' ', '%20').replace('&', '%26').replace('ñ', '%C3%B1')}"
SECRET = "p%40ss%2Fw%3Ard%3F%23%25%20%C3%B1"


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def outside() -> Iterator[Address]:
    """A server with a socket, where `peer` needs no password there, and a database whose owner has an awkward name."""
    folder = Path(tempfile.mkdtemp(prefix="sec-forms-"))
    folder.chmod(0o755)
    (folder / "sockets").mkdir()
    (folder / "sockets").chmod(0o777)
    settings = {"unix_socket_directories": str(folder / "sockets"), "fsync": "off"}
    if _has_ipv6():
        settings["listen_addresses"] = "127.0.0.1,::1"
    server = embedded.ensure_running(folder / "postgres", extra_settings=settings)
    rules = folder / "postgres" / "data" / "pg_hba.conf"
    rules.write_text(f"local all peer trust\n{rules.read_text()}")
    with server.connect(autocommit=True) as connection:
        connection.execute("select pg_reload_conf()")
        connection.execute(f"create role \"{ROLE}\" login password '{PASSWORD}'".encode())
        connection.execute(f'create role peer login in role "{ROLE}"'.encode())
        connection.execute(f'create database equipo owner "{ROLE}"'.encode())
    with server.at("equipo").connect(autocommit=True) as connection:
        connection.execute(f'alter schema public owner to "{ROLE}"'.encode())
    yield server.changed(folder=str(folder))
    embedded.stop(folder / "postgres")
    shutil.rmtree(folder)


FORMS = {
    "percent-encoded": "postgresql://{who}:{secret}@127.0.0.1:{port}/equipo",
    "postgres": "postgres://{who}:{secret}@localhost:{port}/equipo",
    "sqlalchemy": "postgresql+psycopg://{who}:{secret}@127.0.0.1:{port}/equipo?sslmode=prefer",
    "options": "postgresql://{who}:{secret}@127.0.0.1:{port}/equipo?sslmode=disable&connect_timeout=5&application_name=x",
    "ipv6": "postgresql://{who}:{secret}@[::1]:{port}/equipo",
    "keywords": "host=127.0.0.1 port={port} dbname=equipo user='{role}' password='{password}'",
    "socket without a password": "postgresql:///equipo?host={folder}/sockets&port={port}&user=peer",
    "socket as a host": "postgresql://peer@{socket}:{port}/equipo",
    "socket with a password": "host={folder}/sockets port={port} dbname=equipo user='{role}' password='{password}'",
    "password file": "postgresql://{who}@127.0.0.1:{port}/equipo",
    "several hosts": "postgresql://{who}:{secret}@127.0.0.1:1,127.0.0.1:{port}/equipo?target_session_attrs=read-write",
    "service": "service=equipo",
    "variables": "postgresql://",
}


WHOLE = (
    "percent-encoded", "sqlalchemy", "socket without a password", "keywords", "password file", "several hosts",
    "service",
)  # fmt: skip


@pytest.fixture
def write(outside: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Writes an address down in a form, with the files and variables that go with it."""
    folder, port = outside.parameters["folder"], outside.parameters["port"]
    (tmp_path / "pgpass").write_text(f"*:*:*:*:{PASSWORD.replace(':', chr(92) + ':')}\n")
    (tmp_path / "pgpass").chmod(0o600)
    (tmp_path / "services").write_text(f"[equipo]\nhost=127.0.0.1\nport={port}\ndbname=equipo\nuser={ROLE}\n")
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))

    def written(form: str) -> str:
        if form == "ipv6" and not _has_ipv6():
            pytest.skip("this machine has no IPv6")
        given = {"HOST": "127.0.0.1", "PORT": port, "USER": ROLE, "DATABASE": "equipo"} if form == "variables" else {}
        for name, value in given.items():
            monkeypatch.setenv(f"PG{name}", value)
        return FORMS[form].format(
            who=WHO, secret=SECRET, role=ROLE, password=PASSWORD, folder=folder, port=port,
            socket=f"{folder}/sockets".replace("/", "%2F"),
        )  # fmt: skip

    return written


@pytest.mark.parametrize("form", FORMS)
async def test_every_driver_gets_the_same_database(
    form: str, write: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, make_settings: MakeSettings
) -> None:
    written = write(form)
    expected = ("equipo", "peer" if "peer" in written else ROLE)
    database = open_database(make_settings(database_url=written))
    with database.engine.connect() as connection:
        row = connection.execute(text("select current_database()::text, current_user::text")).one()
        assert tuple(row) == expected
    with database.adbc() as connection:
        assert connection.query("select current_database()::text, current_user::text").row(0) == expected
    url, variables = database.address.asyncpg()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    engine = create_async_engine(url)
    async with engine.connect() as found:
        row = (await found.execute(text("select current_database()::text, current_user::text"))).one()
        assert tuple(row) == expected
    await engine.dispose()
    assert Database(database.address.url).address == database.address
    assert PASSWORD not in repr(database)
    database.close()


def test_a_whole_month_runs_by_each_form_and_no_password_shows(
    write: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Simulator(world=WorldOptions.tiny(seed=9, rows_per_hour=3)) as source:
        settings = {"BASE_URL": source.url, "DATA_DIR": str(tmp_path / "data"), "MAX_RATE": "1000"}
        for name, value in {**settings, "MAX_CONCURRENCY": "16"}.items():
            monkeypatch.setenv(f"SEC_{name}", value)
        monkeypatch.chdir(tmp_path)
        told = ""
        month = Month(2025, 2)
        monkeypatch.setenv("SEC_DATABASE_URL", write(WHOLE[0]))
        with open_adapters(load_settings(_env_file=None)) as adapters:
            keep_answers(source, adapters.database, adapters.settings, month.hours()[24:])
        for form in WHOLE:
            monkeypatch.setenv("SEC_DATABASE_URL", write(form))
            command = [str(Path(sys.executable).with_name("sec")), "sync", "--month", str(month), "--local"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
            assert done.returncode == 0, (form, done.stderr)
            told += done.stdout + done.stderr
    told += "".join(path.read_text() for path in (tmp_path / "data" / "logs").iterdir())
    assert "2025-02" in told
    assert not [secret for secret in (PASSWORD, SECRET, PASSWORD[:6]) if secret in told]
