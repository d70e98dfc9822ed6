"""The simulator as a server on loopback: in a thread for tests and the demo, blocking for `sec simulate`."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from sec_core.errors import InputError
from sec_core.simulator.answers import WorldAnswers
from sec_core.simulator.app import BASE_PATH, Connection, SimulatorApp
from sec_core.simulator.log import Request, RequestLog
from sec_core.simulator.options import SimulatorOptions
from sec_core.simulator.replay import CapturedAnswers
from sec_core.simulator.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sec_core.simulator.faults import FaultOptions

_START_TIMEOUT_S = 30
_STOP_TIMEOUT_S = 10


class Simulator:
    """A simulated SEC on a free loopback port, for the length of a `with` block.

    Args:
        options: Everything about it; `changes` replace single fields (`world=WorldOptions.tiny()`, `faults=...`).
        clock: Tells the source's time; wins over `options.now`.
        host: A loopback address.
        port: 0 takes a free one.
        changes: Fields of `SimulatorOptions`.

    Attributes:
        url: Base address of the API, with a slash at its end; known once it runs.
        world: The world; None in a replay.
    """

    def __init__(
        self,
        options: SimulatorOptions | None = None,
        *,
        clock: Callable[[], datetime] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        **changes: object,
    ) -> None:
        given = {} if options is None else {name: getattr(options, name) for name in SimulatorOptions.model_fields}
        self.options = SimulatorOptions.model_validate({**given, **changes})
        self._clock = clock or (lambda: self.options.now or datetime.now(UTC))
        self._host, self._port = _loopback(host), port
        self._log = RequestLog(self.options.log_path)
        self.world: World | None = None
        self._answers: WorldAnswers | CapturedAnswers
        if self.options.captures is not None:
            self._answers = CapturedAnswers(self.options.captures)
        else:
            self.world = World(self.options.world)
            self._answers = WorldAnswers(self.world, self.options)
        self.app = SimulatorApp(self._answers, faults=self.options.faults, log=self._log, now=self.now)
        self.url = ""
        self._server: WaitableServer | None = None
        self._thread: threading.Thread | None = None

    def now(self) -> datetime:
        """The source's clock, UTC."""
        return self._clock().astimezone(UTC)

    @property
    def requests(self) -> list[Request]:
        """Every request so far, in the order of arrival."""
        return self._log.all()

    def hours_asked(self) -> list[datetime]:
        """Hours asked for with `GetPorFecha`, in order, repeated as often as they were asked for."""
        return self._log.hours_asked()

    def set_faults(self, faults: FaultOptions) -> None:
        """Let other things go wrong from the next request on; `FaultOptions()` heals everything."""
        self.app.set_faults(faults)

    def prepare(self, hours: Iterable[datetime]) -> int:
        """Render the bodies of hours before requests come in, for benchmarks; more than `cache_bytes` are not kept."""
        if not isinstance(self._answers, WorldAnswers):
            return 0
        return self._answers.prepare(hours, self.now())

    def __enter__(self) -> Self:
        """Start the server in a thread and wait until it answers."""
        listening = self._listen()
        server = self._make_server()
        server.serving = threading.Event()
        self._thread = threading.Thread(
            target=lambda: server.run(sockets=[listening]), name="sec-simulator", daemon=True
        )
        self._thread.start()
        if not server.serving.wait(_START_TIMEOUT_S):
            raise InputError("The simulator did not start.", next_step="See the messages above.")
        return self

    def __exit__(self, *error: object) -> None:
        """Stop the server; what is still in flight is cut."""
        self.app.stopping = True
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_STOP_TIMEOUT_S)
        self._log.close()

    def serve(self, on_ready: Callable[[str], None] | None = None) -> None:
        """Serve until SIGINT or SIGTERM, in the main thread; `on_ready` gets `url` once the port is bound."""
        listening = self._listen()
        server = self._make_server()
        if on_ready is not None:
            on_ready(self.url)
        try:
            server.run(sockets=[listening])
        finally:
            self.app.stopping = True
            self._log.close()

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # With its protocol named, asyncio turns off the delay of small packets.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((self._host, self._port))
        except OSError as error:
            listening.close()
            raise InputError(
                f"Port {self._port} of {self._host} can't be used: {error.strerror}.",
                next_step="Choose another port, or 0 for a free one.",
            ) from None
        listening.listen(2048)
        name = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"http://{name}:{listening.getsockname()[1]}{BASE_PATH}"
        return listening

    def _make_server(self) -> WaitableServer:
        config = uvicorn.Config(
            self.app,
            http=protocol_for(self.app.connections),
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            timeout_keep_alive=120,
            timeout_graceful_shutdown=1,
        )
        self._server = WaitableServer(config)
        return self._server


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


def _loopback(host: str) -> str:
    if host == "localhost":
        return "127.0.0.1"
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise InputError(f"{host} is not a loopback address.", next_step="The simulator serves 127.0.0.1 or ::1 only.")
    return host
