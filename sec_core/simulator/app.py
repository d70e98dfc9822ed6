"""The simulated API over HTTP: an ASGI application that answers, delays, damages or drops."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import orjson

from sec_core.hours import from_wall
from sec_core.simulator import render
from sec_core.simulator.damage import damaged
from sec_core.simulator.faults import BanWatch, Endpoint, FaultKind, FaultOptions, FaultRequest, FaultRule
from sec_core.simulator.log import Request, RequestLog, as_json
from sec_core.simulator.replay import CapturedAnswers

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Message, Receive, Scope, Send

    from sec_core.simulator.answers import WorldAnswers

BASE_PATH = "/INTONLINEv1/ClientesAfectados/"
JSON = b"application/json; charset=utf-8"
HTML = b"text/html; charset=utf-8"
_ENDPOINTS = {endpoint.value.casefold(): endpoint for endpoint in Endpoint}
_PIECE = 65_536
_LARGEST_BODY = 65_536
_ERROR_PAGE = "<!DOCTYPE html><html><head><title>{status}</title></head><body><h1>Error {status}</h1></body></html>"


@dataclass(frozen=True, slots=True)
class Connection:
    """A client's connection; `lost` is set once it is closed."""

    transport: asyncio.Transport
    lost: asyncio.Event


class SimulatorApp:
    """The ASGI application; each answer's header says whether it is made up or replayed."""

    def __init__(
        self,
        answers: WorldAnswers | CapturedAnswers,
        *,
        faults: FaultOptions,
        log: RequestLog,
        now: Callable[[], datetime],
    ) -> None:
        self.answers = answers
        self.log = log
        self.connections: dict[tuple[str, int], Connection] = {}
        self.stopping = False
        self._now = now
        self._source = b"replay" if isinstance(answers, CapturedAnswers) else b"simulator"
        self.set_faults(faults)

    def set_faults(self, faults: FaultOptions) -> None:
        """Let other things go wrong from the next request on."""
        self._faults = faults
        self._ban = BanWatch(faults.ban) if faults.ban else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        arrived = time.monotonic()
        send = self._marked(send)
        name = scope["path"].rstrip("/").rsplit("/", 1)[-1]
        if "/_sim/" in scope["path"]:
            await self._requests_so_far(name, scope, send)
            return
        endpoint = _ENDPOINTS.get(name.casefold())
        if endpoint is None or scope["method"] != "POST":
            await _send(send, 404 if endpoint is None else 405, _page(404 if endpoint is None else 405), HTML)
            return
        raw = await _read_body(receive)
        headers: dict[bytes, bytes] = dict(scope["headers"])
        is_json = headers.get(b"content-type", b"").split(b";")[0].strip().lower() == b"application/json"
        payload = _payload_of(raw) if is_json else {}
        hour = _hour_of(payload) if endpoint is Endpoint.POR_FECHA and payload is not None else None
        request = self.log.begin(
            Request(
                endpoint=endpoint.value,
                hour=hour,
                body=raw.decode("utf-8", "replace"),
                client_port=scope["client"][1],
                user_agent=headers.get(b"user-agent", b"").decode("latin-1"),
                arrived=arrived,
            )
        )
        try:
            await _Exchange(self, scope, send, request).run(endpoint, payload)
        finally:
            if request.ended is None:
                self.log.end(request, time.monotonic())

    def _marked(self, send: Send) -> Send:
        """Nobody may take these answers for the SEC's: each says where it comes from."""

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-sec-source", self._source))
            await send(message)

        return marked

    def connection(self, scope: Scope) -> Connection | None:
        """The connection of a request; None once it is closed."""
        found = self.connections.get(tuple(scope["client"]))
        return None if found is None or found.transport.is_closing() else found

    def decide(self, endpoint: Endpoint, request: Request) -> tuple[FaultRule | None, float]:
        """What happens to a request, a ban included."""
        if self._ban is not None and self._ban.banned(request.arrived):
            ban = self._faults.ban
            request.fault = "ban"
            if ban is None or ban.status is None:
                return FaultRule(kind=FaultKind.DROP, endpoint=None), 0.0
            kind = FaultKind.STATUS
            return FaultRule(kind=kind, endpoint=None, status=ban.status, retry_after_s=ban.retry_after_s), 0.0
        subject = FaultRequest(endpoint, request.hour, request.attempt, request.number)
        rule, wait = self._faults.decide(subject)
        request.fault = rule.kind if rule else None
        return rule, wait

    def sound_body(self, endpoint: Endpoint, payload: dict[str, Any], request: Request) -> bytes:
        """The body that a good day answers."""
        now = self._now()
        match endpoint:
            case Endpoint.POR_FECHA:
                if request.hour is None:
                    return b"[]"
                answer = self.answers.por_fecha(request.hour, now, self.log.served(request.hour))
                request.revision, request.shape = answer.revision, answer.shape
                return answer.body
            case Endpoint.GET:
                return self.answers.get(now, self.log.served)
            case Endpoint.REGIONAL:
                return self.answers.clientes_regional(str(payload.get("region") or ""))
            case Endpoint.NACIONAL:
                return self.answers.clientes_nacional()
            case Endpoint.HORA:
                return render.server_hour(now)

    async def _requests_so_far(self, name: str, scope: Scope, send: Send) -> None:
        if name != "log":
            await _send(send, 404, _page(404), HTML)
            return
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        lines = [as_json(request) for request in self.log.all()[int(query.get("from", "1")) - 1 :]]
        await _send(send, 200, f"[{','.join(lines)}]".encode(), JSON)


