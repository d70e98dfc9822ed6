"""A database's address: all forms people write, one meaning for all drivers, no password shown."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import conninfo
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from sec_core.db.address import Address
from sec_core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

FORMS = {
    "postgresql://sec:secret@localhost/sec": {"host": "localhost", "user": "sec", "password": "secret"},
    "postgresql://sec@localhost:5433/sec": {"host": "localhost", "port": "5433", "user": "sec"},
    "postgres://sec:secret@db/sec": {"host": "db", "user": "sec", "password": "secret"},
    "postgresql+psycopg://sec:secret@db:1/sec": {"host": "db", "port": "1", "user": "sec", "password": "secret"},
    "postgresql+asyncpg://sec@db/sec": {"host": "db", "user": "sec"},
    "postgresql://sec:p%40ss%2Fw%3Ard%20%25@h/sec": {"host": "h", "user": "sec", "password": "p@ss/w:rd %"},
    "postgresql://se%C3%B1or:contrase%C3%B1a@h/sec": {"host": "h", "user": "señor", "password": "contraseña"},
    "postgresql://sec:secret@[::1]:5432/sec": {"host": "::1", "port": "5432", "user": "sec", "password": "secret"},
    "postgresql:///sec?host=/run/pg&user=sec": {"host": "/run/pg", "user": "sec"},
    "postgresql://sec@%2Frun%2Fpg/sec": {"host": "/run/pg", "user": "sec"},
    "postgresql://u@a:1,b:2/sec?target_session_attrs=primary": {
        "host": "a,b", "port": "1,2", "user": "u", "target_session_attrs": "primary"
    },
    "postgresql://u@h/sec?sslmode=verify-full&sslrootcert=system&options=-c%20work_mem%3D1MB": {
        "host": "h", "user": "u", "sslmode": "verify-full", "sslrootcert": "system", "options": "-c work_mem=1MB"
    },
    "host=h port=5 user=u dbname=sec password='a b'": {"host": "h", "port": "5", "user": "u", "password": "a b"},
    "service=mine dbname=sec": {"service": "mine"},
    "postgresql://u:s3cret?#x@h/sec": {"host": "h", "user": "u", "password": "s3cret?#x"},
    "  postgresql://u@h/sec\n": {"host": "h", "user": "u"},
}  # fmt: skip


@pytest.mark.parametrize(("text", "fields"), FORMS.items(), ids=range(len(FORMS)))
def test_each_form_is_read_and_written_and_read_again(text: str, fields: dict[str, str]) -> None:
    address = Address.parse(text)
    assert address.parameters == fields | {"dbname": "sec"}
    assert Address.parse(address.url) == address
    assert conninfo.conninfo_to_dict(address.conninfo).items() >= address.parameters.items()
    other = address.at("ñ/?x_prefect")
    assert other.parameters == fields | {"dbname": "ñ/?x_prefect"}
    assert Address.parse(other.url) == other


@pytest.mark.parametrize("text", FORMS, ids=range(len(FORMS)))
def test_asyncpg_gets_the_same_address(text: str) -> None:
    address = Address.parse(text)
    url, variables = address.asyncpg()
    dialect: Any = PGDialect_asyncpg
    _, given = dialect().create_connect_args(make_url(url))
    known = address.parameters
    assert [given.get(name) for name in ("user", "password", "database", "service", "ssl", "target_session_attrs")] == [
        known.get(name) for name in ("user", "password", "dbname", "service", "sslmode", "target_session_attrs")
    ]
    hosts = given.get("host")
    assert (",".join(hosts) if isinstance(hosts, list) else hosts) == known.get("host")
    ports = given.get("port", 5432)
    assert (",".join(map(str, ports)) if isinstance(ports, list) else str(ports)) == known.get("port", "5432")
    assert ("PGSSLROOTCERT" in variables) == ("sslrootcert" in known)
    assert variables.get("PGSSLROOTCERT") != "system"


def test_without_a_host_every_driver_gets_the_same_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PGHOST", "PGHOSTADDR", "PGSERVICE", "PGPORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sec_core.db.address._SOCKET_FOLDERS", ("/nowhere", str(tmp_path)))
    assert Address.parse("postgresql:///sec").parameters["host"] == "localhost"
    (tmp_path / ".s.PGSQL.5432").touch()
    assert Address.parse("postgresql:///sec").parameters["host"] == str(tmp_path)
    monkeypatch.setenv("PGHOST", "elsewhere")
    assert "host" not in Address.parse("postgresql:///sec").parameters


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mysql://u:s3cret@h/sec", "no PostgreSQL address"),
        ("s3cret.db", "no PostgreSQL address"),
        ("", "no PostgreSQL address"),
        ("postgresql://u:s3cret%@h/sec", "%25"),
        ("postgresql://u:s3cret@x@h/sec", "@ is %40"),
        ("postgresql://u:s3cret/x@h/sec", "/ is %2F"),
        ("postgresql://u:p@h:s3cret/sec", "Percent-encode"),
        ("postgresql://u:s3cret@h/sec?pgbouncer=true", "does not know: pgbouncer"),
        ("host=h passwd=s3cret", "does not know: passwd"),
        ("host=h password='s3cret", "malformed"),
        ("jdbc:postgresql://h/sec?password=s3cret", "no PostgreSQL address"),
    ],
)
def test_what_is_no_address_is_refused_without_quoting_it(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Address.parse(text, "SEC_PREFECT_DATABASE_URL")
    assert told in str(caught.value)
    assert str(caught.value).startswith("SEC_PREFECT_DATABASE_URL ")
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "text",
    [*(text for text in FORMS if "pass" in str(FORMS[text])), "postgresql://u@h/sec?password=s%20t", "password=zq"],
)
def test_no_password_shows(text: str) -> None:
    address = Address.parse(text)
    password = address.parameters["password"]
    assert not any(password in shown for shown in (str(address), repr(address), f"{address.at('x')}"))
    assert password not in str(address.unreachable(f"what a driver may say: {password} is wrong"))
