"""Whether a server, a database and a role will do: version, rights, a session that stays one session, and time zones.

Python, Polars and PostgreSQL have a time zone database each, which must agree about Chile's wall clock.
"""

from collections import Counter
from datetime import datetime
from typing import Any, Final

import psycopg
import sqlalchemy
from sqlalchemy.engine import Engine

from sec_core.db.address import Address
from sec_core.db.problems import refusal
from sec_core.errors import ConfigError, DatabaseError
from sec_core.hours import CHILE, HOUR

OLDEST_SERVER: Final = 15
_FACTS: Final = """
    select current_setting('server_version_num')::int, pg_backend_pid(), current_setting('transaction_read_only')::bool,
        current_user::text, current_database()::text, current_schema()::text, current_setting('search_path'),
        to_regnamespace('public') is not null and has_schema_privilege('public', 'create'),
        (select relowner::regrole::text from pg_class
            where oid = to_regclass('public.capturas') and not pg_has_role(relowner, 'usage'))
"""
_ROUNDS: Final = 4
_POSTGRES: Final = sqlalchemy.text("""
    select array_agg(extract(epoch from (h at time zone :zone) - (h at time zone 'UTC'))::int order by h)
    from generate_series(cast(:first as timestamptz), cast(:last as timestamptz), interval '1 hour') h
""")
_RENEW: Final = {
    "Python": "Renew it: pip install --upgrade tzdata.",
    "Polars": "Renew it: pip install --upgrade polars.",
    "PostgreSQL": "Renew PostgreSQL, or the package tzdata of its machine, and start it again.",
}


def check_server(engine: Engine, address: Address) -> None:
    """Look at a server once.

    Args:
        engine: Opens a session there.
        address: Opens further ones, behind a pooler.

    Raises:
        DatabaseUnavailable: It can't be reached.
        DatabaseError: It won't do; the message says why and what to change.
    """
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        try:
            facts = driver.execute(_FACTS).fetchone()
        except psycopg.Error as error:
            raise refusal(error) from error
    version, process, read_only, role, name, schema, search_path, may_create, owner = facts
    if version // 10_000 < OLDEST_SERVER:
        raise DatabaseError(
            f"PostgreSQL {version // 10_000} is too old.", next_step=f"Use version {OLDEST_SERVER} or later."
        )
    # A pooler tells each client a process number of its own making.
    if process != driver.info.backend_pid and _sessions_are_shared(address):
        raise DatabaseError(
            f"A connection pooler in transaction mode stands before {address}: it loses locks and session settings.",
            next_step="Name a direct connection in SEC_DATABASE_URL, or the pooler's port for session mode.",
        )
    if read_only:
        raise DatabaseError(
            f"The database {name} is read-only for {role}: a standby, or default_transaction_read_only is on.",
            next_step="Name the primary server and a role that may write in SEC_DATABASE_URL.",
        )
    if schema != "public" and may_create:
        raise DatabaseError(
            f"The search_path of {role} ({search_path}) does not begin with public, where the tables belong.",
            next_step=f'Take it out of SEC_DATABASE_URL, or run: alter role "{role}" set search_path = public',
        )
    if owner is not None:
        raise DatabaseError(
            f"The tables in {name} belong to {owner}, and {role} is not that role.",
            next_step=f"Name {owner} in SEC_DATABASE_URL, or use a database of your own.",
        )
    if not may_create:
        raise DatabaseError(
            f"{role} may not make tables in schema public of {name}.",
            next_step=f'Let its owner run: grant usage, create on schema public to "{role}"',
        )


def _sessions_are_shared(address: Address) -> bool:
    """Whether one client's statements move between sessions of the server, or two clients meet in one."""
    with address.connect(autocommit=True) as first, address.connect(autocommit=True) as second:
        mine: set[object] = set()
        theirs: set[object] = set()
        for _ in range(_ROUNDS):
            for connection, seen in ((first, mine), (second, theirs)):
                row = connection.execute("select pg_backend_pid()").fetchone()
                seen.add(row[0] if row else None)
        return bool(mine & theirs) or len(mine) > 1 or len(theirs) > 1


def check_zones(engine: Engine, start: datetime, end: datetime) -> None:
    """Compare the three for the hours from `start` up to `end`; takes 2 ms for a month.

    Raises:
        ConfigError: They differ; the message names the one that is old and how to renew it.
    """
    hours = [start + HOUR * step for step in range(int((end - start) / HOUR))]
    if not hours:
        return
    told = {"Python": _python(hours), "Polars": _polars(hours), "PostgreSQL": _postgres(engine, hours)}
    if len(set(told.values())) == 1:
        return
    shared, count = Counter(told.values()).most_common(1)[0]
    differing = next(index for index, offsets in enumerate(zip(*told.values(), strict=True)) if len(set(offsets)) > 1)
    walls = ", ".join(f"{name} {hours[differing]:%Y-%m-%d %H}h UTC{told[name][differing] / 3600:+g}" for name in told)
    old = [name for name, offsets in told.items() if offsets != shared] if count > 1 else list(told)
    raise ConfigError(
        f"The time zone data of {' and '.join(old)} is old, so hours would be misplaced ({walls}).",
        next_step=" ".join(_RENEW[name] for name in old) + " Then run `sec ledger rebuild` and `sec reprocess`.",
    )


def _python(hours: list[datetime]) -> tuple[int, ...]:
    return tuple(int((hour.astimezone(CHILE).utcoffset() or 0 * HOUR).total_seconds()) for hour in hours)


def _polars(hours: list[datetime]) -> tuple[int, ...]:
    import polars as pl  # noqa: PLC0415 - not every command moves frames

    wall = pl.datetime_range(hours[0], hours[-1], "1h", time_zone="UTC", eager=True).dt.convert_time_zone(CHILE.key)
    return tuple((wall.dt.base_utc_offset() + wall.dt.dst_offset()).dt.total_seconds().to_list())


def _postgres(engine: Engine, hours: list[datetime]) -> tuple[int, ...]:
    values = {"zone": CHILE.key, "first": hours[0], "last": hours[-1]}
    with engine.connect() as connection:
        return tuple(connection.execute(_POSTGRES, values).scalar_one())
