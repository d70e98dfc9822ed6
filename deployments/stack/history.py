"""Where Prefect keeps its tables: a database or schema that belongs to this installation alone.

An installation is known by its own database: the server's identifier and the database's number in it. Whatever holds
Prefect's tables carries a mark, the table `sec_prefect.mark`, that says in which schema they are and for which
installation; beside it `sec_prefect.told` keeps what notices told. Nothing else is ever written to. On the embedded
server, which is ours alone, the database `prefect` of the version before is taken on by itself.
"""

import hashlib
from collections.abc import Callable
from typing import LiteralString

import psycopg
from loguru import logger
from psycopg import errors, sql

from deployments.stack.settings import StackSettings
from sec_core.config import Settings
from sec_core.db.address import Address
from sec_core.db.locks import Lock
from sec_core.db.problems import one_line
from sec_core.errors import ConfigError

IN_OUR_DATABASE = "schema"
# Prefect's tables inside a database that holds other tables of ours.
SCHEMA = "prefect"

# Gives the server's process the same address in libpq's form.
ADDRESS_VARIABLE = "SEC_PREFECT_ADDRESS"

_SETTING = "SEC_PREFECT_DATABASE_URL"
_CHOICES = f"Set {_SETTING} to `schema`, for a schema of our own database, or to the address of an empty database."
_OLD_NAME = "prefect"
# Flows of the version before, by which its database is recognised.
_OLD_FLOWS = {
    "backfill", "capture", "gold", "health", "load", "maintenance", "monitor", "monthly-sync", "publish",
    "regional-customers", "report", "reprocess", "rerun-month", "seia",
}  # fmt: skip

Connection = psycopg.Connection[tuple[object, ...]]


def installation_id(database: Address) -> str:
    """The installation whose database this is, as 12 hexadecimal digits.

    Raises:
        DatabaseUnavailable: The database can't be reached.
    """
    with database.connect() as connection:
        return _id_of(connection)


def prefect_history(settings: Settings, options: StackSettings, database: Address) -> dict[str, str]:
    """Find or make the place of Prefect's tables, beside or in our own database or where `options` say.

    Returns:
        Environment of a server that keeps its tables there; it holds the password.

    Raises:
        ConfigError: There is no place that we may use; the message names the choices.
        DatabaseUnavailable: A database can't be reached.
    """
    chosen = options.prefect_database_url.get_secret_value() if options.prefect_database_url else None
    alone = settings.database_url is None and chosen is None
    with database.connect(autocommit=True) as ours:
        owner = _id_of(ours)
        if chosen is None:
            place, made = _beside(ours, database, take_on_old=alone)
        else:
            place, made = (database if chosen == IN_OUR_DATABASE else Address.parse(chosen, _SETTING)), False
    with place.connect(autocommit=True) as connection:
        schema = _claim(connection, owner, certain=made or alone)
        url, environment = place.asyncpg()
        environment |= {"PREFECT_SERVER_DATABASE_CONNECTION_URL": url, ADDRESS_VARIABLE: place.url}
        if schema != "public":
            path = _search_path(connection, schema)
            environment["PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_SEARCH_PATH"] = path
    return environment


def keep_told(place: Address, owner: str, work: Callable[[str], str]) -> None:
    """What notices told of an installation, beside Prefect's tables: `work` gets it and returns what is to be kept.

    It is JSON; empty if nothing was kept yet. Nothing is done while another process is in this function: servers of
    one installation take turns.

    Raises:
        DatabaseUnavailable: The database can't be reached.
        psycopg.Error: It refuses something.
    """
    with place.connect() as connection:
        connection.execute("create schema if not exists sec_prefect")
        connection.execute("create table if not exists sec_prefect.told (installation text primary key, told text)")
        connection.execute("insert into sec_prefect.told values (%s, '') on conflict do nothing", (owner,))
        connection.commit()
        query = "select told from sec_prefect.told where installation = %s for update skip locked"
        if (told := _value(connection, query, owner)) is not None:
            update = "update sec_prefect.told set told = %s where installation = %s"
            connection.execute(update, (work(str(told)), owner))


def adopt(database: Address) -> str:
    """Take on the database `prefect` of the version before: rename it after ours, and mark it.

    A database that was made for Prefect since is kept, as `<name>_replaced`.

    Returns:
        Its new name.

    Raises:
        ConfigError: There is none, it holds flows that are not ours, or it is in use.
    """
    with database.connect(autocommit=True) as ours:
        owner, name = _id_of(ours), f"{ours.info.dbname}_prefect"
        if not _exists(ours, _OLD_NAME):
            raise ConfigError(f"This server has no database {_OLD_NAME}.", next_step="There is nothing to adopt.")
        with database.at(_OLD_NAME).connect(autocommit=True) as old:
            if _value(old, "select to_regclass('public.flow')") is None:
                raise ConfigError(f"The database {_OLD_NAME} is no Prefect database.", next_step="It stays as it is.")
            others = {str(name) for (name,) in old.execute("select name from public.flow")} - _OLD_FLOWS
            if others or _is_marked(old):
                raise ConfigError(
                    f"The database {_OLD_NAME} is not ours alone (other flows: {', '.join(sorted(others)[:5])}).",
                    next_step="It stays as it is; `sec up` makes another one.",
                )
        try:
            if _exists(ours, name):
                with database.at(name).connect(autocommit=True) as newer:
                    if _schema_of(newer, owner) is None:
                        raise _foreign(name)
                _rename(ours, name, f"{name}_replaced")
            _rename(ours, _OLD_NAME, name)
        except (errors.ObjectInUse, errors.DuplicateDatabase, errors.InsufficientPrivilege) as error:
            raise ConfigError(
                f"The database can't be renamed: {one_line(error)}.",
                next_step="Stop what uses it, then run this again.",
            ) from None
    with database.at(name).connect(autocommit=True) as connection:
        _mark(connection, "public", owner)
    return name


