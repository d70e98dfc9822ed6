"""Idle ADBC connections, kept for the next use: a new one costs 60 to 100 ms, most of it to read the catalog."""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adbc_driver_postgresql.dbapi import Connection


MOST = 4
"""As many wait: one for each month that is loaded side by side, and one to spare."""


class IdleConnections:
    """Room for connections between two uses; safe with threads, and never shared with a forked process.

    While one waits it is in no transaction, so it holds no lock and no snapshot.
    """

    def __init__(self) -> None:
        self._held: list[Connection] = []
        self._lock = threading.Lock()
        self._pid = os.getpid()
        weakref.finalize(self, _close_all, self._held, self._pid)

    def take(self) -> Connection | None:
        """A waiting connection that is alive, autocommit off again; None when there is none."""
        from adbc_driver_postgresql import dbapi  # noqa: PLC0415 - costs 100 ms, and few commands move frames

        if self._pid != os.getpid():
            return None
        with self._lock:
            connection = self._held.pop() if self._held else None
        if connection is not None:
            try:
                with connection.cursor() as cursor:
                    cursor.execute("select 1")
                connection.adbc_connection.set_autocommit(enabled=False)
            except dbapi.Error:
                with suppress(dbapi.Error):
                    connection.close()
                return None
        return connection

    def keep(self, connection: Connection) -> None:
        """Commit, then keep the connection, or close it where enough are waiting.

        Raises:
            adbc_driver_manager.Error: The commit failed.
        """
        connection.adbc_connection.set_autocommit(enabled=True)  # ends the transaction, by COMMIT
        with self._lock:
            if len(self._held) < MOST and self._pid == os.getpid():
                self._held.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close what waits; the object stays usable."""
        with self._lock:
            _close_all(self._held, self._pid)


def _close_all(held: list[Connection], pid: int) -> None:
    if pid == os.getpid():
        while held:
            held.pop().close()
