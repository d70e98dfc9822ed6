"""What the drivers say, in the project's errors: psycopg's and ADBC's, by SQLSTATE, in this one place."""

from __future__ import annotations

from collections.abc import Iterable

import psycopg
from sqlalchemy.exc import DBAPIError

from sec_core.errors import DatabaseError, DatabaseUnavailable

_LOST = ("08", "57")
"""Classes of connection failures and of a server that stops or ends sessions."""
_CANCELLED = "57014"
_MENDED_BY_A_PERSON = {
    "42501": (
        "PostgreSQL refuses this role",
        "Let the database's owner run this, or name the owner in SEC_DATABASE_URL.",
    ),
    "08P01": (
        "The server, or a pooler before it, refuses this session",
        "Name a direct connection in SEC_DATABASE_URL, or the pooler's port for session mode.",
    ),
    "25006": (
        "The database is read-only",
        "Name the primary server and a role that may write in SEC_DATABASE_URL.",
    ),
    "53100": ("PostgreSQL's disk is full", "Make room, then run the command again."),
    "53200": ("PostgreSQL has no memory left", "Stop other programs there, then run the command again."),
    "53300": ("PostgreSQL takes no more sessions", "Close other programs that use it, or raise its max_connections."),
}


def problem(error: Exception) -> DatabaseError | None:
    """The project's error for a driver's error that is not the code's fault.

    Args:
        error: psycopg's or ADBC's, also inside SQLAlchemy's; or the OSError as which Arrow reports a broken stream.

    Returns:
        DatabaseUnavailable for a lost connection, DatabaseError for what a person must mend; None for faults of the
        code, and for conflicts that the caller resolves.
    """
    original = error.orig if isinstance(error, DBAPIError) else error
    state: str | None = getattr(original, "sqlstate", None)
    # ADBC is not imported for its names: it costs 100 ms, and few commands move frames.
    lost = isinstance(original, OSError) or getattr(getattr(original, "status_code", None), "name", "") == "IO"
    if isinstance(original, psycopg.OperationalError | psycopg.InterfaceError):
        lost = state is None
    if state in _MENDED_BY_A_PERSON:
        what, next_step = _MENDED_BY_A_PERSON[state]
        return DatabaseError(f"{what}: {one_line(original)}.", next_step=next_step)
    if lost or ((state or "").startswith(_LOST) and state != _CANCELLED):
        return DatabaseUnavailable(f"The connection to PostgreSQL was lost: {one_line(original)}.")
    return None


def refusal(error: Exception) -> DatabaseError:
    """As `problem`, and DatabaseError for everything else."""
    return problem(error) or DatabaseError(f"PostgreSQL refused a statement: {one_line(error)}.")


def one_line(error: object, secrets: Iterable[str] = ()) -> str:
    """The first line of a driver's message, without its full stop and without secrets that it may quote."""
    text = str(error).strip().partition("\n")[0].rstrip(".")
    for secret in secrets:
        text = text.replace(secret, "***")
    return text or "no reason was given"
