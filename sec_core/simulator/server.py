"""The simulator as a server on loopback: in a thread for tests and the demo, blocking for `sec simulate`."""

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from sec_core.errors import InputError
from sec_core.simulator.app import BASE_PATH, Connection, SimulatorApp
from sec_core.simulator.options import SimulatorOptions

_STOP_TIMEOUT_S = 10


class Simulator(SimulatorApp):
    """A simulated SEC on a free loopback port, for the length of a `with` block.

    Args:
        options: Everything about it; `changes` replace single fields (`world=WorldOptions.tiny()`, `faults=...`).
        clock: Tells the source's time; wins over `options.now`.
        port: 0 takes a free one.
        changes: Fields of `SimulatorOptions`.

    Attributes:
        url: Base address of the API, with a slash at its end; known once it runs.
    """

    def __init__(
        self,
        options: SimulatorOptions | None = None,
        *,
        clock: Callable[[], datetime] | None = None,
        port: int = 0,
        **changes: object,
    ) -> None:
        super().__init__(SimulatorOptions.model_validate({**dict(options or SimulatorOptions()), **changes}), clock)
        self.url = ""
        self._port = port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start the server in a thread; requests wait until it answers."""
        self._thread = threading.Thread(target=self._bind(), name="sec-simulator", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop the server; what is still in flight is cut."""
        self.stopping = True
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_STOP_TIMEOUT_S)
        self.log.close()

    def serve(self, on_ready: Callable[[str], None]) -> None:
        """Serve until SIGINT or SIGTERM, in the main thread; `on_ready` gets `url` once the port is bound."""
        run = self._bind()
        on_ready(self.url)
        try:
            run()
        finally:
            self.stopping = True
            self.log.close()

    def _bind(self) -> Callable[[], None]:
        """Listen on the port; gives what serves it."""
        # With its protocol named, asyncio turns off the delay of small packets.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", self._port))
        except OSError as error:
            listening.close()
            raise InputError(
                f"Port {self._port} of 127.0.0.1 can't be used: {error.strerror}.",
                next_step="Choose another port, or 0 for a free one.",
            ) from None
        listening.listen(2048)
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}{BASE_PATH}"
        config = uvicorn.Config(
            self, http=_Protocol, ws="none", loop="asyncio", lifespan="off",
            log_config=None, log_level="critical", access_log=False, server_header=False, timeout_keep_alive=120,
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = _Server(config)
        return partial(self._server.run, sockets=[listening])


class _Protocol(H11Protocol):
    """Tells the application over which connection a request came."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {"connection": Connection(transport, asyncio.Event())}

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.app_state["connection"].lost.set()


class _Server(uvicorn.Server):
    """A server for which a signal is a wish to end and no error."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End on SIGINT and SIGTERM (in the main thread only), and leave the handlers as they were."""
        numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
