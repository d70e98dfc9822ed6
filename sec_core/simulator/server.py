"""The simulator as a server on loopback: in a thread for tests and the demo, blocking for `sec simulate`."""

from __future__ import annotations

import ipaddress
import socket
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from sec_core.errors import InputError
from sec_core.simulator.answers import Answers, WorldAnswers
from sec_core.simulator.app import BASE_PATH, SimulatorApp
from sec_core.simulator.faults import FaultOptions
from sec_core.simulator.log import Request, RequestLog
from sec_core.simulator.options import Revisions, WorldOptions
from sec_core.simulator.replay import CapturedAnswers
from sec_core.simulator.truth import Truth
from sec_core.simulator.world import World
from sec_core.source.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from sec_core.simulator.protocol import WaitableServer

_START_TIMEOUT_S = 30
_STOP_TIMEOUT_S = 10


class SimulatorOptions(BaseModel):
    """Everything about a simulated SEC.

    Attributes:
        world: The outages; left aside when `captures` is given.
        captures: Folder of captured files to replay.
        shape: Shape of `GetPorFecha`.
        switch_hour: Hours asked for from this one on are aggregated.
        switch_when: From this instant of the clock on every answer is aggregated, history included.
        revisions: How hours are corrected after they closed.
        faults: What goes wrong.
        now: The source's clock stands still here; None lets it run with the machine's.
        log_path: File that gets a line of JSON for each request.
        cache_bytes: Most that the cache of rendered bodies holds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    world: WorldOptions = WorldOptions()
    captures: Path | None = None
    shape: Shape = Shape.DETAILED
    switch_hour: AwareDatetime | None = None
    switch_when: AwareDatetime | None = None
    revisions: Revisions = Revisions()
    faults: FaultOptions = FaultOptions()
    now: AwareDatetime | None = None
    log_path: Path | None = None
    cache_bytes: int = Field(default=128_000_000, ge=0)


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
        self._clock = _clock_of(self.options) if clock is None else clock
        self._host, self._port = _loopback(host), port
        self._log = RequestLog(self.options.log_path)
        self.world, self._answers = _world_and_answers(self.options)
        self.app = SimulatorApp(
            self._answers,
            faults=self.options.faults,
            log=self._log,
            now=self.now,
            truth=None if self.world is None else self.truth,
        )
        self.url = ""
        self._server: WaitableServer | None = None
        self._thread: threading.Thread | None = None

    def now(self) -> datetime:
        """The source's clock, UTC."""
        return self._clock().astimezone(UTC)

    @property
    def truth(self) -> Truth:
        """Truth about the world: of each hour the revision and shape as it was last answered, or would be first.

        Raises:
            InputError: A replay has no world.
        """
        answers = self._answers
        if self.world is None or not isinstance(answers, WorldAnswers):
            raise InputError("A replay of captures has no truth.", next_step="Simulate a world instead.")
        return Truth(
            self.world,
            revision_of=self._log.revision,
            shape_of=lambda hour: self._log.shape(hour) or answers.shape_of(hour, self.now()),
        )

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
        """Render the bodies of hours beforehand, for benchmarks. Call it before requests come in.

        Returns:
            Bytes rendered; more than `cache_bytes` are not kept.
        """
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server; what is still in flight is cut."""
        self.app.stopping = True
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_STOP_TIMEOUT_S)
        self._log.close()

    def serve(self, on_ready: Callable[[str], None] | None = None) -> None:
        """Serve until SIGINT or SIGTERM; for the main thread of a process.

        Args:
            on_ready: Called with `url` once the port is bound.
        """
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
        # Imported here, so that options and worlds can be had without a server.
        import uvicorn  # noqa: PLC0415

        from sec_core.simulator.protocol import WaitableServer, protocol_for  # noqa: PLC0415

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
            date_header=True,
            timeout_keep_alive=120,
            timeout_graceful_shutdown=1,
        )
        self._server = WaitableServer(config)
        return self._server


def serve(
    host: str,
    port: int,
    options: SimulatorOptions | None = None,
    *,
    clock: Callable[[], datetime] | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve a simulated SEC until SIGINT or SIGTERM (`sec simulate`).

    Args:
        host: A loopback address.
        port: 0 takes a free one.
        options: Everything about it.
        clock: Tells the source's time; wins over `options.now`.
        on_ready: Called with the base address once the port is bound.

    Raises:
        InputError: The address is not loopback, the port is taken, or the captures can't be used.
    """
    Simulator(options, clock=clock, host=host, port=port).serve(on_ready)


def _world_and_answers(options: SimulatorOptions) -> tuple[World | None, Answers]:
    if options.captures is not None:
        return None, CapturedAnswers(options.captures)
    world = World(options.world)
    return world, WorldAnswers(
        world,
        shape=options.shape,
        switch_hour=options.switch_hour,
        switch_when=options.switch_when,
        revisions=options.revisions,
        cache_bytes=options.cache_bytes,
    )


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


def _clock_of(options: SimulatorOptions) -> Callable[[], datetime]:
    fixed = options.now
    if fixed is not None:
        return lambda: fixed
    return lambda: datetime.now(UTC)
