"""What fixtures of several files share, and types for the annotations of tests."""

from datetime import datetime
from typing import Protocol

from sec_core.config import Settings

# Settings of a PostgreSQL whose data is thrown away: it need not survive a power cut.
UNSYNCED = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB"}


class MakeSettings(Protocol):
    """Makes settings for a test; any field can be given by name."""

    def __call__(self, **overrides: object) -> Settings: ...


class StandingClock:
    """A clock that stands still, and by which nobody waits."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"Nothing here waits ({seconds} s).")
