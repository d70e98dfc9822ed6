"""What the stack runs: the Prefect server, the worker, and the server of the site.

Server and worker are also a container's own; a command that records its run starts a server for itself.
"""

import mimetypes
import os
import platform
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import httpx
import psutil
from loguru import logger
from typing_extensions import override

from deployments.stack.api import (
    WORK_POOL,
    PrefectServerError,
    answers,
    api_client,
    apply_limits,
    mark_cut_off,
    online_workers,
    prepare_environment,
    why_not_ours,
)
from deployments.stack.history import ADDRESS_VARIABLE, prefect_history
from deployments.stack.notices import Notifier
from deployments.stack.processes import Part, rounds, start_process, told_to_end
from deployments.stack.settings import LOOPBACK, LOOPBACK_NAMES, StackSettings, load_stack_settings
from sec_core.blobs.place import BlobMissing, open_blobs
from sec_core.config import Settings, private_folder
from sec_core.db.address import Address
from sec_core.db.database import address_of, open_database
from sec_core.errors import ConfigError, StorageError

_READY_TIMEOUT_S = 120
_DRAIN_TIMEOUT_S = 15
_SAY_EVERY_S = 60
# Name of this machine's worker in the UI.
WORKER = f"sec-{platform.node() or 'worker'}"
_NOT_YET = b"There is no such page. The site is drawn with Gold: run the deployment gold, or `sec gold`.\n"


class Server(Part):
    """The server of a stack or a container, kept alive.

    Attributes:
        api: Address of its API, once it began.
    """

    def __init__(self, settings: Settings, options: StackSettings, database: Address, host: str = LOOPBACK) -> None:
        """Find the place of Prefect's tables, beside or in our own database.

        Raises:
            ConfigError: There is no place for Prefect's tables that we may use.
            DatabaseUnavailable: PostgreSQL can't be reached.
        """
        prepare_environment(settings)
        self._settings, self._options, self._host, self._port, self.api = settings, options, host, 0, ""
        self._history = prefect_history(settings, options, database)
        log = settings.logs_dir / "prefect-server.log"
        super().__init__("The Prefect server", self._start_process, log, answers=lambda: answers(self.api))

    def begin(self, port: int) -> str:
        """Start it, and wait until it answers; gives the address of its API.

        Raises:
            PrefectServerError: It ended, or did not answer in two minutes; the message names its log.
        """
        self._port, self.api = port, f"http://{LOOPBACK}:{port}/api"
        process, step = self.start(), f"Its log is {self.log}."
        for _ in rounds(_READY_TIMEOUT_S, 0.1):
            if (code := process.poll()) is not None:
                raise PrefectServerError(f"The Prefect server ended with exit code {code}.", next_step=step)
            if answers(self.api, timeout_s=2):
                return self.api
        raise PrefectServerError("The Prefect server did not answer in two minutes.", next_step=step)

    def notify(self, ended: threading.Event) -> None:
        """Send notices of failures until `ended` is set."""
        place = Address.parse(self._history[ADDRESS_VARIABLE])
        Notifier(self._settings, self._options, self.api, place, ended).start()

    def _start_process(self) -> psutil.Popen:
        """Start a server that ends with this process."""
        ui = os.environ.get("PREFECT_UI_API_URL", "").removesuffix("/api")
        origins = [f"http://{LOOPBACK}:{self._port}", *([ui] if ui else [])]
        origins += [origin.replace(LOOPBACK, "localhost") for origin in origins]
        names = {urlsplit(os.environ.get(name, "")).hostname for name in ("PREFECT_UI_API_URL", "PREFECT_API_URL")}
        names.add(platform.node().lower())
        # What is in the address of the embedded server is all that there is to know of it.
        hidden = "PG" if self._settings.database_url is None else "?"
        environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)} | {
            "PREFECT_API_URL": f"http://{LOOPBACK}:{self._port}/api",
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(origins),
            "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
            "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
            # A month of a shared backfill follows the one before it soon; Prefect would wait for 30 seconds.
            "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "5",
            # Of its two UIs the one that the runbook tells of: Retry on a run, artifacts one click from it.
            "PREFECT_SERVER_UI_V2_ENABLED": "false",
            "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
            **self._history,
        }
        private_folder(self._settings.prefect_dir)
        arguments = [self._host, str(self._port), *sorted(filter(None, names))]
        return start_process("deployments.stack.serve", arguments, environment, self.log)


