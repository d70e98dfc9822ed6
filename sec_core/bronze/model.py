"""The words of Bronze: shapes, states of an hour, captures and the outcome of asking for one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from sec_core.source.shapes import Shape


class HourState(StrEnum):
    """State of an hour in the ledger (column `estado`); an hour without a row is `PENDING`."""

    PENDING = "pending"
    CAPTURED = "captured"
    EMPTY = "empty"
    FAILED = "failed"
    QUARANTINED = "quarantined"


class Origin(StrEnum):
    """Where a body came from (column `origen`)."""

    SEC = "sec"
    LEGACY = "legacy"


@dataclass(frozen=True, slots=True)
class Capture:
    """One kept body that fits a known shape: a revision of its hour.

    Attributes:
        hour: The hour asked for, UTC instant of its beginning.
        captured_at: When the answer was received, UTC; identifies the revision within its hour.
        shape: Which of the two shapes it has.
        origin: Where it came from.
        key: Name of the body in the Bronze store.
        sha256: Hex digest of the body as received.
        rows: Number of rows in the body.
        customers: Sum of the valid customer counts in the body.
    """

    hour: datetime
    captured_at: datetime
    shape: Shape
    origin: Origin
    key: str
    sha256: str
    rows: int
    customers: int
