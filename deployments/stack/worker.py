"""The worker: takes scheduled runs from the work pool and runs each in a process of its own."""

from __future__ import annotations

import os
import platform
import time
from typing import TYPE_CHECKING

import httpx
import psutil
from loguru import logger

from deployments.stack.api import WORK_POOL, answers, api_client, prepare_environment, why_not_ours
from deployments.stack.matters import CUT_OFF, WORKER_STOPPED
from deployments.stack.processes import Part, start_process, until_told_to_end
from deployments.stack.server import TICK_S, free_port
from deployments.stack.state import RunFolder
from sec_core.errors import ConfigError

if TYPE_CHECKING:
    import subprocess
    import threading
    from pathlib import Path

    from deployments.stack.settings import StackSettings
    from sec_core.config import Settings

LOG_NAME = "prefect-worker.log"
_SAY_EVERY_S = 60


def worker_name() -> str:
    """Name of this machine's worker in the UI."""
    return f"sec-{platform.node() or 'worker'}"


def worker_part(settings: Settings, options: StackSettings, api: str, health_port: int | None = None) -> Part:
    """The worker as a part that is kept alive; on `health_port` of loopback it says whether it polls."""
    # A run is started in the folder of the worker; a relative data folder stays the one that was meant.
    environment = dict(os.environ) | settings.environment | {"PREFECT_API_URL": api}
    arguments = ["worker", "start", "--pool", WORK_POOL, "--type", "process", "--name", worker_name()]
    arguments += ["--limit", str(options.worker_limit), "--install-policy", "never"]
    if health_port is not None:
        environment["PREFECT_WORKER_WEBSERVER_HOST"] = "127.0.0.1"
        environment["PREFECT_WORKER_WEBSERVER_PORT"] = str(health_port)
        arguments.append("--with-healthcheck")
    log = settings.logs_dir / LOG_NAME

    def start() -> subprocess.Popen[bytes]:
        return start_process("prefect", arguments, environment, log)

    return Part("The worker", start, log)


def run_worker(settings: Settings, options: StackSettings, api: str) -> None:
    """Keep a worker alive until this process is told to end (SIGTERM, Ctrl-C).

    Raises:
        ConfigError: The API belongs to another installation: its runs are not for our database.
    """
    prepare_environment(settings)
    ended = until_told_to_end()
    if not _wait_for(api, ended):
        return
    if (reason := why_not_ours(settings, api, unmarked=True)) is not None:
        raise ConfigError(f"There is no work at {api}: {reason}.", next_step="Check PREFECT_API_URL.")
    port = free_port()
    RunFolder(settings.run_dir).make()
    _port_file(settings).write_text(str(port), encoding="ascii")
    worker = worker_part(settings, options, api, port)
    try:
        worker.start()
        logger.bind(stage="stack").info("The worker {name} takes runs from {api}", name=worker_name(), api=api)
        while not ended.wait(TICK_S):
            worker.watch()
    finally:
        stop_worker(worker, api)
        _port_file(settings).unlink(missing_ok=True)
        logger.bind(stage="stack").info("The worker has stopped")


def stop_worker(worker: Part, api: str) -> None:
    """End a worker and its runs, and mark these as crashed: they can be retried as they are."""
    ended = [str(pid) for pid in worker.stop()]
    if not ended:
        return
    cut_off = {
        "type": "CRASHED",
        "name": "Crashed",
        "message": f"{WORKER_STOPPED} Nothing that was captured is lost; press Retry.",
    }
    # Some runs still say themselves that they were cut off, in Prefect's words.
    states = {"any_": ["PENDING", "RUNNING", "CANCELLING", "CRASHED"]}
    wanted = {"flow_runs": {"state": {"type": states}}, "sort": "START_TIME_DESC"}
    try:
        with api_client(api) as client:
            for run in client.post("/flow_runs/filter", json=wanted).raise_for_status().json():
                said = str(run["state"].get("message") or "")
                if run["state_type"] == "CRASHED" and not said.startswith(CUT_OFF):
                    continue
                if str(run["infrastructure_pid"] or "") in ended:
                    state = {"state": cut_off, "force": True}
                    client.post(f"/flow_runs/{run['id']}/set_state", json=state).raise_for_status()
    except httpx.HTTPError as error:
        # Where the server is gone too, the silence of these runs says the same a little later.
        logger.bind(stage="stack").warning("Runs cut off could not be marked: {error}", error=repr(error))


def worker_is_alive(settings: Settings) -> bool:
    """Whether the worker of this machine or container polls for runs; True where none is meant to run here."""
    if not _port_file(settings).exists():
        # In a container of another command there is no worker to ask.
        return "worker" not in psutil.Process(1).cmdline()
    return answers(f"http://127.0.0.1:{_port_file(settings).read_text(encoding='ascii')}", timeout_s=10)


def _wait_for(api: str, ended: threading.Event) -> bool:
    """Wait until the API answers; False if this process was told to end meanwhile."""
    said = -float(_SAY_EVERY_S)
    while not answers(api):
        if time.monotonic() - said >= _SAY_EVERY_S:
            said = time.monotonic()
            logger.bind(stage="stack", code="waiting").warning("Waiting for the Prefect API at {api}", api=api)
        if ended.wait(2):
            return False
    return True


def _port_file(settings: Settings) -> Path:
    """Holds the TCP port of loopback on which the worker says whether it polls."""
    return settings.run_dir / f"worker-{platform.node() or 'here'}.port"
