"""The Prefect server, for the stack, a container or one command, with tables of its own; and the site's server."""

import mimetypes
import os
import platform
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import psutil
from loguru import logger

from deployments.stack.api import PrefectServerError, answers, prepare_environment
from deployments.stack.apply import apply_limits
from deployments.stack.history import ADDRESS_VARIABLE, prefect_history
from deployments.stack.notices import Notifier
from deployments.stack.processes import Part, end, rounds, start_process, told_to_end
from deployments.stack.settings import LOOPBACK, LOOPBACK_NAMES, StackSettings, load_stack_settings
from sec_core.blobs.place import BlobMissing, open_blobs
from sec_core.config import Settings, private_folder
from sec_core.db.address import Address
from sec_core.db.database import address_of, open_database
from sec_core.errors import ConfigError, StorageError

_LOG_NAME = "prefect-server.log"
_READY_TIMEOUT_S = 120
_DRAIN_TIMEOUT_S = 15
_NOT_YET = b"There is no such page. The site is drawn with Gold: run the deployment gold, or `sec gold`.\n"


class Server(Part):
    """The server of a stack or a container, kept alive.

    Attributes:
        api: Address of its API, once it began.
    """

    def __init__(self, settings: Settings, options: StackSettings, host: str = LOOPBACK) -> None:
        """Bring our own database up to date, and find the place of Prefect's tables.

        Raises:
            ConfigError: There is no place for Prefect's tables that we may use.
            DatabaseUnavailable: PostgreSQL can't be reached.
        """
        prepare_environment(settings)
        database = open_database(settings)
        database.close()
        logger.bind(stage="stack").info("PostgreSQL is ready: {database}", database=str(database.address))
        self._settings, self._options, self._port, self.api = settings, options, 0, ""
        self._history = history = prefect_history(settings, options, database.address)
        super().__init__(
            "The Prefect server",
            lambda: _start(settings, history, self._port, host),
            settings.logs_dir / _LOG_NAME,
            answers=lambda: answers(self.api),
        )

    def begin(self, port: int) -> None:
        """Start it, and wait until it answers.

        Raises:
            PrefectServerError: It ended, or did not answer in two minutes; the message names its log.
        """
        self._port, self.api = port, f"http://{LOOPBACK}:{port}/api"
        _wait_until_ready(self.start(), self.api, self._settings)

    def notify(self, ended: threading.Event) -> None:
        """Send notices of failures until `ended` is set."""
        place = Address.parse(self._history[ADDRESS_VARIABLE])
        Notifier(self._settings, self._options, self.api, place, ended).start()


def run_server(settings: Settings, *, host: str, port: int) -> None:
    """Keep a Prefect server alive until this process is told to end, and send notices of failures.

    Raises:
        ConfigError: It would listen for others than this machine without asking for a login.
        DatabaseUnavailable: PostgreSQL can't be reached.
        PrefectServerError: The server did not start.
    """
    options = load_stack_settings()
    if host not in LOOPBACK_NAMES and options.prefect_auth is None:
        raise ConfigError(
            f"Listening on {host} without a login would let everybody there run flows.",
            next_step="Set SEC_PREFECT_AUTH=user:password.",
        )
    ended = told_to_end()
    server = Server(settings, options, host)
    try:
        server.begin(port)
        logger.bind(stage="stack").info("The Prefect server listens on {host}:{port}", host=host, port=port)
        server.notify(ended)
        server.keep(ended)
    finally:
        server.stop()


@contextmanager
def served(settings: Settings, database: Address) -> Iterator[str]:
    """A server on a free port for the block, with its tables beside our database; gives the address of its API.

    It ends with this process, however that ends.

    Raises:
        ConfigError: There is no place for Prefect's tables that we may use.
        PrefectServerError: It did not start; the message names its log.
    """
    history = prefect_history(settings, load_stack_settings(), database)
    process = _start(settings, history, port := free_port(), LOOPBACK)
    try:
        yield _wait_until_ready(process, f"http://{LOOPBACK}:{port}/api", settings)
    finally:
        end(process)


