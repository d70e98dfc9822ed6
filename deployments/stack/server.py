"""The Prefect server: started with its tables in a place of their own, for the stack, a container or one command."""

from __future__ import annotations

import os
import platform
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil
from loguru import logger

from deployments.stack.api import PrefectServerError, answers, prepare_environment
from deployments.stack.apply import apply_limits
from deployments.stack.history import ADDRESS_VARIABLE, prefect_history
from deployments.stack.notices import Notifier
from deployments.stack.processes import Part, end, start_process, until_told_to_end
from deployments.stack.settings import load_stack_settings
from sec_core.config import Settings, private_folder
from sec_core.db.address import Address
from sec_core.db.database import address_of, open_database
from sec_core.errors import ConfigError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path


TICK_S = 0.5
LOG_NAME = "prefect-server.log"
LOOPBACK = "127.0.0.1"
_READY_TIMEOUT_S = 120
_DRAIN_TIMEOUT_S = 15


def start_server(
    settings: Settings, history: dict[str, str], port: int, *, host: str = LOOPBACK
) -> subprocess.Popen[bytes]:
    """Start a Prefect server, with its tables where `history` says, that ends with this process however that ends."""
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
    return start_process("deployments.stack.serve", arguments, environment, settings.logs_dir / LOG_NAME)


def wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> str:
    """Wait for the server; returns the address of its API.

    Raises:
        PrefectServerError: It ended, or did not answer in two minutes.
    """
    url = f"http://{LOOPBACK}:{port}/api"
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise PrefectServerError(
                f"The Prefect server ended with exit code {process.returncode}.", next_step=f"Its log is {log}."
            )
        if answers(url, timeout_s=2):
            return url
        time.sleep(0.1)
    raise PrefectServerError("The Prefect server did not answer in two minutes.", next_step=f"Its log is {log}.")


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
    process = None
    try:
        if running is None:
            history = prefect_history(settings, load_stack_settings(), address_of(settings))
            process = start_server(settings, history, port := free_port())
            running = wait_until_ready(process, port, settings.logs_dir / LOG_NAME)
            apply_limits(running, settings)
        os.environ["PREFECT_API_URL"] = running
        yield
    finally:
        os.environ.pop("PREFECT_API_URL", None)
        if inherited is not None:
            os.environ["PREFECT_API_URL"] = inherited
        if process is not None:
            _drain()
            stop_server(process)


def stop_server(process: subprocess.Popen[bytes]) -> None:
    """End a server of `start_server`."""
    if process.poll() is None:
        end(psutil.Process(process.pid))
    process.wait()


def run_server(settings: Settings, *, host: str, port: int) -> None:
    """Keep a Prefect server alive until this process is told to end, and send notices of failures.

    Raises:
        ConfigError: It would listen for others than this machine without asking for a login.
        DatabaseUnavailable: PostgreSQL can't be reached.
        PrefectServerError: The server did not start.
    """
    options = load_stack_settings()
    if host not in {LOOPBACK, "localhost", "::1"} and options.prefect_auth is None:
        raise ConfigError(
            f"Listening on {host} without a login would let everybody there run flows.",
            next_step="Set SEC_PREFECT_AUTH=user:password.",
        )
    ended = until_told_to_end()
    prepare_environment(settings)
    database = open_database(settings)
    history = prefect_history(settings, options, database.address)
    database.dispose()
    server = server_part(settings, history, port, host)
    try:
        url = wait_until_ready(server.start(), port, settings.logs_dir / LOG_NAME)
        logger.bind(stage="stack").info("The Prefect server listens on {host}:{port}", host=host, port=port)
        Notifier(settings, options, url, Address.parse(history[ADDRESS_VARIABLE]), ended).start()
        while not ended.wait(TICK_S):
            server.watch()
    finally:
        server.stop()


def server_part(settings: Settings, history: dict[str, str], port: int, host: str = LOOPBACK) -> Part:
    """The server as a part that is kept alive."""
    url = f"http://{LOOPBACK}:{port}/api"
    return Part(
        "The Prefect server",
        lambda: start_server(settings, history, port, host=host),
        settings.logs_dir / LOG_NAME,
        answers=lambda: answers(url),
    )


def free_port(wanted: int = 0) -> int:
    """A TCP port of loopback that nobody listens on now: the one asked for if it is free."""
    with socket.socket() as probe:
        if os.name == "posix":
            # Connections of an earlier run that are still closing don't keep the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, wanted))
        except OSError:
            return free_port()
        return int(probe.getsockname()[1])


def _drain() -> None:
    """Hand over the logs and events that this process still holds."""
    from prefect.events.worker import EventsWorker  # noqa: PLC0415 - Prefect reads the environment at import
    from prefect.logging.handlers import APILogWorker  # noqa: PLC0415

    APILogWorker.drain_all(timeout=_DRAIN_TIMEOUT_S)
    EventsWorker.drain_all(timeout=_DRAIN_TIMEOUT_S)
