"""The simulated SEC as a server on loopback, which answers, delays, damages or drops.

In a thread for tests and the demo, blocking for `sec simulate`.
"""

import asyncio
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, Self

import orjson
import uvicorn
from starlette.requests import Request as HTTPRequest
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from sec_core.errors import InputError
from sec_core.hours import from_wall
from sec_core.simulator.answers import CapturedAnswers, WorldAnswers, sound_body
from sec_core.simulator.faults import (
    BanWatch,
    Endpoint,
    FaultKind,
    FaultOptions,
    FaultRule,
    Request,
    RequestLog,
    damaged,
)
from sec_core.simulator.options import SimulatorOptions

BASE_PATH = "/INTONLINEv1/ClientesAfectados/"
JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"
_ENDPOINTS = {endpoint.value.casefold(): endpoint for endpoint in Endpoint}
_PIECE = 65_536
_ERROR_PAGE = "<!DOCTYPE html><html><head><title>{status}</title></head><body><h1>Error {status}</h1></body></html>"
_STOP_TIMEOUT_S = 10


class Simulator:
    """A simulated SEC on a free loopback port, for the length of a `with` block.

    Each answer's header says whether it is made up or replayed.

    Args:
        options: Everything about it; `changes` replace single fields (`world=WorldOptions.tiny()`, `faults=...`).
        clock: Tells the source's time; wins over `options.now`.
        port: 0 takes a free one.
        changes: Fields of `SimulatorOptions`.

    Attributes:
        url: Base address of the API, with a slash at its end; known once it runs.
    """

    _server: "_Server"
    _thread: threading.Thread

    def __init__(
        self,
        options: SimulatorOptions | None = None,
        *,
        clock: Callable[[], datetime] | None = None,
        port: int = 0,
        **changes: object,
    ) -> None:
        self.options = SimulatorOptions.model_validate({**dict(options or SimulatorOptions()), **changes})
        captures = self.options.captures
        self.answers = WorldAnswers(self.options) if captures is None else CapturedAnswers(captures)
        self.source = "simulator" if captures is None else "replay"
        self.log = RequestLog(self.options.log_path)
        self.stopping = False
        self.url = ""
        self._clock = clock or (lambda: self.options.now or datetime.now(UTC))
        self._port = port
        self.set_faults(self.options.faults)

    def __enter__(self) -> Self:
        """Start the server in a thread; requests wait until it answers."""
        self._thread = threading.Thread(target=self._bind(), name="sec-simulator", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop the server; what is still in flight is cut."""
        self.stopping = self._server.should_exit = True
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

    def now(self) -> datetime:
        """The source's clock, UTC."""
        return self._clock().astimezone(UTC)

    @property
    def requests(self) -> list[Request]:
        """Every request so far, in the order of arrival."""
        return list(self.log.requests)

    def hours_asked(self) -> list[datetime]:
        """Hours asked for with `GetPorFecha`, in order, repeated as often as they were asked for."""
        return [each.hour for each in self.requests if each.endpoint == Endpoint.POR_FECHA and each.hour is not None]

    def set_faults(self, faults: FaultOptions) -> None:
        """Let other things go wrong from the next request on; `FaultOptions()` heals everything."""
        self._faults = faults
        self._ban = BanWatch(faults.ban) if faults.ban else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        arrived = time.monotonic()
        endpoint = _ENDPOINTS.get(scope["path"].rstrip("/").rsplit("/", 1)[-1].casefold())
        asked = HTTPRequest(scope, receive)
        raw = await asked.body()
        is_json = asked.headers.get("content-type", "").split(";")[0].strip().lower() == "application/json"
        payload = _payload_of(raw) if is_json else {}
        request = Request(
            endpoint=endpoint or "",
            hour=_hour_of(payload) if endpoint is Endpoint.POR_FECHA and payload is not None else None,
            body=raw.decode("utf-8", "replace"),
            client_port=scope["client"][1],
            user_agent=asked.headers.get("user-agent", ""),
            arrived=arrived,
        )
        exchange = _Exchange(self, send, request, **scope["state"])
        if endpoint is None or scope["method"] != "POST":
            await exchange.refuse(404 if endpoint is None else 405)
            return
        self.log.begin(request)
        try:
            await exchange.run(payload)
        finally:
            self.log.end(request, time.monotonic())

    def decide(self, request: Request) -> tuple[FaultRule | None, float]:
        """What happens to a request, a ban included."""
        if self._ban is not None and self._ban.banned(request.arrived):
            request.fault = "ban"
            return self._ban.rule, 0.0
        rule, wait = self._faults.decide(request)
        request.fault = rule.kind if rule else None
        return rule, wait


@dataclass(slots=True)
class _Exchange:
    """One request and its answer, sound or not."""

    app: Simulator
    send: Send
    request: Request
    transport: asyncio.Transport  # the client's connection
    lost: asyncio.Event  # set once it is closed

    async def run(self, payload: dict[str, Any] | None) -> None:
        rule, wait = self.app.decide(self.request)
        if wait:
            await asyncio.sleep(wait)
        if rule is not None and rule.kind is FaultKind.DROP:
            await self._cut(abort=True)
        elif rule is not None and rule.kind is FaultKind.STATUS:
            await self.refuse(rule.status, rule.retry_after_s)
        elif payload is None:
            await self.refuse(500)
        else:
            body = sound_body(self.app.answers, self.request, payload, self.app.now(), self.app.log.served)
            await self._send_body(body, rule)

    async def refuse(self, status: int, retry_after_s: float | None = None) -> None:
        await self._answer(status, _ERROR_PAGE.format(status=status).encode(), HTML, retry_after_s)

    async def _send_body(self, body: bytes, rule: FaultRule | None) -> None:
        match rule:
            case None:
                await self._answer(200, body, JSON)
            case FaultRule(kind=FaultKind.DROP_MID_BODY):
                await self._start(200, JSON, len(body))
                await self._piece(body[: len(body) // 2])
                await self._cut(abort=False)
            case FaultRule(kind=FaultKind.ENDLESS):
                await self._start(200, JSON, None)
                await self._piece(body[:-1])
                await self._blanks(sys.maxsize, rule.wait_s)
                await self._cut(abort=True)
            case FaultRule(kind=FaultKind.OVERSIZE):
                size = max(rule.amount, len(body))
                await self._start(200, JSON, size)
                await self._piece(body[:-1])
                await self._blanks(size - len(body), 0)
                await self._piece(body[-1:], more=False)
            case _:
                await self._answer(200, damaged(body, rule), HTML if rule.kind is FaultKind.HTML else JSON)

    async def _answer(self, status: int, body: bytes, kind: str, retry_after_s: float | None = None) -> None:
        if not self._connected():
            self.request.fault = "client_gone"
            return
        self.request.status, self.request.sent = status, len(body)
        if self.request.number:
            # Before the bytes go out: a client that has its answer finds the request ended and its place free.
            self.app.log.end(self.request, time.monotonic())
        await self._start(status, kind, len(body), retry_after_s)
        await self.send({"type": "http.response.body", "body": body})

    async def _start(self, status: int, kind: str, length: int | None, retry_after_s: float | None = None) -> None:
        self.request.status = status
        # Nobody may take these answers for the SEC's: each says where it comes from.
        headers = {
            "content-type": kind, "cache-control": "private", "server": "Microsoft-IIS/10.0",
            "x-sec-source": self.app.source, "content-length": length,
            "retry-after": None if retry_after_s is None else f"{retry_after_s:g}",
        }  # fmt: skip
        raw = [(name.encode(), str(value).encode()) for name, value in headers.items() if value is not None]
        await self.send({"type": "http.response.start", "status": status, "headers": raw})

    async def _piece(self, body: bytes, *, more: bool = True) -> None:
        self.request.sent += len(body)
        await self.send({"type": "http.response.body", "body": body, "more_body": more})

    async def _blanks(self, count: int, wait_s: float) -> None:
        """Blanks in pieces, as long as the client listens."""
        while count and self._connected() and not self.app.stopping:
            await self._piece(b" " * min(count, _PIECE))
            count -= min(count, _PIECE)
            await asyncio.sleep(wait_s)

    async def _cut(self, *, abort: bool) -> None:
        """End the connection: at once, or after what was written has gone out."""
        (self.transport.abort if abort else self.transport.close)()
        # Until the server has learnt of it, it would answer by itself.
        await self.lost.wait()

    def _connected(self) -> bool:
        return not self.transport.is_closing()


def _payload_of(raw: bytes) -> dict[str, Any] | None:
    """The object of a JSON body; nothing given counts as an empty one, and None is what is no object at all."""
    if not raw.strip():
        return {}
    try:
        payload = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return payload if isinstance(payload, dict) else None


def _hour_of(payload: dict[str, Any]) -> datetime | None:
    """Hour asked for; without `hora` it is hour 0. None for what no calendar or no Chilean clock has."""
    try:
        day = date(*(int(payload.get(key) or 0) for key in ("anho", "mes", "dia")))
        number = int(payload.get("hora") or 0)
    except (TypeError, ValueError):
        return None
    return from_wall(day, number) if 0 <= number <= 23 and 2000 <= day.year <= 2999 else None


class _Protocol(H11Protocol):
    """Tells the application over which connection a request came."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {"transport": transport, "lost": asyncio.Event()}

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.app_state["lost"].set()


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
