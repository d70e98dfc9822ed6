"""The worker: takes scheduled runs from the work pool and runs each in a process of its own."""

import os
import platform
from pathlib import Path

import httpx
import psutil
from loguru import logger
from typing_extensions import override

from deployments.stack.api import WORK_POOL, answers, api_client, find, prepare_environment, why_not_ours
from deployments.stack.matters import CUT_OFF, WORKER_STOPPED
from deployments.stack.processes import Part, start_process, told_to_end
from deployments.stack.server import free_port
from deployments.stack.settings import LOOPBACK, load_stack_settings
from sec_core.config import Settings, private_folder
from sec_core.errors import ConfigError

_SAY_EVERY_S = 60

# Name of this machine's worker in the UI.
WORKER = f"sec-{platform.node() or 'worker'}"


class Worker(Part):
    """The worker, kept alive; on `health_port` of loopback it says whether it polls."""

    def __init__(self, settings: Settings, api: str, health_port: int | None = None) -> None:
        # A run is started in the folder of the worker; a relative data folder stays the one that was meant.
        environment = dict(os.environ) | settings.environment | {"PREFECT_API_URL": api}
        arguments = ["worker", "start", "--pool", WORK_POOL, "--type", "process", "--name", WORKER]
        arguments += ["--limit", str(load_stack_settings().worker_limit), "--install-policy", "never"]
        if health_port is not None:
            environment["PREFECT_WORKER_WEBSERVER_HOST"] = LOOPBACK
            environment["PREFECT_WORKER_WEBSERVER_PORT"] = str(health_port)
            arguments.append("--with-healthcheck")
        self._api = api
        log = settings.logs_dir / "prefect-worker.log"
        super().__init__("The worker", lambda: start_process("prefect", arguments, environment, log), log)

    @override
    def stop(self) -> list[int]:
        """End it and its runs, and mark these as crashed: they can be retried as they are."""
        if not (ended := super().stop()):
            return ended
        message = f"{WORKER_STOPPED} Nothing that was captured is lost; press Retry."
        cut_off = {"state": {"type": "CRASHED", "name": "Crashed", "message": message}, "force": True}
        # Some runs still say themselves that they were cut off, in Prefect's words.
        states = {"any_": ["PENDING", "RUNNING", "CANCELLING", "CRASHED"]}
        try:
            with api_client(self._api) as client:
                for run in find(client, "flow_runs", flow_runs={"state": {"type": states}}, sort="START_TIME_DESC"):
                    said = str(run["state"].get("message") or "")
                    known = run["state_type"] == "CRASHED" and not said.startswith(CUT_OFF)
                    if not known and run["infrastructure_pid"] in map(str, ended):
                        client.post(f"/flow_runs/{run['id']}/set_state", json=cut_off).raise_for_status()
        except httpx.HTTPError as error:
            # Where the server is gone too, the silence of these runs says the same a little later.
            logger.bind(stage="stack").warning("Runs cut off could not be marked: {error}", error=repr(error))
        return ended


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
    port = free_port()
    private_folder(settings.run_dir)
    _port_file(settings).write_text(str(port), encoding="ascii")
    worker = Worker(settings, api, port)
    try:
        worker.start()
        log.info("The worker {name} takes runs from {api}", name=WORKER, api=api)
        worker.keep(ended)
    finally:
        worker.stop()
        _port_file(settings).unlink(missing_ok=True)
        log.info("The worker has stopped")


def worker_is_alive(settings: Settings) -> bool:
    """Whether the worker of this machine or container polls for runs; True where none is meant to run here."""
    if not _port_file(settings).exists():
        # In a container of another command there is no worker to ask.
        return "worker" not in psutil.Process(1).cmdline()
    return answers(f"http://{LOOPBACK}:{_port_file(settings).read_text(encoding='ascii')}", timeout_s=10)


def _port_file(settings: Settings) -> Path:
    """Holds the TCP port of loopback on which the worker says whether it polls."""
    return settings.run_dir / f"worker-{platform.node() or 'here'}.port"
