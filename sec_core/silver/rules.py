"""The parameters of aggregated events, in one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sec_core.config import Settings


@dataclass(frozen=True, slots=True)
class EventRules:
    """When an aggregated event begins and ends.

    Attributes:
        threshold: Customers from which an hour of a comuna is a hit.
        close_hours: Captured hours below the threshold that close an event.
        max_gap_hours: Hours without data in a row that an event outlives.
    """

    threshold: int = 100
    close_hours: int = 2
    max_gap_hours: int = 6

    @classmethod
    def of(cls, settings: Settings) -> EventRules:
        """The rules that the settings ask for."""
        return cls(settings.event_threshold, settings.event_close_hours, settings.event_max_gap_hours)

    @property
    def reach(self) -> int:
        """Source hours over which two hits can still belong together.

        Between them lie at most `close_hours - 1` captured hours, so at most `close_hours` runs without data of at
        most `max_gap_hours` each: what lies further apart never is one event.
        """
        return self.close_hours * (self.max_gap_hours + 1)
