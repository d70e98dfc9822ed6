"""What the drivers say, in the project's errors: psycopg's and ADBC's, by SQLSTATE, in this one place."""

import tomllib
from importlib.resources import files

import psycopg
from sqlalchemy.exc import DBAPIError

from sec_core.errors import DatabaseError, DatabaseUnavailable

# Classes of connection failures and of a server that stops or ends sessions.
_LOST = ("08", "57")
_CANCELLED = "57014"
# By SQLSTATE.
_MENDED_BY_A_PERSON = tomllib.loads(files("sec_core.db").joinpath("problems.toml").read_text(encoding="utf-8"))
# How PostgreSQL says some of these in words.
_SAID = {"53100": "No space left on device", "53200": "out of memory"}


def problem(error: Exception) -> DatabaseError | None:
    """The project's error for a driver's error that is not the code's fault.

    Args:
        error: psycopg's or ADBC's, also inside SQLAlchemy's; or Polars' of rows that stream in, which has no SQLSTATE.

    Returns:
        DatabaseUnavailable for a lost connection, DatabaseError for what a person must mend; None for faults of the
        code, and for conflicts that the caller resolves.
    """
    original = error.orig if isinstance(error, DBAPIError) else error
    state: str | None = getattr(original, "sqlstate", None)
    # ADBC is not imported for its names: it costs 100 ms, and few commands move frames.
    lost = getattr(getattr(original, "status_code", None), "name", "") == "IO"
    if not hasattr(original, "sqlstate"):
        lost = "ERROR:" not in str(original)
        state = next((code for code, words in _SAID.items() if words in str(original)), None)
    if isinstance(original, psycopg.OperationalError | psycopg.InterfaceError):
        lost = state is None
    if state in _MENDED_BY_A_PERSON:
        known = _MENDED_BY_A_PERSON[state]
        return DatabaseError(f"{known['what']}: {one_line(original)}.", next_step=known["next_step"])
    if lost or ((state or "").startswith(_LOST) and state != _CANCELLED):
        return DatabaseUnavailable(f"The connection to PostgreSQL was lost: {one_line(original)}.")
    return None


def refusal(error: Exception) -> DatabaseError:
    """As `problem`, and DatabaseError for everything else."""
    return problem(error) or DatabaseError(f"PostgreSQL refused a statement: {one_line(error)}.")


def one_line(error: object) -> str:
    """The first line of a driver's message, without its full stop."""
    return str(error).strip().partition("\n")[0].rstrip(".") or "no reason was given"
