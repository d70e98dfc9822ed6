"""The Prefect API that a command's runs are recorded in: the one that is configured or running, else one of its own.

Prefect reads its environment when it is imported, so this module imports it only where a run is over.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import psycopg
from loguru import logger

from deployments.stack.settings import load_stack_settings
from deployments.stack.state import RunFolder
from sec_core.db import embedded
from sec_core.errors import DatabaseError, SecError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sec_core.config import Settings
    from sec_core.db.address import Address

DATABASE = "prefect"
_READY_TIMEOUT_S = 120
_STOP_TIMEOUT_S = 20
_RESTART_TIMEOUT_S = 20
_DRAIN_TIMEOUT_S = 15
_DRAIN_STEP_S = 0.5
_STARTING = 0x5EC3
"""Advisory lock of the database in which a server is starting."""
_UNFINISHED = ["PENDING", "RUNNING", "CANCELLING"]


class PrefectServerError(SecError):
    """The Prefect server did not start."""

    code = "prefect_server"


def prepare_environment(settings: Settings) -> None:
    """Set what Prefect reads from the environment when it is imported; what a person has set stays.

    Args:
        settings: Gives the folder for Prefect's own files.

    Raises:
        ConfigError: A setting of the stack is malformed.
    """
    defaults = {
        "PREFECT_HOME": str(settings.prefect_dir),
        "PREFECT_LOCAL_STORAGE_PATH": str(settings.results_dir),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # Runs are forgotten after 90 days, events sooner: Prefect's own tables stay small.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        # The terminal shows the pipeline's own lines; Prefect's warnings still come through.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",
        "PREFECT_LOGGING_TO_API_MAX_LOG_SIZE": "100000",
        # A run that falls silent is marked Crashed: see deployments/stack/automations.py.
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    }
    auth = load_stack_settings().prefect_auth
    if auth is not None:
        # What the server asks for, and what clients answer.
        defaults["PREFECT_SERVER_API_AUTH_STRING"] = defaults["PREFECT_API_AUTH_STRING"] = auth.get_secret_value()
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


@contextmanager
def prefect_api(settings: Settings, database: Address) -> Iterator[str]:
    """Make a Prefect API reachable for the runs inside the block, and its address known to Prefect.

    Args:
        settings: Settings of the run.
        database: PostgreSQL in which a server of our own keeps its history.

    Yields:
        Address of the API.

    Raises:
        PrefectServerError: No server could be started; the message names its log.
    """
    prepare_environment(settings)
    configured = os.environ.get("PREFECT_API_URL")
    if configured:
        yield configured
        return
    running = running_api(settings)
    with nullcontext(running) if running else _own_server(settings, database) as url:
        os.environ["PREFECT_API_URL"] = url
        try:
            yield url
        finally:
            del os.environ["PREFECT_API_URL"]


def running_api(settings: Settings) -> str | None:
    """Address of the Prefect API of the stack that runs for this data folder; None if none runs or none answers."""
    state = RunFolder(settings.run_dir).running()
    if state is None:
        return None
    deadline = time.monotonic() + _RESTART_TIMEOUT_S
    while time.monotonic() < deadline:
        if answers(state.api):
            return state.api
        time.sleep(0.5)
    logger.bind(stage="run", code=PrefectServerError.code).warning(
        "the Prefect server at {url} does not answer; this run gets a server of its own", url=state.ui
    )
    return None


def api_client(url: str, timeout_s: float = 10) -> httpx.Client:
    """A client for questions that need no Prefect library; it shows the password that the API asks for."""
    user, _, password = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    return httpx.Client(base_url=url, auth=(user, password) if user else None, timeout=timeout_s)


def answers(url: str, timeout_s: float = 5) -> bool:
    """Whether a Prefect API answers."""
    try:
        return httpx.get(f"{url}/health", timeout=timeout_s).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


@contextmanager
def _own_server(settings: Settings, database: Address) -> Iterator[str]:
    log = settings.logs_dir / "prefect-server.log"
    process, url = start_server(settings, history_of(settings, database), log)
    try:
        wait_until_ready(process, url, log)
        since = datetime.now(UTC)
        try:
            yield url
        finally:
            _drain(url, since)
    finally:
        stop_process(process)


def history_of(settings: Settings, database: Address) -> Address | None:
    """Address of Prefect's database: `prefect` beside ours; None for SQLite where we may not make it."""
    try:
        return embedded.ensure_database(database, DATABASE)
    except DatabaseError as error:
        if settings.database_url is None:
            raise
        logger.bind(stage="run", code=error.code).warning(
            "Prefect keeps its history in SQLite, since the database {name!r} can't be made: {error}",
            name=DATABASE,
            error=error.message,
        )
        return None


