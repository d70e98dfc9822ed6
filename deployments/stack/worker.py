"""The worker: takes scheduled runs from the work pool and runs each in a process of its own."""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

import httpx
import psutil
from loguru import logger
from pydantic import BaseModel, ValidationError

from deployments.stack.processes import Part
from deployments.stack.server import (
    answers,
    api_client,
    free_port,
    prepare_environment,
    running_api,
    start_process,
)
from deployments.stack.state import ProcessId, RunFolder
from sec_core.errors import ConfigError

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from deployments.stack.settings import StackSettings
    from sec_core.config import Settings

WORK_POOL = "residential"
TICK_S = 0.5
_SAY_EVERY_S = 60


def worker_name() -> str:
    """Name of this machine's worker in the UI."""
    return f"sec-{platform.node() or 'worker'}"


def worker_environment(settings: Settings, api: str) -> dict[str, str]:
    """Environment of a worker and of the runs that it starts: they see the settings of whoever started it."""
    prepare_environment(settings)
    # A run is started in the folder of the worker; a relative data folder stays the one that was meant.
    return dict(os.environ) | settings.environment | {"PREFECT_API_URL": api}


def start_worker(
    settings: Settings, options: StackSettings, api: str, log: Path, *, name: str, health_port: int | None = None
) -> subprocess.Popen[bytes]:
    """Start a worker process.

    Args:
        settings: Settings for its runs.
        options: How many runs at once.
        api: Address of the Prefect API.
        log: Where its output goes.
        name: Its name in the UI.
        health_port: TCP port of loopback on which it says whether it polls; None for none.
    """
    environment = worker_environment(settings, api)
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", WORK_POOL, "--type", "process"]
    command += ["--name", name, "--limit", str(options.worker_limit), "--install-policy", "never"]
    if health_port is not None:
        environment |= {
            "PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1",
            "PREFECT_WORKER_WEBSERVER_PORT": str(health_port),
        }
        command.append("--with-healthcheck")
    return start_process(command, environment, log)


class WorkerState(BaseModel):
    """A supervised worker of this machine or container, written down for its health check.

    Attributes:
        supervisor: The process that keeps the worker alive.
        health_port: TCP port of loopback on which the worker answers.
    """

    supervisor: ProcessId
    health_port: int


def run_worker(settings: Settings, options: StackSettings) -> None:
    """Keep a worker alive until this process is told to end (SIGTERM, Ctrl-C).

    Raises:
        ConfigError: There is no Prefect API to work for.
    """
    prepare_environment(settings)
    api = os.environ.get("PREFECT_API_URL") or running_api(settings)
    if api is None:
        raise ConfigError(
            "There is no Prefect API to work for.",
            next_step="Set PREFECT_API_URL, or run `sec up`, which brings a worker of its own.",
        )
    ended = until_told_to_end()
    if not _wait_for(api, ended):
        return
    name, port = worker_name(), free_port()
    folder = RunFolder(settings.run_dir)
    folder.make()
    _state_file(settings).write_text(
        WorkerState(supervisor=ProcessId.of(os.getpid()), health_port=port).model_dump_json(), encoding="utf-8"
    )
    log = settings.logs_dir / "prefect-worker.log"
    worker = Part("The worker", lambda: start_worker(settings, options, api, log, name=name, health_port=port), log)
    try:
        worker.start()
        logger.bind(stage="stack").info(
            "the worker {name} takes runs of {pool} from {api}", name=name, pool=WORK_POOL, api=api
        )
        while not ended.wait(TICK_S):
            worker.watch()
    finally:
        stop_worker(worker, api)
        _state_file(settings).unlink(missing_ok=True)
        logger.bind(stage="stack").info("the worker has stopped")


def stop_worker(worker: Part, api: str) -> None:
    """End a worker and its runs, and write down of these that they were cut off: they can be retried as they are."""
    ended = [str(pid) for pid in worker.stop()]
    if not ended:
        return
    cut_off = {
        "type": "CRASHED",
        "name": "Crashed",
        "message": "The worker was stopped while this ran. Nothing that was captured is lost; press Retry.",
    }
    under_way = {"flow_runs": {"state": {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}}}
    try:
        with api_client(api) as client:
            for run in client.post("/flow_runs/filter", json=under_way).raise_for_status().json():
                if str(run["infrastructure_pid"] or "") in ended:
                    client.post(f"/flow_runs/{run['id']}/set_state", json={"state": cut_off}).raise_for_status()
    except httpx.HTTPError as error:
        # Where the server is gone too, the silence of these runs says the same a little later.
        logger.bind(stage="stack").warning("the server was not told of runs cut off: {error}", error=repr(error))


def worker_is_alive(settings: Settings) -> bool:
    """Whether the worker of this machine or container polls for runs; True where none is meant to run here."""
    try:
        state = WorkerState.model_validate_json(_state_file(settings).read_bytes())
    except (FileNotFoundError, ValidationError):
        state = None
    if state is None or state.supervisor.process() is None:
        # In a container of another command there is no worker to ask.
        return "worker" not in psutil.Process(1).cmdline()
    try:
        return httpx.get(f"http://127.0.0.1:{state.health_port}/health", timeout=10).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def online_workers(client: httpx.Client) -> list[str]:
    """Names of the pool's workers that have told of themselves lately.

    Raises:
        httpx.HTTPError: The Prefect API does not answer as it should.
    """
    answer = client.post(f"/work_pools/{WORK_POOL}/workers/filter", json={})
    if answer.status_code == httpx.codes.NOT_FOUND:
        return []
    return sorted(worker["name"] for worker in answer.raise_for_status().json() if worker["status"] == "ONLINE")


def until_told_to_end() -> threading.Event:
    """An event that is set when this process is told to end, or its terminal closes."""
    ended = threading.Event()
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is not None:
            signal.signal(number, lambda _number, _frame: ended.set())
    return ended


def _wait_for(api: str, ended: threading.Event) -> bool:
    """Wait until the API answers; False if this process was told to end meanwhile."""
    said = -float(_SAY_EVERY_S)
    while not answers(api):
        if time.monotonic() - said >= _SAY_EVERY_S:
            said = time.monotonic()
            logger.bind(stage="stack", code="waiting").warning("waiting for the Prefect API at {api}", api=api)
        if ended.wait(2):
            return False
    return True


def _state_file(settings: Settings) -> Path:
    return settings.run_dir / f"worker-{platform.node() or 'here'}.json"
