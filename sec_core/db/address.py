"""The address of a PostgreSQL database: read once by libpq's own parser, changed by fields, written for each driver."""

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Self
from urllib.parse import quote, urlencode

import psycopg
from psycopg import conninfo, pq

from sec_core.db.problems import one_line
from sec_core.errors import ConfigError, DatabaseUnavailable

_SCHEME: Final = re.compile(r"postgres(ql)?(\+[a-z0-9]+)?://", re.IGNORECASE)
_UNKNOWN_OPTION: Final = re.compile(r'invalid (?:URI query parameter|connection option)[^"]*"(\w+)"')
_USUAL: Final = {
    "connect_timeout": "10",
    "application_name": "sec",
    "keepalives_idle": "30",
    # Where a database was made with the encoding SQL_ASCII, texts would come as bytes.
    "client_encoding": "UTF8",
}
_ADDED: Final = ("host", "hostaddr", "port", "user", "password", "dbname", "sslrootcert", "sslcert", "sslkey", "sslcrl")
# What asyncpg takes from the environment alone where SQLAlchemy calls it.
_ASYNCPG_VARIABLES: Final = {
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
    "sslnegotiation": "PGSSLNEGOTIATION",
}
_ASYNCPG_OPTIONS: Final = {name: name for name in ("target_session_attrs", "krbsrvname")} | {"sslmode": "ssl"}


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """One database of one server, or of several that stand in for each other. `str` and `repr` show no password.

    Attributes:
        parameters: libpq's own names and values, as far as they were given: the rest comes from `PG*` variables,
            `.pgpass` and service files when a connection is made.
    """

    parameters: Mapping[str, str]

    @classmethod
    def parse(cls, text: str, setting: str = "SEC_DATABASE_URL") -> Self:
        """Read an address.

        Args:
            text: A URL (`postgresql://`, `postgres://`, also with SQLAlchemy's `+driver`), or libpq's `key=value` form.
            setting: Where it was found, for messages.

        Raises:
            ConfigError: It is no such address. The message quotes nothing of it but an unknown option's name.
        """
        text, scheme = text.strip(), _SCHEME.match(text.strip())
        if scheme is None and ("://" in text or "=" not in text):
            raise ConfigError(
                f"{setting} is no PostgreSQL address.",
                next_step="Write it as postgresql://user:password@host:5432/name.",
            )
        escape = "Percent-encode special characters in user and password (@ is %40, / is %2F, : is %3A, % is %25)."
        try:
            found = conninfo.conninfo_to_dict(text if scheme is None else f"postgresql://{text[scheme.end() :]}")
        except (psycopg.ProgrammingError, UnicodeError) as error:
            if option := _UNKNOWN_OPTION.search(str(error)):
                raise ConfigError(
                    f"{setting} has an option that PostgreSQL's client library does not know: {option[1]}.",
                    next_step="Remove it from the address.",
                ) from None
            # The driver's message may quote the password.
            raise ConfigError(f"{setting} is malformed.", next_step=escape) from None
        given = {key: str(value) for key, value in found.items() if value not in {None, ""}}
        ports = given.get("port", "").split(",")
        if "@" in given.get("host", "") + given.get("dbname", "") or not all(re.fullmatch(r"\d*", p) for p in ports):
            raise ConfigError(f"{setting} is malformed.", next_step=escape)
        return cls(given)

    def at(self, name: str) -> Self:
        """Another database of the same server."""
        return self.changed(dbname=name)

    def changed(self, **parameters: str) -> Self:
        """The same with some of libpq's parameters set."""
        return replace(self, parameters={**self.parameters, **parameters})

    def __str__(self) -> str:
        known = self.parameters
        if "service" in known:
            return f"service {known['service']}"
        host, port = known.get("host") or known.get("hostaddr") or os.environ.get("PGHOST", ""), known.get("port")
        return f"{known.get('dbname', '')} at {host}:{port or '5432'}".strip()

    def __repr__(self) -> str:
        return f"Address({self})"

    @property
    def url(self) -> str:
        """The address as a URL, all of it in libpq's parameters, with its password: never for a log."""
        return f"postgresql://?{urlencode(self.parameters, quote_via=quote)}"

    @property
    def session(self) -> dict[str, str]:
        """Parameters of a session of ours: what was given, and bounds on waiting."""
        return {**_USUAL, **self.parameters}

    def resolved(self) -> Self:
        """The address with what libpq adds to it: `PG*` variables, service file, password file, and its defaults.

        Other drivers read these in ways of their own, or have other defaults. Nothing is sent.
        """
        pending = pq.PGconn.connect_start(conninfo.make_conninfo("", **self.parameters).encode())
        try:
            found = {each.keyword.decode(): each.val.decode() for each in pending.info if each.val}
            if not found.keys() & {"host", "hostaddr"} and pending.host:
                found["host"] = pending.host.decode()
            if pending.password:
                found["password"] = pending.password.decode()
        finally:
            pending.finish()
        return type(self)({name: found[name] for name in _ADDED if name in found} | dict(self.parameters))

    @property
    def conninfo(self) -> str:
        """A session of ours in libpq's `key=value` form, with the password, for ADBC."""
        return conninfo.make_conninfo("", **self.resolved().session)

    def connect(self, *, autocommit: bool = False) -> psycopg.Connection[tuple[object, ...]]:
        """Open a session that speaks UTC.

        Raises:
            DatabaseUnavailable: The server can't be reached, or lets nobody in; the message has no password.
        """
        try:
            connection = psycopg.connect(**self.session, autocommit=True)  # type: ignore[arg-type] # libpq's own names
            # Not as an option of the connection: poolers refuse or drop those.
            connection.execute("set timezone to 'UTC'")
            connection.autocommit = autocommit
        except psycopg.Error as error:
            raise self.unreachable(error) from None
        return connection

    def unreachable(self, error: object) -> DatabaseUnavailable:
        """What a driver says when a connection can't be made, in one line without the password."""
        password = self.parameters.get("password")
        said = str(error).replace(password, "***") if password else error
        return DatabaseUnavailable(f"PostgreSQL ({self}) can't be reached: {one_line(said)}.")

    def asyncpg(self) -> tuple[str, dict[str, str]]:
        """The same database for SQLAlchemy over asyncpg, which is how Prefect connects.

        Session options of the address (`options=-c ...`) are left out: asyncpg has no way to give them.

        Returns:
            The URL, with its password, and the environment variables that go with it.
        """
        from sqlalchemy import URL  # noqa: PLC0415 - costs 100 ms

        known = self.resolved().parameters
        query = {other: known[name] for name, other in _ASYNCPG_OPTIONS.items() if name in known}
        by_name = known.get("sslmode") == "verify-full"
        host, port = known.get("host") if by_name else known.get("hostaddr") or known.get("host"), known.get("port")
        if host:
            ports = (port or "5432").split(",")
            every = ports * len(host.split(",")) if len(ports) == 1 else ports
            port = ",".join(each or "5432" for each in every)
        query |= {name: value for name, value in (("host", host), ("port", port)) if value}
        variables = {variable: known[name] for name, variable in _ASYNCPG_VARIABLES.items() if name in known}
        if variables.get("PGSSLROOTCERT") == "system":
            variables["PGSSLROOTCERT"] = ssl.get_default_verify_paths().cafile or ""
        url = URL.create(
            "postgresql+asyncpg",
            username=known.get("user"),
            password=known.get("password"),
            database=known.get("dbname"),
            query=query,
        )
        return url.render_as_string(hide_password=False), variables
