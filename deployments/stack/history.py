"""Where Prefect keeps its tables: a database or schema that belongs to this installation alone.

An installation is known by its own database: the server's identifier and the database's number in it. Whatever holds
Prefect's tables carries a mark, the table `sec_prefect.mark`, that says in which schema they are and for which
installation. Nothing else is ever written to, and on a server that is ours alone (the embedded one) a database of the
version before, which was called `prefect`, is taken on by itself.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from loguru import logger
from psycopg import sql
from sqlalchemy.engine import URL

from sec_core.errors import ConfigError, DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deployments.stack.settings import StackSettings
    from sec_core.config import Settings

IN_OUR_DATABASE = "schema"
SCHEMA = "prefect"
"""Prefect's tables inside a database that holds other tables of ours."""

_OLD_NAME = "prefect"
_CHOICES = (
    f"Set SEC_PREFECT_DATABASE_URL to `{IN_OUR_DATABASE}`, for a schema of our own database, "
    "or to the address of an empty database."
)
_OUR_FLOWS = {
    "backfill", "capture", "gold", "health", "load", "maintenance", "monitor", "monthly-sync", "publish",
    "regional-customers", "report", "reprocess", "rerun-month", "seia",
}  # fmt: skip
"""Flows of the version before, by which its database is recognised."""

Connection = psycopg.Connection[tuple[Any, ...]]


ADDRESS_VARIABLE = "SEC_PREFECT_ADDRESS"
"""Tells the server's process the same address in libpq's form."""


def installation_id(database_url: str) -> str:
    """The installation whose database this is, as 12 hexadecimal digits.

    Raises:
        DatabaseUnavailable: The database can't be reached.
    """
    with _connect(database_url) as connection:
        return _id_of(connection)


def prefect_history(settings: Settings, options: StackSettings, database_url: str) -> dict[str, str]:
    """Find or make the place of Prefect's tables.

    Args:
        settings: Say whether the server is the embedded one.
        options: `prefect_database_url`.
        database_url: Our own database.

    Returns:
        Environment of a server that keeps its tables there; it holds the password.

    Raises:
        ConfigError: There is no place that we may use; the message names the choices.
        DatabaseUnavailable: A database can't be reached.
    """
    chosen = options.prefect_database_url.get_secret_value() if options.prefect_database_url else None
    with _connect(database_url) as ours:
        owner = _id_of(ours)
        if chosen is None:
            name = f"{ours.info.dbname}_prefect"
            made = _make_database(ours, name, take_on_old=settings.database_url is None)
            target = psycopg.conninfo.make_conninfo(database_url, dbname=name)
        else:
            made, target = False, database_url if chosen == IN_OUR_DATABASE else chosen
    with _connect(target) as connection:
        alone = settings.database_url is None and chosen is None
        schema = _claim(connection, owner, ours=_id_of(connection) == owner, certain=made or alone)
        return _environment(connection, target, schema)


def adopt(database_url: str) -> str:
    """Take on the database `prefect` of the version before: rename it after ours, and mark it.

    Returns:
        Its new name.

    Raises:
        ConfigError: There is none, it holds flows that are not ours, or it is in use.
    """
    with _connect(database_url) as ours:
        owner, name = _id_of(ours), f"{ours.info.dbname}_prefect"
        if not _exists(ours, _OLD_NAME):
            raise ConfigError(
                f"There is no database {_OLD_NAME} on this server.", next_step="There is nothing to adopt."
            )
        old = psycopg.conninfo.make_conninfo(database_url, dbname=_OLD_NAME)
        with _connect(old) as connection:
            others = _flows(connection) - _OUR_FLOWS
            if _marked(connection) or others:
                shown = ", ".join(sorted(others)[:5])
                raise ConfigError(
                    f"The database {_OLD_NAME} is not only ours{f' (flows: {shown})' if shown else ''}.",
                    next_step="It stays as it is; `sec up` makes one of its own.",
                )
        try:
            if _exists(ours, name):
                with _connect(psycopg.conninfo.make_conninfo(database_url, dbname=name)) as newer:
                    if _schema_of(newer, owner) is None:
                        raise _foreign(name)
                _rename(ours, name, f"{name}_replaced")
            _rename(ours, _OLD_NAME, name)
        except (
            psycopg.errors.ObjectInUse,
            psycopg.errors.DuplicateDatabase,
            psycopg.errors.InsufficientPrivilege,
        ) as error:
            raise ConfigError(
                f"The database can't be renamed: {_reason(error)}.", next_step="Stop what uses it, then run this again."
            ) from error
        with _connect(psycopg.conninfo.make_conninfo(database_url, dbname=name)) as connection:
            _mark(connection, "public", owner)
    return name


def _make_database(ours: Connection, name: str, *, take_on_old: bool) -> bool:
    """Make the database `name` unless it is there; returns whether this call made it."""
    if _exists(ours, name):
        return False
    if _exists(ours, _OLD_NAME):
        if take_on_old:
            ours.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (_OLD_NAME,))
            _rename(ours, _OLD_NAME, name)
            return True
        logger.bind(stage="stack").warning(
            "Making the database {name} for Prefect. If the database {old} holds this installation's history, "
            "run `sec down`, `sec adopt-prefect` and `sec up`",
            name=name, old=_OLD_NAME,
        )  # fmt: skip
    try:
        ours.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
        return False  # another process was quicker
    except psycopg.errors.InsufficientPrivilege:
        raise ConfigError(f"This role may not make the database {name} for Prefect.", next_step=_CHOICES) from None
    return True