class Worker(Part):
    """The worker, kept alive."""

    def __init__(self, settings: Settings, api: str) -> None:
        # A run is started in the folder of the worker; a relative data folder stays the one that was meant.
        environment = dict(os.environ) | settings.environment | {"PREFECT_API_URL": api}
        arguments = ["worker", "start", "--pool", WORK_POOL, "--type", "process", "--name", WORKER]
        arguments += ["--limit", str(load_stack_settings().worker_limit), "--install-policy", "never"]
        self._api = api
        log = settings.logs_dir / "prefect-worker.log"
        super().__init__("The worker", lambda: start_process("prefect", arguments, environment, log), log)

    @override
    def stop(self) -> list[int]:
        """End it and its runs, and mark these as crashed: they can be retried as they are."""
        if ended := super().stop():
            mark_cut_off(self._api, ended)
        return ended


def ready_database(settings: Settings) -> Address:
    """Our own database, brought up to date.

    Raises:
        DatabaseUnavailable: It can't be reached.
    """
    database = open_database(settings)
    database.close()
    logger.bind(stage="stack").info("PostgreSQL is ready: {database}", database=str(database.address))
    return database.address


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
    server = Server(settings, options, ready_database(settings), host)
    try:
        server.begin(port)
        logger.bind(stage="stack").info("The Prefect server listens on {host}:{port}", host=host, port=port)
        server.notify(ended)
        server.keep(ended)
    finally:
        server.stop()


def run_worker(settings: Settings, api: str) -> None:
    """Keep a worker alive until this process is told to end (SIGTERM, Ctrl-C).

    Raises:
        ConfigError: The API belongs to another installation: its runs are not for our database.
    """
    prepare_environment(settings)
    ended = told_to_end()
    log, waited = logger.bind(stage="stack"), 0
    while not answers(api):
        if waited % _SAY_EVERY_S == 0:
            log.bind(code="waiting").warning("Waiting for the Prefect API at {api}", api=api)
        if ended.wait(2):
            return
        waited += 2
    if (reason := why_not_ours(settings, api, unmarked=True)) is not None:
        raise ConfigError(f"There is no work at {api}: {reason}.", next_step="Check PREFECT_API_URL.")
    worker = Worker(settings, api)
    try:
        worker.start()
        log.info("The worker {name} takes runs from {api}", name=WORKER, api=api)
        worker.keep(ended)
    finally:
        worker.stop()
        log.info("The worker has stopped")


def worker_is_alive() -> bool:
    """Whether the server has heard of this container's worker lately; True in a container of another command."""
    if "worker" not in psutil.Process(1).cmdline():
        return True
    with suppress(httpx.HTTPError, httpx.InvalidURL), api_client(os.environ.get("PREFECT_API_URL", "")) as client:
        return WORKER in online_workers(client)
    return False


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
    inherited = {name: value for name, value in os.environ.items() if name == "PREFECT_API_URL"}
    with ExitStack() as own:
        if running is None:
            server = Server(settings, load_stack_settings(), address_of(settings))
            own.callback(server.stop)
            running = server.begin(free_port())
            apply_limits(running, settings)
            own.callback(_drain)
        own.callback(os.environ.update, inherited)
        own.callback(os.environ.pop, "PREFECT_API_URL", None)
        os.environ["PREFECT_API_URL"] = running
        yield


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


def _drain() -> None:
    """Hand over the logs and events that this process still holds."""
    from prefect.events.worker import EventsWorker  # noqa: PLC0415 - Prefect reads the environment at import
    from prefect.logging.handlers import APILogWorker  # noqa: PLC0415

    APILogWorker.drain_all(timeout=_DRAIN_TIMEOUT_S)
    EventsWorker.drain_all(timeout=_DRAIN_TIMEOUT_S)