@contextmanager
def prefect_api(settings: Settings, running: str | None = None) -> Iterator[None]:
    """Make a Prefect API known to Prefect for the runs inside the block, before Prefect is imported.

    Args:
        settings: Settings of the runs.
        running: Address of the API of a stack that is up, from `running_api`. None starts a server, with the limits
            that flows need, that ends with this process, however that ends.

    Raises:
        PrefectServerError: The server did not start; the message names its log.
    """
    prepare_environment(settings)
    inherited = os.environ.get("PREFECT_API_URL")
    with ExitStack() as own:
        if running is None:
            running = own.enter_context(served(settings, address_of(settings)))
            apply_limits(running, settings)
            own.callback(_drain)
        os.environ["PREFECT_API_URL"] = running
        try:
            yield
        finally:
            del os.environ["PREFECT_API_URL"]
            if inherited is not None:
                os.environ["PREFECT_API_URL"] = inherited


def serve_site(settings: Settings, host: str, port: int) -> ThreadingHTTPServer:
    """Serve `gold/site`, wherever Gold is, from a thread that ends with this process.

    On loopback for people at this machine: links to files are dead in a page that came over HTTP. It has a port of its
    own, and with it an origin of its own: its pages can't call the Prefect API.
    """
    blobs = open_blobs(settings.gold)

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = unquote(urlsplit(self.path).path).lstrip("/")
            name += "index.html" * (not name or name.endswith("/"))
            status, kind = HTTPStatus.OK, mimetypes.guess_type(name)[0] or "application/octet-stream"
            try:
                body = blobs.read(f"site/{name}")
            except BlobMissing:
                status, kind, body = HTTPStatus.NOT_FOUND, "text/plain", _NOT_YET
            except StorageError as error:
                status, kind, body = HTTPStatus.BAD_GATEWAY, "text/plain", f"{error}\n".encode()
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8" if kind.startswith("text/") else kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's name
            logger.bind(stage="site").debug("{}", format % arguments)

    server = ThreadingHTTPServer((host, port), Pages)
    threading.Thread(target=server.serve_forever, name="sec-site", daemon=True).start()
    return server


def free_port(wanted: int = 0) -> int:
    """A TCP port of loopback that nobody listens on now: the one asked for if it is free."""
    try:
        # On POSIX, connections of an earlier run that are still closing don't keep the port.
        with socket.create_server((LOOPBACK, wanted)) as probe:
            return int(probe.getsockname()[1])
    except OSError:
        return free_port()


def _start(settings: Settings, history: dict[str, str], port: int, host: str) -> psutil.Popen:
    """Start a server that ends with this process."""
    ui = os.environ.get("PREFECT_UI_API_URL", "").removesuffix("/api")
    origins = [f"http://{LOOPBACK}:{port}", *([ui] if ui else [])]
    origins += [origin.replace(LOOPBACK, "localhost") for origin in origins]
    names = {urlsplit(os.environ.get(name, "")).hostname for name in ("PREFECT_UI_API_URL", "PREFECT_API_URL")}
    names.add(platform.node().lower())
    # What is in the address of the embedded server is all that there is to know of it.
    hidden = "PG" if settings.database_url is None else "?"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)} | {
        "PREFECT_API_URL": f"http://{LOOPBACK}:{port}/api",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(origins),
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        # A month of a shared backfill follows the one before it soon; Prefect would wait for 30 seconds.
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "5",
        # Of its two UIs the one in which the runbook's words are found: Retry on a run, artifacts one click from it.
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        **history,
    }
    private_folder(settings.prefect_dir)
    arguments = [host, str(port), *sorted(filter(None, names))]
    return start_process("deployments.stack.serve", arguments, environment, settings.logs_dir / _LOG_NAME)


def _wait_until_ready(process: psutil.Popen, api: str, settings: Settings) -> str:
    """Wait for a server; returns the address of its API."""
    step = f"Its log is {settings.logs_dir / _LOG_NAME}."
    for _ in rounds(_READY_TIMEOUT_S, 0.1):
        if process.poll() is not None:
            raise PrefectServerError(f"The Prefect server ended with exit code {process.returncode}.", next_step=step)
        if answers(api, timeout_s=2):
            return api
    raise PrefectServerError("The Prefect server did not answer in two minutes.", next_step=step)


def _drain() -> None:
    """Hand over the logs and events that this process still holds."""
    from prefect.events.worker import EventsWorker  # noqa: PLC0415 - Prefect reads the environment at import
    from prefect.logging.handlers import APILogWorker  # noqa: PLC0415

    APILogWorker.drain_all(timeout=_DRAIN_TIMEOUT_S)
    EventsWorker.drain_all(timeout=_DRAIN_TIMEOUT_S)