def start_server(
    settings: Settings, history: Address | None, log: Path, *, port: int | None = None, host: str = "127.0.0.1"
) -> tuple[subprocess.Popen[bytes], str]:
    """Start a Prefect server; of several on one database, one after the other.

    Args:
        settings: Gives Prefect's folder.
        history: Its database; None for SQLite.
        log: Where its output goes.
        port: TCP port; None for a free one.
        host: Address to listen on. Anything but loopback is for containers, whose ports are published on loopback.

    Returns:
        The process and the address of its API.
    """
    port = port or free_port()
    url = f"http://127.0.0.1:{port}/api"
    environment = dict(os.environ) | {
        "PREFECT_API_URL": url,
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        # A month of a shared backfill follows the one before it soon; Prefect would wait for 30 seconds.
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "5",
        # Of its two UIs the one in which the runbook's words are found: Retry on a run, artifacts one click from it.
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    }
    if history is not None:
        url_of_history, variables = history.asyncpg()
        environment |= {"PREFECT_SERVER_DATABASE_CONNECTION_URL": url_of_history, **variables}
    log.parent.mkdir(parents=True, exist_ok=True)
    settings.prefect_dir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", host, "--port", str(port)]
    turn = _take_turn(history) if history is not None else None
    process = start_process(command, environment, log)
    if turn is not None:
        # The turn ends when the server is ready or has failed, whoever waits for it.
        threading.Thread(target=_end_turn, args=(turn, process, url), name="sec-prefect-turn", daemon=True).start()
    return process, url


def _take_turn(history: Address) -> psycopg.Connection[tuple[object, ...]] | None:
    """Wait until no other server is starting on this database: Prefect's tables and block types are made at start.

    The turn ends with the connection, also when this process dies. Nobody waits inside a statement: Prefect builds
    indexes concurrently, which waits for all statements that have begun. Without a database there is no turn: the
    server says so itself when it starts, and whoever supervises it starts it again.
    """
    try:
        connection = history.connect(autocommit=True)
        while connection.execute("select pg_try_advisory_lock(%s)", (_STARTING,)).fetchone() != (True,):
            time.sleep(_DRAIN_STEP_S)
    except (psycopg.OperationalError, DatabaseError) as error:
        logger.bind(stage="stack", code=PrefectServerError.code).warning(
            "the Prefect server is started without its database: {reason}", reason=str(error).splitlines()[0]
        )
        return None
    return connection


def _end_turn(turn: psycopg.Connection[tuple[object, ...]], process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None and not answers(url, timeout_s=2):
        time.sleep(0.2)
    turn.close()


def start_process(command: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a process that a Ctrl-C in this terminal does not reach: whoever started it ends it.

    Args:
        command: Our own interpreter and constants.
        environment: Its whole environment.
        log: Where its output goes, added at the end.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and constants
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )


def wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Wait for the server's health endpoint.

    Raises:
        PrefectServerError: It ended, or did not answer in two minutes.
    """
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise PrefectServerError(
                f"The Prefect server ended with exit code {process.returncode}.", next_step=f"Its log is {log}."
            )
        if answers(url, timeout_s=2):
            return
        time.sleep(0.1)
    raise PrefectServerError("The Prefect server did not answer in two minutes.", next_step=f"Its log is {log}.")


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """End a process of ours: politely, then by force."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _drain(url: str, since: datetime) -> None:
    """Hand over what this process still holds, and wait until the server has written down how every task run ended.

    Logs and task states leave a process through queues, and reach the server's database through others.
    """
    from prefect.events.worker import EventsWorker  # noqa: PLC0415 - see the module's docstring
    from prefect.logging.handlers import APILogWorker  # noqa: PLC0415

    APILogWorker.drain_all(timeout=_DRAIN_TIMEOUT_S)
    EventsWorker.drain_all(timeout=_DRAIN_TIMEOUT_S)
    deadline = time.monotonic() + _DRAIN_TIMEOUT_S
    started: dict[str, object] = {"start_time": {"after_": since.isoformat()}}
    unfinished = {**started, "state": {"type": {"any_": _UNFINISHED}}}
    known = -1
    with contextlib.suppress(httpx.HTTPError):
        while time.monotonic() < deadline:
            before, known = known, _count(url, started)
            if known == before and _count(url, unfinished) == 0:
                return
            time.sleep(_DRAIN_STEP_S)


def _count(url: str, task_runs: dict[str, object]) -> int:
    with api_client(url, timeout_s=5) as client:
        answer = client.post("/task_runs/count", json={"task_runs": task_runs})
    return int(answer.raise_for_status().json())


def free_port() -> int:
    """A TCP port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
