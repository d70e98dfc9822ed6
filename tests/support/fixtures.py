"""What fixtures of several files share, and types for the annotations of tests."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Protocol

from psycopg import sql
from psycopg.errors import DuplicateDatabase

from sec_core.blobs.place import Place
from sec_core.config import Settings
from sec_core.db.address import Address
from sec_core.db.database import Database

# Settings of a PostgreSQL whose data is thrown away: it need not survive a power cut.
UNSYNCED = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB"}


def other_database(address: Address, name: str) -> Address:
    """A further database of a server, made unless it is there."""
    with address.connect(autocommit=True) as connection, suppress(DuplicateDatabase):
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    return address.at(name)


def on_disk(place: Place) -> Path:
    """A place of the settings of a test that keeps its data in a folder of this machine."""
    assert isinstance(place, Path)
    return place


def change(database: Database, *statements: str) -> None:
    """Run statements in one transaction."""
    with database.engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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
