"""The Prefect server's own process: `python -m deployments.stack.serve HOST PORT NAME...`.

Prefect's API runs whatever its callers want, and any page open in a browser on this machine can call it; so a guard
stands before it. See SECURITY.md.
"""

import asyncio
import ipaddress
import os
import re
import socket
import sys
from contextlib import suppress

import uvicorn
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.stack.history import ADDRESS_VARIABLE
from sec_core.db.address import Address
from sec_core.db.locks import Lock

_PORT = re.compile(r":\d+$")
_READING = {"GET", "HEAD", "OPTIONS"}
# What a page may send to another origin without asking first; Prefect's clients send JSON.
_SIMPLE_BODIES = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")


class Guard:
    """Lets pass what the UI and programs send, and nothing that a page of another origin can make a browser send.

    A name that the server does not know is refused, also with a login: a page could reach it under a name of its own
    (DNS rebinding). An address in figures is nobody's name.

    Args:
        app: Prefect's server.
        origins: Origins that the UI is opened at, such as `http://127.0.0.1:4200`.
        names: Names under which the server may be reached.
    """

    def __init__(self, app: ASGIApp, origins: list[str], names: list[str]) -> None:
        self._app = app
        self._origins = set(origins)
        self._names = {"localhost", *names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or WebSocket that is refused; hand on the others."""
        refusal = self._refusal(scope) if scope["type"] in {"http", "websocket"} else None
        await (self._app if refusal is None else PlainTextResponse(refusal[1], refusal[0]))(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        if not self._is_known(headers.get("host", "")):
            return 400, "This server is not known by that name."
        if scope["type"] == "http" and scope["method"] in _READING:
            return None
        if "origin" in headers and headers["origin"] not in self._origins:
            return 403, "Requests of other sites change nothing here."
        if headers.get("content-type", "").strip().lower().startswith(_SIMPLE_BODIES):
            return 415, "Send JSON."
        return None

    def _is_known(self, host: str) -> bool:
        name = _PORT.sub("", host.lower()).strip("[]")
        with suppress(ValueError):
            return bool(ipaddress.ip_address(name))
        return name in self._names


class _Server(uvicorn.Server):
    """Of several that start on one database one prepares it at a time: Prefect makes its tables at the start."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        with Address.parse(os.environ.pop(ADDRESS_VARIABLE)).connect(autocommit=True) as turn:
            # Not inside a statement: Prefect builds indexes concurrently, which waits for all that have begun.
            while turn.execute("select pg_try_advisory_lock(%s)", (int(Lock.PREFECT_START),)).fetchone() != (True,):  # noqa: ASYNC110
                await asyncio.sleep(0.5)
            await super().startup(sockets)


def main(host: str, port: int, names: list[str]) -> None:
    """Serve until told to end."""
    from prefect.server.api.server import create_app  # noqa: PLC0415 - quick to fail before
    from prefect.settings import get_current_settings  # noqa: PLC0415

    settings = get_current_settings().server
    app = Guard(create_app(final=True), settings.api.cors_allowed_origins.split(","), names)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        timeout_keep_alive=settings.api.keepalive_timeout,
        ws_ping_interval=settings.api.websocket_ping_interval,
        ws_ping_timeout=settings.api.websocket_ping_timeout,
        log_level="warning",
    )
    _Server(config).run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
