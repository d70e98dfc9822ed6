"""The errors of the pipeline: a small tree of transient and terminal kinds.

`transient` feeds retry conditions: a transient error may go away by itself, a terminal one needs a person or
new code. `code` is the stable name that logs, the ledger and the Prefect UI carry. Every message says what
happened; `next_step` says what to do about it.
"""

from datetime import datetime
from typing import ClassVar

from sec_core.clock import in_chile
from sec_core.text import for_line


class SecError(Exception):
    """Root of all errors that this project raises on purpose.

    Attributes:
        code: Stable, lower-case name of the kind, for logs and the ledger.
        transient: Whether the same call may succeed later without anybody's help.
        next_step: One sentence that says what to do next.
    """

    code: ClassVar[str] = "error"
    transient: ClassVar[bool] = False
    default_next_step: ClassVar[str] = ""

    def __init__(self, message: str, *, next_step: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = self.default_next_step if next_step is None else next_step

    def __str__(self) -> str:
        return for_line(f"{self.message} {self.next_step}".strip())


class ConfigError(SecError):
    """A setting is missing, malformed or contradicts another."""

    code = "config"
    default_next_step = "Correct the setting in the environment or in .env."


class InputError(SecError):
    """A value given by a person (a month, a file) can't be used."""

    code = "input"


def is_transient_status(status: int) -> bool:
    """Whether an HTTP status may go away by itself, for all clients: 408, 425, 429, and all from 500 up.

    Vendors use codes that no standard knows, such as 540 for a paused Supabase project.
    """
    return status in {408, 425, 429} or status >= 500


# --- the source ---------------------------------------------------------------------------------------------


class SourceError(SecError):
    """The SEC's API did not give a usable answer.

    Attributes:
        retry_after_s: Seconds that the source asked to wait; 0 when it named none.
    """

    code = "source"

    def __init__(self, message: str, *, next_step: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message, next_step=next_step)
        self.retry_after_s = retry_after_s or 0.0


class SourceUnavailable(SourceError):
    """No answer, or a server error: timeouts, dropped connections, 5xx."""

    code = "source_unavailable"
    transient = True
    default_next_step = "Run the same command again later; what was captured is kept."


class SourceRefused(SourceError):
    """The source answered 403 or 429: it wants fewer requests, or none from this address."""

    code = "source_refused"
    transient = True
    default_next_step = "Wait, then run the same command again; lower SEC_MAX_RATE if it happens again."


class CircuitOpen(SourceError):
    """Too many failures in a row: no request goes out until `reopens_at`.

    Attributes:
        reopens_at: UTC instant at which one probe may go out.
    """

    code = "circuit_open"
    transient = True

    def __init__(self, message: str, *, reopens_at: datetime) -> None:
        super().__init__(
            message, next_step=f"Run the same again after {in_chile(reopens_at)}: then one probe may go out."
        )
        self.reopens_at = reopens_at


class UnexpectedBody(SourceError):
    """An answer that is not JSON, is too large, or fits no known shape."""

    code = "unexpected_body"
    default_next_step = (
        "The body is in quarantine: see `sec status`, teach the code the new shape, then `sec reprocess`."
    )


# --- what we keep -------------------------------------------------------------------------------------------


class StorageError(SecError):
    """Bronze, the archive or Gold can't be read or written, or is not what it was."""

    code = "storage"
    default_next_step = "Check the disk under SEC_DATA_DIR."


class StorageUnavailable(StorageError):
    """The object store did not answer, or only with a server error."""

    code = "storage_unavailable"
    transient = True
    default_next_step = (
        "Check the network and AWS_ENDPOINT_URL, then run the same command again; what was captured is kept."
    )


class DatabaseError(SecError):
    """PostgreSQL refused something."""

    code = "database"


class DatabaseUnavailable(DatabaseError):
    """PostgreSQL can't be reached or did not start."""

    code = "database_unavailable"
    transient = True
    default_next_step = "Check SEC_DATABASE_URL, or run `sec doctor`; what was captured is kept."


class PublicationError(SecError):
    """Gold can't be published; what was published before stays whole."""

    code = "publication"


class PublicationUnavailable(PublicationError):
    """The place of publication did not answer, or only with a server error."""

    code = "publication_unavailable"
    transient = True
    default_next_step = "Run `sec publish` again later; what was published before stays whole."


class IncompleteError(SecError):
    """The work ended in good order but not all that was asked for could be done."""

    code = "incomplete"
