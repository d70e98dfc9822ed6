"""Keys of PostgreSQL's advisory locks, all in one place: two locks must never share a key.

A lock is taken with one key (`pg_advisory_lock(key)`), or, in the classes of `LockClass`, with a class and a number
within it (`pg_advisory_lock(class, number)`); PostgreSQL keeps both kinds apart.
"""

from __future__ import annotations

from enum import IntEnum


class Lock(IntEnum):
    """Locks of one key."""

    MIGRATION = 7_301_946_022
    """Whoever brings the schema to its newest version."""

    EVENTS = 7_301_946_023
    """Whoever derives events."""

    ALL_MONTHS = 7_301_946_024
    """Whoever rewrites Silver as a whole; shared by those who load a month."""

    PREFECT_START = 7_301_946_025
    """A Prefect server that starts on this database."""


class LockClass(IntEnum):
    """First keys of locks of two keys."""

    JOURNAL_MONTH = 0x5EC1
    """Whoever adds to a month's journal; by `YYYYMM`."""

    REQUEST_SLOT = 0x5EC2
    """A request in flight; by the slot's number."""

    SILVER_MONTH = 0x5EC3
    """Whoever loads a month; by `YYYYMM`."""
