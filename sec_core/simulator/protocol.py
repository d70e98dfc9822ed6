"""uvicorn with two additions: a fault can find and cut a connection, and a thread can wait until it serves."""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from sec_core.simulator.app import Connection

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator


def protocol_for(connections: dict[tuple[str, int], Connection]) -> type[asyncio.Protocol]:
    """A protocol class that keeps `connections` up to date, by the client's address and port."""

    class FindableProtocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            connections[_peer(transport)] = Connection(transport, asyncio.Event())

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            connection = connections.pop(_peer(self.transport), None)
            if connection is not None:
                connection.lost.set()

    return FindableProtocol


class WaitableServer(uvicorn.Server):
    """A server that says when it serves, and for which a signal is a wish to end and no error.

    Attributes:
        serving: Set once connections are answered.
    """

    serving: threading.Event | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        if self.serving is not None:
            self.serving.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End on SIGINT and SIGTERM (in the main thread only), and leave the handlers as they were."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _peer(transport: asyncio.BaseTransport) -> tuple[str, int]:
    peer = cast("tuple[str, int] | None", transport.get_extra_info("peername"))
    return ("", 0) if peer is None else (peer[0], peer[1])
