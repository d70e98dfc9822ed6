"""A database's address: all forms people write, one meaning for all drivers, no password shown."""

import traceback
from pathlib import Path
from typing import Any

import pytest
from psycopg import conninfo
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from sec_core.db.address import Address
from sec_core.errors import ConfigError

FORMS = {
    "postgresql://sec:secret@localhost/sec": {"host": "localhost", "user": "sec", "password": "secret"},
    "postgresql://sec@localhost:5433/sec": {"host": "localhost", "port": "5433", "user": "sec"},
    "postgres://sec:secret@127.1/sec": {"host": "127.1", "user": "sec", "password": "secret"},
    "postgresql+psycopg://sec:secret@127.1:1/sec": {"host": "127.1", "port": "1", "user": "sec", "password": "secret"},
    "postgresql+asyncpg://sec@127.1/sec": {"host": "127.1", "user": "sec"},
    "postgresql://sec:p%40ss%2Fw%3Ard%20%25@127.1/sec": {"host": "127.1", "user": "sec", "password": "p@ss/w:rd %"},
    "postgresql://se%C3%B1or:contrase%C3%B1a@127.1/sec": {"host": "127.1", "user": "señor", "password": "contraseña"},
    "postgresql://sec:secret@[::1]:5432/sec": {"host": "::1", "port": "5432", "user": "sec", "password": "secret"},
    "postgresql:///sec?host=/run/pg&user=sec": {"host": "/run/pg", "user": "sec"},
    "postgresql://sec@%2Frun%2Fpg/sec": {"host": "/run/pg", "user": "sec"},
    "postgresql://u@127.1:1,127.2:2/sec?target_session_attrs=primary": {
        "host": "127.1,127.2", "port": "1,2", "user": "u", "target_session_attrs": "primary"
    },
    "postgresql://u@127.1/sec?sslmode=verify-full&sslrootcert=system&options=-c%20work_mem%3D1MB": {
        "host": "127.1", "user": "u", "sslmode": "verify-full", "sslrootcert": "system", "options": "-c work_mem=1MB"
    },
    "host=::1 port=5 user=u dbname=sec password='a c'": {"host": "::1", "port": "5", "user": "u", "password": "a c"},
    "service=mine dbname=sec": {"service": "mine"},
    "postgresql://u:s3cret?#x@127.1/sec": {"host": "127.1", "user": "u", "password": "s3cret?#x"},
    "  postgresql://u@127.1/sec\n": {"host": "127.1", "user": "u"},
}  # fmt: skip


@pytest.mark.parametrize(("text", "fields"), FORMS.items(), ids=range(len(FORMS)))
def test_each_form_is_read_and_written_and_read_again(text: str, fields: dict[str, str]) -> None:
    address = Address.parse(text)
    assert address.parameters == fields | {"dbname": "sec"}
    assert Address.parse(address.url) == address
    if "service" not in fields:
        assert conninfo.conninfo_to_dict(address.conninfo).items() >= address.parameters.items()
    other = address.at("ñ/?x_prefect")
    assert other.parameters == fields | {"dbname": "ñ/?x_prefect"}
    assert Address.parse(other.url) == other


@pytest.mark.parametrize("text", [text for text in FORMS if "service" not in text])
def test_asyncpg_gets_the_same_address(text: str) -> None:
    address = Address.parse(text)
    url, variables = address.asyncpg()
    dialect: Any = PGDialect_asyncpg
    _, given = dialect().create_connect_args(make_url(url))
    known = address.parameters
    assert [given.get(name) for name in ("user", "password", "database", "ssl", "target_session_attrs")] == [
        known.get(name) for name in ("user", "password", "dbname", "sslmode", "target_session_attrs")
    ]
    hosts = given.get("host")
    assert (",".join(hosts) if isinstance(hosts, list) else hosts) == known.get("host")
    ports = given.get("port", 5432)
    assert (",".join(map(str, ports)) if isinstance(ports, list) else str(ports)) == known.get("port", "5432")
    assert ("PGSSLROOTCERT" in variables) == ("sslrootcert" in known)
    assert variables.get("PGSSLROOTCERT") != "system"


def test_what_libpq_adds_is_written_out_for_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PGHOST", "PGHOSTADDR", "PGSERVICE", "PGPORT", "PGUSER"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "services").write_text("[mine]\nhost=127.0.0.1\nport=1\nuser=me\ndbname=there\n")
    (tmp_path / "pgpass").write_text("*:*:*:me:s3cret\n")
    (tmp_path / "pgpass").chmod(0o600)
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
    found = Address.parse("service=mine dbname=sec").resolved().parameters
    assert {name: found[name] for name in ("host", "port", "user", "dbname", "password")} == {
        "host": "127.0.0.1", "port": "1", "user": "me", "dbname": "sec", "password": "s3cret"
    }  # fmt: skip
    assert Address.parse("postgresql:///sec").resolved().parameters["host"].startswith("/")
    monkeypatch.setenv("PGHOST", "127.0.0.2")
    assert Address.parse("postgresql:///sec").resolved().parameters["host"] == "127.0.0.2"


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