class _Exchange:
    """One request and its answer, sound or not."""

    def __init__(self, app: SimulatorApp, scope: Scope, send: Send, request: Request) -> None:
        self._app = app
        self._scope = scope
        self._send = send
        self._request = request

    async def run(self, endpoint: Endpoint, payload: dict[str, Any] | None) -> None:
        rule, wait = self._app.decide(endpoint, self._request)
        if wait:
            await asyncio.sleep(wait)
        if rule is not None and rule.kind is FaultKind.DROP:
            await self._cut(abort=True)
        elif rule is not None and rule.kind is FaultKind.STATUS:
            retry = [] if rule.retry_after_s is None else [(b"retry-after", f"{rule.retry_after_s:g}".encode())]
            await self._answer(rule.status, _page(rule.status), HTML, retry)
        elif payload is None:
            await self._answer(500, _page(500), HTML)
        elif rule is None:
            await self._answer(200, self._app.sound_body(endpoint, payload, self._request), JSON)
        else:
            await self._faulty(rule, self._app.sound_body(endpoint, payload, self._request))

    async def _faulty(self, rule: FaultRule, body: bytes) -> None:
        match rule.kind:
            case FaultKind.DROP_MID_BODY:
                await self._start(200, JSON, length=len(body))
                await self._piece(body[: len(body) // 2])
                await self._cut(abort=False)
            case FaultKind.ENDLESS:
                await self._start(200, JSON, length=None)
                piece = body[:-1]
                while self._connected() and not self._app.stopping:
                    await self._piece((piece + b" " * _PIECE)[:_PIECE])
                    piece = b""
                    await asyncio.sleep(rule.wait_s)
                await self._cut(abort=True)
            case FaultKind.OVERSIZE:
                left = max(rule.amount, len(body))
                await self._start(200, JSON, length=left)
                await self._piece(body[:-1])
                left -= len(body)
                while left and self._connected() and not self._app.stopping:
                    await self._piece(b" " * min(left, _PIECE))
                    left -= min(left, _PIECE)
                await self._piece(body[-1:], more=False)
            case _:
                kind = HTML if rule.kind is FaultKind.HTML else JSON
                await self._answer(200, damaged(body, rule), kind)

    async def _answer(
        self, status: int, body: bytes, kind: bytes, headers: list[tuple[bytes, bytes]] | None = None
    ) -> None:
        if not self._connected():
            self._request.fault = "client_gone"
            return
        self._request.status = status
        self._request.sent = len(body)
        # Before the bytes go out: a client that has its answer finds the request ended and its place free.
        self._app.log.end(self._request, time.monotonic())
        await _send(self._send, status, body, kind, headers)

    async def _start(self, status: int, kind: bytes, *, length: int | None) -> None:
        self._request.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": _headers(kind, length)})

    async def _piece(self, body: bytes, *, more: bool = True) -> None:
        self._request.sent += len(body)
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def _cut(self, *, abort: bool) -> None:
        """End the connection: at once, or after what was written has gone out."""
        connection = self._app.connection(self._scope)
        if connection is None:
            return
        if abort:
            connection.transport.abort()
        else:
            connection.transport.close()
        # Until the server has learnt of it, it would answer by itself.
        await connection.lost.wait()

    def _connected(self) -> bool:
        return self._app.connection(self._scope) is not None


def _headers(kind: bytes, length: int | None) -> list[tuple[bytes, bytes]]:
    headers = [(b"content-type", kind), (b"cache-control", b"private"), (b"server", b"Microsoft-IIS/10.0")]
    return headers if length is None else [*headers, (b"content-length", str(length).encode())]


async def _send(
    send: Send, status: int, body: bytes, kind: bytes, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    all_headers = [*_headers(kind, len(body)), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": all_headers})
    await send({"type": "http.response.body", "body": body})


def _page(status: int) -> bytes:
    return _ERROR_PAGE.format(status=status).encode()


async def _read_body(receive: Receive) -> bytes:
    """The body of a request, cut where no honest one ends."""
    body = b""
    while len(body) < _LARGEST_BODY:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            break
    return body


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