def _claim(connection: Connection, owner: str, *, ours: bool, certain: bool) -> str:
    """The schema for the tables of installation `owner` in this database, marked as such.

    Args:
        connection: The database.
        owner: The installation.
        ours: Whether the database is the installation's own, with its other tables.
        certain: Whether it is known to be ours, mark or not.

    Raises:
        ConfigError: Somebody else's tables are here.
    """
    name = connection.info.dbname
    with connection.transaction():
        # Two that start at once must not both find it empty.
        connection.execute("select pg_advisory_xact_lock(hashtext('sec_prefect.mark'))")
        if (known := _schema_of(connection, owner)) is not None:
            return known
        marked = _marked(connection)
        if ours or marked:
            # Beside other tables of ours, or of another installation that shares the database.
            schema = SCHEMA if ours else f"{SCHEMA}_{owner}"
            if connection.execute("select from pg_namespace where nspname = %s", (schema,)).fetchone():
                raise _foreign(f"{name}, schema {schema}")
        elif certain or _is_empty(connection):
            schema = "public"
        else:
            raise _foreign(name)
        try:
            connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(schema)))
            _mark(connection, schema, owner)
        except psycopg.errors.InsufficientPrivilege as error:
            raise ConfigError(f"This role may not write to {name}: {_reason(error)}.", next_step=_CHOICES) from error
    return schema


def _foreign(what: str) -> ConfigError:
    return ConfigError(
        f"The database {what} was not made by this installation; nothing in it was touched.", next_step=_CHOICES
    )


def _mark(connection: Connection, schema: str, owner: str) -> None:
    connection.execute("create schema if not exists sec_prefect")
    connection.execute(
        "create table if not exists sec_prefect.mark (installation text primary key, schema text not null unique)"
    )
    connection.execute("insert into sec_prefect.mark values (%s, %s)", (owner, schema))


def _marked(connection: Connection) -> bool:
    return connection.execute("select to_regclass('sec_prefect.mark')").fetchone() != (None,)


def _schema_of(connection: Connection, owner: str) -> str | None:
    if not _marked(connection):
        return None
    found = connection.execute("select schema from sec_prefect.mark where installation = %s", (owner,)).fetchone()
    return str(found[0]) if found else None


def _is_empty(connection: Connection) -> bool:
    """Whether a database holds no table of anybody; those of extensions don't count."""
    query = """
        select from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'v', 'm', 'f') and nspname !~ '^(pg_|information_schema$)'
            and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e') limit 1
    """
    return connection.execute(query).fetchone() is None


def _flows(connection: Connection) -> set[str]:
    if connection.execute("select to_regclass('public.flow')").fetchone() == (None,):
        raise ConfigError(f"The database {_OLD_NAME} is no Prefect database.", next_step="It stays as it is.")
    return {str(name) for (name,) in connection.execute("select name from public.flow")}


def _environment(connection: Connection, target: str, schema: str) -> dict[str, str]:
    """What Prefect needs, from what libpq found out: service files, `.pgpass` and variables are resolved by now."""
    info = connection.info
    parameters = info.get_parameters()
    socket = info.host.startswith(("/", "@"))
    query = {"host": f"{info.host}:{info.port}"} if socket else {}
    if connection.pgconn.ssl_in_use:
        query["ssl"] = str(psycopg.conninfo.conninfo_to_dict(target).get("sslmode") or "require")
    url = URL.create(
        "postgresql+asyncpg",
        username=info.user,
        password=info.password or None,
        host=None if socket else info.host,
        port=None if socket else info.port,
        database=info.dbname,
        query=query,
    )
    environment = {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": url.render_as_string(hide_password=False),
        ADDRESS_VARIABLE: psycopg.conninfo.make_conninfo("", **parameters, password=info.password or None),
        **{variable: parameters[key] for key, variable in _TLS_FILES.items() if key in parameters},
    }
    if schema != "public":
        environment["PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_SEARCH_PATH"] = _search_path(connection, schema)
    return environment


def _search_path(connection: Connection, schema: str) -> str:
    """The schema, and that of the extension pg_trgm, which Prefect's indexes need."""
    found = connection.execute(
        "select nspname from pg_extension e join pg_namespace n on n.oid = extnamespace where extname = 'pg_trgm'"
    ).fetchone()
    if found == ("public",):
        raise ConfigError(
            f"The extension pg_trgm is in the schema public of {connection.info.dbname}, beside other tables.",
            next_step="Set SEC_PREFECT_DATABASE_URL to the address of an empty database.",
        )
    return schema if found is None or found == (schema,) else f"{schema},{found[0]}"


_TLS_FILES = {"sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY"}


def _id_of(connection: Connection) -> str:
    query = "select system_identifier, oid from pg_control_system(), pg_database where datname = current_database()"
    found = connection.execute(query).fetchone()
    return hashlib.sha256(repr(found).encode()).hexdigest()[:12]


def _exists(connection: Connection, name: str) -> bool:
    return connection.execute("select from pg_database where datname = %s", (name,)).fetchone() is not None


def _rename(connection: Connection, name: str, new: str) -> None:
    connection.execute(sql.SQL("alter database {} rename to {}").format(sql.Identifier(name), sql.Identifier(new)))


@contextmanager
def _connect(url: str) -> Iterator[Connection]:
    try:
        connection = psycopg.connect(url, autocommit=True, connect_timeout=10)
    except psycopg.ProgrammingError:
        raise ConfigError("A database address is malformed.", next_step="Check SEC_PREFECT_DATABASE_URL.") from None
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(f"PostgreSQL can't be reached: {_reason(error)}.") from error
    with connection:
        yield connection


def _reason(error: psycopg.Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
