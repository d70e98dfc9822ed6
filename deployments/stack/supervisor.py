"""`sec up`: PostgreSQL, the Prefect server with its UI, everything that the project wants in it, and a worker.

One supervisor process starts the parts, watches them, starts again what dies, and ends them all; they end by themselves
if it is killed. What it knows is in `SEC_STATE_DIR/run`, so that other commands use the same server and `sec down` can
end it from anywhere.
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from filelock import FileLock, Timeout
from loguru import logger

from deployments.stack.api import api_client, apply, online_workers
from deployments.stack.processes import Part, ProcessId, RunFolder, StackState, end, rounds, start_process, told_to_end
from deployments.stack.services import WORKER, Server, Worker, free_port, ready_database, serve_site
from deployments.stack.settings import LOOPBACK, load_stack_settings
from sec_core.config import Settings, private_folder
from sec_core.db import embedded
from sec_core.errors import DatabaseUnavailable, SecError

_TICK_S = 0.5
_READY_TIMEOUT_S = 300
_STOP_TIMEOUT_S = 90
_WORKER_TIMEOUT_S = 120
_LOOK_AT_POSTGRES_S = 5


class StackError(SecError):
    """The local stack did not start or stop."""

    code = "stack"


class Stack:
    """The parts of the local stack, started in order and kept alive until `ended` is set."""

    def __init__(self, settings: Settings, ended: threading.Event) -> None:
        self._settings = settings
        self._ended = ended
        self._folder = RunFolder(settings.run_dir)
        self._log = logger.bind(stage="stack")
        self._parts: list[Part] = []
        self._state = StackState(supervisor=ProcessId.of(os.getpid()), ui="")
        self._next_look = 0.0

    def run(self, on_ready: Callable[[dict[str, str]], None]) -> None:
        """Start everything, keep it alive until told to stop, and stop it; `on_ready` gets the addresses.

        Raises:
            SecError: A part did not start; what was started is stopped again.
        """
        try:
            self._start()
            if not self._stop_asked():
                on_ready(self._state.pages)
            while not self._stop_asked():
                self._watch()
                self._ended.wait(_TICK_S)
        finally:
            self._stop()

    def _start(self) -> None:
        self._folder.clear()
        options = load_stack_settings()
        server = Server(self._settings, options, ready_database(self._settings))
        port = free_port(options.ui_port)
        if port != options.ui_port:
            self._log.warning("Port {wanted} is in use; taking {port}", wanted=options.ui_port, port=port)
        site = free_port(port + 1)
        serve_site(self._settings, LOOPBACK, site)
        self._parts.append(server)
        self._note(ui=f"http://{LOOPBACK}:{port}", site=f"http://{LOOPBACK}:{site}/")
        server.begin(port)
        self._log.info("The Prefect server is ready: {ui}", ui=self._state.ui)
        self._note(overview=apply(server.api, self._settings, self._state.site))
        self._log.info("Applied work pool, limits, deployments and automations")
        worker = Worker(self._settings, server.api)
        self._parts.append(worker)
        worker.start()
        self._wait_for(worker, server.api)
        server.notify(self._ended)
        self._note(ready=True)

    def _wait_for(self, worker: Worker, api: str) -> None:
        with api_client(api) as client:
            for _ in rounds(_WORKER_TIMEOUT_S):
                if self._stop_asked():
                    return
                if WORKER in online_workers(client):
                    self._log.info("The worker {name} is online", name=WORKER)
                    return
                worker.watch()
        raise StackError("The worker is not online after two minutes.", next_step="See SEC_STATE_DIR/logs.")

    def _watch(self) -> None:
        started_again = [part.watch() for part in self._parts]
        if any(started_again):
            self._note()
        if self._settings.database_url is None and time.monotonic() > self._next_look:
            self._next_look = time.monotonic() + _LOOK_AT_POSTGRES_S
            self._keep_postgres()

    def _keep_postgres(self) -> None:
        if embedded.running_server(self._settings.postgres_dir):
            return
        try:
            embedded.ensure_running(self._settings.postgres_dir)
        except DatabaseUnavailable as error:
            self._log.bind(code=error.code).error("PostgreSQL has stopped and does not start: {error}", error=error)
        else:
            self._log.bind(code="part_died").error("PostgreSQL had stopped; it runs again")

    def _stop_asked(self) -> bool:
        return self._ended.is_set() or self._folder.stop_asked()

    def _stop(self) -> None:
        self._log.info("Stopping")
        self._ended.set()
        for part in reversed(self._parts):
            part.stop()
        if self._settings.database_url is None:
            embedded.stop(self._settings.postgres_dir)
        self._folder.clear()
        self._log.info("Everything has stopped")

    def _note(self, **known: object) -> None:
        """Write down what is known of the stack."""
        parts = {part.name: process for part in self._parts if (process := part.id) is not None}
        self._state = self._state.model_copy(update=known | {"parts": parts})
        self._folder.write(self._state)


def up(settings: Settings, on_ready: Callable[[dict[str, str]], None]) -> bool:
    """Run the stack in the foreground, unless it runs already; `on_ready` gets the addresses, once all is up.

    Returns:
        Whether this call ran it (and it has stopped now); False if it runs elsewhere.

    Raises:
        SecError: A part did not start.
    """
    private_folder(settings.run_dir)
    try:
        with FileLock(settings.run_dir / "stack.lock", timeout=0):
            Stack(settings, told_to_end()).run(on_ready)
            return True
    except Timeout:
        on_ready(_wait_for_stack(settings).pages)
        return False


def up_detached(settings: Settings) -> StackState:
    """Start the stack in the background, unless it runs already, and wait until it is up.

    Raises:
        StackError: It did not come up; the message names its log.
    """
    log = settings.logs_dir / "stack.log"
    environment = dict(os.environ) | settings.environment
    supervisor = start_process("deployments.cli.main", ["up"], environment, log, tied=False)
    return _wait_for_stack(settings, supervisor, log)


def _wait_for_stack(settings: Settings, supervisor: psutil.Popen | None = None, log: Path | None = None) -> StackState:
    for _ in rounds(_READY_TIMEOUT_S):
        state = RunFolder(settings.run_dir).running()
        if state is not None and state.ready:
            return state
        if supervisor is not None and supervisor.poll() not in {None, 0}:
            break  # 0: another one runs already
    said = log.read_text(encoding="utf-8", errors="replace").splitlines() if log else []
    reason = next((line.removeprefix("sec:") for line in reversed(said) if line.startswith("sec:")), "")
    raise StackError(f"The local stack did not start.{reason}", next_step=f"See {log or settings.logs_dir}.")


def down(settings: Settings) -> bool:
    """Stop everything that runs for a data folder; returns whether anything was running.

    Raises:
        DatabaseUnavailable: The embedded PostgreSQL did not stop.
    """
    folder = RunFolder(settings.run_dir)
    state = folder.running()
    if state is not None:
        folder.ask_to_stop()
        for _ in rounds(_STOP_TIMEOUT_S, 0.1):
            if state.supervisor.process() is None:
                break
        end(state.supervisor.process())
        folder.clear()
    return embedded.stop(settings.postgres_dir) or state is not None
