"""`sec up`: PostgreSQL, the Prefect server with its UI, everything that the project wants in it, and a worker.

One supervisor process starts the parts, watches them, starts again what dies, and ends them all; they end by themselves
if it is killed. What it knows is in `SEC_STATE_DIR/run`, so that other commands use the same server and `sec down` can
end it from anywhere.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from loguru import logger

from deployments.stack.api import api_client, online_workers, prepare_environment
from deployments.stack.apply import apply
from deployments.stack.history import ADDRESS_VARIABLE, prefect_history
from deployments.stack.notices import Notifier
from deployments.stack.processes import Part, ProcessId, end, start_process, until_told_to_end
from deployments.stack.server import LOG_NAME, LOOPBACK, TICK_S, free_port, server_part, wait_until_ready
from deployments.stack.settings import StackSettings, load_stack_settings
from deployments.stack.site import serve_site
from deployments.stack.state import RunFolder, StackState
from deployments.stack.worker import stop_worker, worker_name, worker_part
from sec_core.config import Settings, load_settings
from sec_core.db import embedded
from sec_core.db.address import Address
from sec_core.db.database import open_database
from sec_core.errors import DatabaseUnavailable, SecError
from sec_core.log import setup_logging

if TYPE_CHECKING:
    import subprocess
    import threading
    from collections.abc import Callable
    from pathlib import Path


_READY_TIMEOUT_S = 300
_STOP_TIMEOUT_S = 90
_WORKER_TIMEOUT_S = 120
_LOOK_AT_POSTGRES_S = 5


class StackError(SecError):
    """The local stack did not start or stop."""

    code = "stack"


class Stack:
    """The parts of the local stack, started in order and kept alive until `ended` is set."""

    def __init__(self, settings: Settings, options: StackSettings, ended: threading.Event) -> None:
        self._settings = settings
        self._options = options
        self._ended = ended
        self._folder = RunFolder(settings.run_dir)
        self._log = logger.bind(stage="stack")
        self._server: Part | None = None
        self._worker: Part | None = None
        self._ui = self._site = self._overview = ""
        self._ready = False
        self._postgres_looked_at = 0.0

    def run(self, on_ready: Callable[[StackState], None]) -> None:
        """Start everything, keep it alive until told to stop, and stop it; `on_ready` gets what is up.

        Raises:
            SecError: A part did not start; what was started is stopped again.
        """
        try:
            self._start()
            if not self._stop_asked():
                on_ready(self._state())
            while not self._stop_asked():
                self._watch()
        finally:
            self._stop()

    def _start(self) -> None:
        self._folder.clear()
        prepare_environment(self._settings)
        database = open_database(self._settings)
        address = database.address
        database.dispose()
        self._log.info("PostgreSQL is ready: {database}", database=str(address))
        port = free_port(self._options.ui_port)
        if port != self._options.ui_port:
            self._log.warning("Port {wanted} is in use; taking {port}", wanted=self._options.ui_port, port=port)
        self._ui = f"http://{LOOPBACK}:{port}"
        site = free_port(port + 1)
        serve_site(self._settings, LOOPBACK, site)
        self._site = f"http://{LOOPBACK}:{site}/"
        history = prefect_history(self._settings, self._options, address)
        self._server = server_part(self._settings, history, port)
        process = self._server.start()
        self._write()
        api = wait_until_ready(process, port, self._settings.logs_dir / LOG_NAME)
        self._log.info("The Prefect server is ready: {ui}", ui=self._ui)
        self._overview = apply(api, self._settings, self._site)
        self._log.info("Applied work pool, limits, deployments and automations")
        self._start_worker(api)
        Notifier(self._settings, self._options, api, Address.parse(history[ADDRESS_VARIABLE]), self._ended).start()
        self._ready = True
        self._write()

    def _start_worker(self, api: str) -> None:
        self._worker = worker_part(self._settings, self._options, api)
        self._worker.start()
        self._write()
        deadline = time.monotonic() + _WORKER_TIMEOUT_S
        with api_client(api) as client:
            while worker_name() not in online_workers(client) and not self._stop_asked():
                self._worker.watch()
                if time.monotonic() > deadline:
                    raise StackError("The worker is not online after two minutes.", next_step="See SEC_STATE_DIR/logs.")
        self._log.info("The worker {name} is online", name=worker_name())

    @property
    def _parts(self) -> list[Part]:
        return [part for part in (self._server, self._worker) if part is not None]

    def _watch(self) -> None:
        started_again = [part.watch() for part in self._parts]
        if any(started_again):
            self._write()
        if self._settings.database_url is None and time.monotonic() - self._postgres_looked_at > _LOOK_AT_POSTGRES_S:
            self._postgres_looked_at = time.monotonic()
            self._keep_postgres()

    def _keep_postgres(self) -> None:
        if embedded.status(self._settings.postgres_dir).running:
            return
        try:
            embedded.ensure_running(self._settings.postgres_dir)
        except DatabaseUnavailable as error:
            self._log.bind(code=error.code).error("PostgreSQL has stopped and does not start: {error}", error=error)
        else:
            self._log.bind(code="part_died").error("PostgreSQL had stopped; it runs again")

    def _stop_asked(self) -> bool:
        return self._ended.wait(TICK_S) or self._folder.stop_asked()

    def _stop(self) -> None:
        self._log.info("Stopping")
        self._ended.set()
        if self._worker is not None:
            stop_worker(self._worker, f"{self._ui}/api")
        if self._server is not None:
            self._server.stop()
        if self._settings.database_url is None:
            embedded.stop(self._settings.postgres_dir)
        self._folder.clear()
        self._log.info("Everything has stopped")

    def _state(self) -> StackState:
        parts = {part.name: known for part in self._parts if (known := part.id) is not None}
        supervisor = ProcessId.of(os.getpid())
        pages = {"ui": self._ui, "overview": self._overview, "site": self._site}
        return StackState(supervisor=supervisor, ready=self._ready, parts=parts, **pages)

    def _write(self) -> None:
        self._folder.write(self._state())


def up(settings: Settings, options: StackSettings, on_ready: Callable[[StackState], None]) -> bool:
    """Run the stack in the foreground, unless it runs already; `on_ready` gets what is up, once all is.

    Returns:
        Whether this call ran it (and it has stopped now); False if it runs elsewhere.

    Raises:
        SecError: A part did not start.
    """
    folder = RunFolder(settings.run_dir)
    folder.make()
    try:
        with FileLock(folder.lock, timeout=0):
            Stack(settings, options, until_told_to_end()).run(on_ready)
            return True
    except Timeout:
        on_ready(_wait_for_stack(settings))
        return False


def up_detached(settings: Settings) -> StackState:
    """Start the stack in the background, unless it runs already, and wait until it is up.

    Raises:
        StackError: It did not come up; the message names its log.
    """
    log = settings.logs_dir / "stack.log"
    environment = dict(os.environ) | settings.environment
    supervisor = start_process("deployments.stack", [], environment, log, tied=False)
    return _wait_for_stack(settings, supervisor, log)


def _wait_for_stack(
    settings: Settings, supervisor: subprocess.Popen[bytes] | None = None, log: Path | None = None
) -> StackState:
    folder = RunFolder(settings.run_dir)
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline:
        state = folder.running()
        if state is not None and state.ready:
            return state
        if supervisor is not None and supervisor.poll() not in {None, 0}:
            break  # 0: another one runs already
        time.sleep(TICK_S)
    last = _last_error(log) if log is not None else ""
    raise StackError(f"The local stack did not start. {last}".strip(), next_step=f"See {log or settings.logs_dir}.")


def _last_error(log: Path) -> str:
    """The last error in the supervisor's log."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if " ERROR " in line]
    return lines[-1].partition(" stack ")[2].strip() if lines else ""


def down(settings: Settings) -> bool:
    """Stop everything that runs for a data folder; returns whether anything was running.

    Raises:
        DatabaseUnavailable: The embedded PostgreSQL did not stop.
    """
    folder = RunFolder(settings.run_dir)
    state = folder.running()
    if state is not None:
        folder.ask_to_stop()
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while state.supervisor.process() is not None and time.monotonic() < deadline:
            time.sleep(TICK_S / 5)
        end(state.supervisor.process())
        folder.clear()
    return embedded.stop(settings.postgres_dir) or state is not None


def main() -> int:
    """Entry point of `python -m deployments.stack`, the stack in the background."""
    try:
        settings = load_settings()
        setup_logging(settings.logs_dir)
        up(settings, load_stack_settings(), lambda state: logger.bind(stage="stack").info("Up: {}", state.ui))
    except SecError as error:
        logger.bind(stage="stack", code=error.code).error("{error}", error=error)
        return 1
    return 0
