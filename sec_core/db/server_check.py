"""Whether a server, a database and a role will do: version, rights, and a session that stays one session."""

from typing import Any, Final

import psycopg

from sec_core.db.address import Address
from sec_core.db.problems import refusal
from sec_core.errors import DatabaseError

OLDEST_SERVER: Final = 15
_FACTS: Final = """
    select current_setting('server_version_num')::int, pg_backend_pid(), current_setting('transaction_read_only')::bool,
        current_user::text, current_database()::text, current_schema()::text, current_setting('search_path'),
        to_regnamespace('public') is not null and has_schema_privilege('public', 'create'),
        (select relowner::regrole::text from pg_class
            where oid = to_regclass('public.capturas') and not pg_has_role(relowner, 'usage'))
"""
_ROUNDS: Final = 4


def check_server(connection: psycopg.Connection[Any], address: Address) -> None:
    """Look at a server once.

    Args:
        connection: A session there.
        address: Opens further ones, behind a pooler.

    Raises:
        DatabaseUnavailable: It can't be reached.
        DatabaseError: It won't do; the message says why and what to change.
    """
    try:
        row = connection.execute(_FACTS).fetchone()
    except psycopg.Error as error:
        raise refusal(error) from error
    assert row is not None  # noqa: S101 - a select without a table has one row
    version, process, read_only, role, name, schema, search_path, may_create, owner = row
    if version // 10_000 < OLDEST_SERVER:
        raise DatabaseError(
            f"PostgreSQL {version // 10_000} is too old.", next_step=f"Use version {OLDEST_SERVER} or later."
        )
    # A pooler tells each client a process number of its own making.
    if process != connection.info.backend_pid and _sessions_are_shared(address):
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
