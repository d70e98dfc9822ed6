"""A connection pooler as small as it can be: several clients on few sessions of a server, as PgBouncer shares them."""

import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sec_core.db.address import Address

_ENCRYPTION = {80_877_103, 80_877_104}
_PARAMETERS = {"server_version": "17.0", "client_encoding": "UTF8", "standard_conforming_strings": "on"}


class Pooler:
    """Lends sessions, the one given back last first.

    Args:
        behind: The server.
        mode: `transaction` or `session`: how long a client keeps one.
    """

    def __init__(self, behind: Address, mode: str) -> None:
        self._mode = mode
        self._connections = [behind.connect(autocommit=True) for _ in range(5)]
        self._free = [socket.socket(fileno=os.dup(each.fileno())) for each in self._connections]
        for each in self._free:
            each.setblocking(True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening and end the sessions."""
        self._listener.close()
        for each in self._connections:
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        lent = None
        with suppress(OSError, EOFError), client:
            while struct.unpack("!ii", _exactly(client, 8))[1] in _ENCRYPTION:
                client.sendall(b"N")
            client.recv(10_000)  # who it is
            told = (_message(b"S", f"{name}\0{value}\0".encode()) for name, value in _PARAMETERS.items())
            # A process number of its own making, as PgBouncer's.
            key = _message(b"K", struct.pack("!ii", 7, 7))
            client.sendall(_message(b"R", bytes(4)) + b"".join(told) + key + _message(b"Z", b"I"))
            while True:
                kind, whole = _next(client)
                if kind == b"X":
                    break
                lent = lent or self._free.pop()
                lent.sendall(whole)
                while kind in {b"Q", b"S"}:
                    answer, whole = _next(lent)
                    client.sendall(whole)
                    if answer == b"Z":
                        if whole[-1:] == b"I" and self._mode == "transaction":
                            self._free.append(lent)
                            lent = None
                        break
        if lent is not None:
            self._free.append(lent)


@contextmanager
def pooled(behind: Address, mode: str) -> Iterator[Address]:
    """Address of a pooler before a server."""
    pooler = Pooler(behind, mode)
    try:
        yield behind.changed(host="127.0.0.1", port=str(pooler.port))
    finally:
        pooler.close()


def _exactly(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = source.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _next(source: socket.socket) -> tuple[bytes, bytes]:
    head = _exactly(source, 5)
    return head[:1], head + _exactly(source, struct.unpack("!i", head[1:])[0] - 4)


def _message(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("!i", len(content) + 4) + content
