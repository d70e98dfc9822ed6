"""Time as an adapter: rules and capture take a clock, so that tests decide what time it is. And how it is told."""

import asyncio
from datetime import UTC, datetime
from importlib.resources import files
from typing import Protocol
from zoneinfo import TZPATH, ZoneInfo, reset_tzpath

# The project's own time zone data goes before the system's, which may be years old.
reset_tzpath([str(files("tzdata") / "zoneinfo"), *TZPATH])
CHILE = ZoneInfo("America/Santiago")


def in_chile(instant: datetime) -> str:
    """An instant as people read it: `2026-11-26 13:10 in Chile (16:10 UTC)`, with UTC's date where it is another."""
    wall, utc = instant.astimezone(CHILE), instant.astimezone(UTC)
    return f"{wall:%Y-%m-%d %H:%M} in Chile ({f'{utc:%Y-%m-%d} ' * (utc.date() != wall.date())}{utc:%H:%M} UTC)"


class Clock(Protocol):
    """Tells the time and waits."""

    def now(self) -> datetime:
        """The present instant, timezone-aware UTC."""

    async def sleep(self, seconds: float) -> None:
        """Wait without blocking the event loop."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The present instant, timezone-aware UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait without blocking the event loop."""
        await asyncio.sleep(seconds)
