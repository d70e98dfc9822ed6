"""Silver as one adapter: all its tables on one connection. SQL lives in the two classes below it, rules elsewhere."""

from __future__ import annotations

from sec_core.silver.event_tables import EventTables
from sec_core.silver.hour_tables import HourTables


class SilverStore(HourTables, EventTables):
    """Reads and writes Silver inside one transaction; the connection's owner commits."""