def _beside(ours: Connection, database: Address, *, take_on_old: bool) -> tuple[Address, bool]:
    """Prefect's database beside ours, made if it is missing; and whether this call made it."""
    name = f"{ours.info.dbname}_prefect"
    place = database.at(name)
    if _exists(ours, name):
        return place, False
    if _exists(ours, _OLD_NAME):
        if take_on_old:
            ours.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (_OLD_NAME,))
            _rename(ours, _OLD_NAME, name)
            return place, True
        logger.bind(stage="stack").warning(
            "Making the database {name} for Prefect. If the database prefect holds this installation's history, "
            "run `sec down`, `sec adopt-prefect` and `sec up`",
            name=name,
        )
    try:
        ours.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    except (errors.DuplicateDatabase, errors.UniqueViolation):
        return place, False  # another process was quicker
    except errors.InsufficientPrivilege:
        raise ConfigError(f"This role may not make the database {name} for Prefect.", next_step=_CHOICES) from None
    return place, True


def _claim(connection: Connection, owner: str, *, certain: bool) -> str:
    """The schema for the tables of installation `owner` in this database, which is marked as such.

    `certain` says that the database is known to be for these tables, mark or not.

    Raises:
        ConfigError: Somebody else's tables are here, or the role may not write.
    """
    name, inside = connection.info.dbname, _id_of(connection) == owner
    try:
        with connection.transaction():
            # Two that start at once must not both find it empty.
            connection.execute("select pg_advisory_xact_lock(%s)", (int(Lock.PREFECT_MARK),))
            if (known := _schema_of(connection, owner)) is not None:
                return known
            if inside:
                schema = SCHEMA
            elif _is_marked(connection):  # another installation shares this database
                schema = f"{SCHEMA}_{owner}"
            elif certain or _is_empty(connection):
                schema = "public"
            else:
                raise _foreign(name)
            if schema != "public":
                if _value(connection, "select oid from pg_namespace where nspname = %s", schema) is not None:
                    raise _foreign(f"{name}, schema {schema},")
                connection.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
            _mark(connection, schema, owner)
    except errors.InsufficientPrivilege as error:
        raise ConfigError(f"This role may not write to {name}: {one_line(error)}.", next_step=_CHOICES) from None
    return schema


def _foreign(what: str) -> ConfigError:
    return ConfigError(
        f"The database {what} was not made by this installation; nothing in it was changed.", next_step=_CHOICES
    )


def _search_path(connection: Connection, schema: str) -> str:
    """The schema, and that of the extension pg_trgm, which Prefect's indexes need."""
    found = _value(
        connection,
        "select nspname from pg_extension e join pg_namespace n on n.oid = extnamespace where extname = 'pg_trgm'",
    )
    if found == "public":
        raise ConfigError(
            f"The extension pg_trgm is in the schema public of {connection.info.dbname}, beside other tables.",
            next_step=f"Set {_SETTING} to the address of an empty database.",
        )
    return schema if found in {None, schema} else f"{schema},{found}"


def _mark(connection: Connection, schema: str, owner: str) -> None:
    connection.execute("create schema if not exists sec_prefect")
    connection.execute(
        "create table if not exists sec_prefect.mark (installation text primary key, schema text not null unique)"
    )
    connection.execute("insert into sec_prefect.mark values (%s, %s)", (owner, schema))


def _is_marked(connection: Connection) -> bool:
    return _value(connection, "select to_regclass('sec_prefect.mark')") is not None


def _schema_of(connection: Connection, owner: str) -> str | None:
    query: LiteralString = "select schema from sec_prefect.mark where installation = %s"
    found = _value(connection, query, owner) if _is_marked(connection) else None
    return None if found is None else str(found)


def _is_empty(connection: Connection) -> bool:
    """Whether a database holds no table of anybody; those of extensions don't count."""
    query = """
        select 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'v', 'm', 'f') and nspname !~ '^(pg_|information_schema$)'
            and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e') limit 1
    """
    return _value(connection, query) is None


def _id_of(connection: Connection) -> str:
    query = "select system_identifier, oid from pg_control_system(), pg_database where datname = current_database()"
    return hashlib.sha256(repr(connection.execute(query).fetchone()).encode()).hexdigest()[:12]


def _exists(connection: Connection, name: str) -> bool:
    return _value(connection, "select oid from pg_database where datname = %s", name) is not None


def _value(connection: Connection, query: LiteralString, *values: str) -> object:
    """The first column of a statement's first row; None without one."""
    found = connection.execute(query, values).fetchone()
    return found and found[0]


def _rename(connection: Connection, name: str, new: str) -> None:
    connection.execute(sql.SQL("alter database {} rename to {}").format(sql.Identifier(name), sql.Identifier(new)))
