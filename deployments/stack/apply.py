"""What a Prefect server holds of this project, as code: work pool, limits, deployments, and the watch over dead runs.

Everything goes through the server's REST interface, so that the supervisor needs no Prefect; `prefect.yaml` is read by
Prefect's own command.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from deployments.stack.api import MARK, WORK_POOL, PrefectServerError, api_client, own_id, why_not_ours
from sec_core.errors import ConfigError
from tasks.limits import OVERVIEW, SITE_VARIABLE, SOURCE_LIMIT

if TYPE_CHECKING:
    from sec_core.config import Settings

FILE_NAME = "prefect.yaml"

# A run is started in the worker's folder and environment, by Prefect's own command. No variable changes what it runs.
JOB_TEMPLATE: dict[str, Any] = {
    "job_configuration": {"working_dir": ".", "stream_output": True},
    "variables": {"type": "object", "properties": {}},
}
POOL = {
    "name": WORK_POOL,
    "type": "process",
    "description": "Processes on the residential machine: the SEC drops requests from datacentres.",
    "base_job_template": JOB_TEMPLATE,
}
MONTHS_AT_ONCE = 4
# Queues keep heavy work from filling the machine while small, punctual work waits. Priority 1 goes first.
QUEUES: tuple[dict[str, Any], ...] = (
    {
        "name": "light",
        "priority": 1,
        "concurrency_limit": None,
        "description": "Small and punctual: the monitor, health, maintenance, and a backfill that hands out months.",
    },
    {
        "name": "months",
        "priority": 10,
        "concurrency_limit": MONTHS_AT_ONCE,
        "description": "Whole months and all of Gold: a few at once, each takes up to 1 GB of memory.",
    },
)

CRASHED_AFTER_S = 90
"""Silence after which a run counts as dead: three heartbeats (`PREFECT_FLOWS_HEARTBEAT_FREQUENCY`)."""

_ENDED = ("Completed", "Failed", "Cancelled", "Crashed")
# A run that waits for a person or for its next attempt is silent too.
_WAITING = ("Paused", "Suspended", "AwaitingRetry", "Scheduled")
CRASH_DETECTION: dict[str, Any] = {
    "name": "Mark runs crashed whose process died",
    "description": "A run sends a heartbeat every 30 seconds. After 90 seconds without one its process is dead.",
    "enabled": True,
    "trigger": {
        "type": "event",
        # A process may die before its first heartbeat, or before its run is marked Running.
        "after": [f"prefect.flow-run.{name}" for name in ("Pending", "Running", "heartbeat")],
        "expect": [f"prefect.flow-run.{name}" for name in ("Running", "heartbeat", *_ENDED, *_WAITING)],
        "match": {"prefect.resource.id": "prefect.flow-run.*"},
        "for_each": ["prefect.resource.id"],
        "posture": "Proactive",
        "threshold": 1,
        "within": CRASHED_AFTER_S,
    },
    "actions": [
        {
            "type": "change-flow-run-state",
            "state": "CRASHED",
            "message": "The process or machine of this run died: no heartbeat for 90 seconds. "
            "Nothing that was captured is lost; press Retry, or run the same month again.",
        }
    ],
}
# Of the version before: these blocks gave the webhook's address and the mail password to every caller of the API.
_OLD_AUTOMATIONS = ("Tell of failed runs", "Tell when nobody looks at health")
_OLD_BLOCKS = (("webhook", "sec-notify"), ("sec-mail", "sec-mail"))


def apply(api: str, settings: Settings, site: str | None = None) -> str:
    """Bring a Prefect server, which belongs to this installation from now on, to what the project says.

    With `site`, the address at which the stack serves the site, runs link to it. Gives the overview's path in the UI.

    Raises:
        ConfigError: The server is another installation's, or `prefect.yaml` can't be found.
        PrefectServerError: Something was refused; the message says what and why.
    """
    file = _prefect_file()
    if (reason := why_not_ours(settings, api, unmarked=True)) is not None:
        raise ConfigError(f"The Prefect server at {api} can't be used: {reason}.", next_step="Check PREFECT_API_URL.")
    try:
        with api_client(api, timeout_s=30) as client:
            mark(client, settings)
            apply_pool(client)
            _ensure_automation(client)
            overview = _ensure_overview(client)
            if site is not None:
                _put(
                    client,
                    "/variables/",
                    f"/variables/name/{SITE_VARIABLE}",
                    {"name": SITE_VARIABLE, "value": site},
                )
    except httpx.HTTPError as error:
        raise PrefectServerError(f"The Prefect server at {api} refused a request: {error}") from error
    apply_limits(api, settings)
    _deploy(file, api)
    with api_client(api, timeout_s=30) as client:
        _name_limits(client)
    return f"/artifacts/artifact/{overview}"


def mark(client: httpx.Client, settings: Settings) -> None:
    """Let a server say to which installation it belongs."""
    _put(client, "/variables/", f"/variables/name/{MARK}", {"name": MARK, "value": own_id(settings)})


def apply_pool(client: httpx.Client) -> None:
    """Make the work pool and its queues, and remove what the version before kept beside them."""
    _put(client, "/work_pools/", f"/work_pools/{WORK_POOL}", POOL)
    queues = f"/work_pools/{WORK_POOL}/queues"
    for queue in QUEUES:
        _put(client, queues, f"{queues}/{queue['name']}", queue)
    _remove_old(client)


def apply_limits(api: str, settings: Settings) -> None:
    """Make the global concurrency limit on days that are requested: as many as all runs of months work on at once.

    Raises:
        PrefectServerError: The server refused.
    """
    from sec_core.usecases.capture import days_at_once  # noqa: PLC0415 - imports what captures

    slots = MONTHS_AT_ONCE * days_at_once(settings.max_concurrency)
    limit = {"name": SOURCE_LIMIT, "limit": slots, "active": True}
    try:
        with api_client(api, timeout_s=30) as client:
            _put(client, "/v2/concurrency_limits/", f"/v2/concurrency_limits/{SOURCE_LIMIT}", limit)
    except httpx.HTTPError as error:
        raise PrefectServerError(f"The Prefect server at {api} refused a request: {error}") from error


def _ensure_overview(client: httpx.Client) -> str:
    """The id of the overview, made if a run has not written it yet."""
    wanted = {"artifacts": {"key": {"any_": [OVERVIEW]}}, "limit": 1}
    found = client.post("/artifacts/latest/filter", json=wanted).raise_for_status().json()
    if found:
        return str(found[0]["latest_id"])
    text = "No month was asked for yet. Run the deployment monthly-sync, or rerun-month for any month."
    made = {"key": OVERVIEW, "type": "markdown", "data": text, "description": "All months"}
    return str(client.post("/artifacts/", json=made).raise_for_status().json()["id"])


def _name_limits(client: httpx.Client) -> None:
    """Name the limit of each deployment after it; Prefect names it after a number."""
    for each in client.post("/deployments/filter", json={}).raise_for_status().json():
        limit = each["global_concurrency_limit"]
        if limit and limit["name"] != (wanted := f"runs of {each['name']}"):
            client.patch(f"/v2/concurrency_limits/{limit['id']}", json={"name": wanted}).raise_for_status()


def _put(client: httpx.Client, all_of_them: str, one: str, wanted: dict[str, Any]) -> None:
    """Make an object, or change it where it exists."""
    changed = client.patch(one, json={name: value for name, value in wanted.items() if name not in {"name", "type"}})
    if changed.status_code == httpx.codes.NOT_FOUND:
        made = client.post(all_of_them, json=wanted)
        if made.status_code != httpx.codes.CONFLICT:  # another process was quicker
            made.raise_for_status()
    else:
        changed.raise_for_status()


def _ensure_automation(client: httpx.Client) -> None:
    found = _automations(client, CRASH_DETECTION["name"])
    for extra in found[1:]:
        client.delete(f"/automations/{extra['id']}").raise_for_status()
    if not found:
        client.post("/automations/", json=CRASH_DETECTION).raise_for_status()
    # A changed automation begins to count anew: leave an unchanged one alone.
    elif not _holds(found[0], CRASH_DETECTION):
        client.put(f"/automations/{found[0]['id']}", json=CRASH_DETECTION).raise_for_status()


def _automations(client: httpx.Client, name: str) -> list[dict[str, Any]]:
    wanted = {"automations": {"name": {"any_": [name]}}}
    found: list[dict[str, Any]] = client.post("/automations/filter", json=wanted).raise_for_status().json()
    return found


def _holds(found: object, wanted: object) -> bool:
    """Whether `found` says all that `wanted` says, whatever the server adds and however it sorts."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(name in found and _holds(found[name], value) for name, value in wanted.items())
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(any(_holds(each, value) for each in found) for value in wanted)
    return found == wanted


def _remove_old(client: httpx.Client) -> None:
    for name in _OLD_AUTOMATIONS:
        for automation in _automations(client, name):
            client.delete(f"/automations/{automation['id']}").raise_for_status()
    for kind, name in _OLD_BLOCKS:
        found = client.get(f"/block_types/slug/{kind}/block_documents/name/{name}")
        if found.is_success:
            client.delete(f"/block_documents/{found.json()['id']}").raise_for_status()


def _prefect_file() -> Path:
    """`prefect.yaml`: beside the source, else in the present folder."""
    for folder in (Path(__file__).resolve().parents[2], Path.cwd()):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise ConfigError(f"{FILE_NAME} is not here.", next_step="Run the command in the project's folder.")


def _deploy(file: Path, api: str) -> None:
    """All deployments, by Prefect's own reading of the file."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    environment = dict(os.environ) | {"PREFECT_API_URL": api}
    done = subprocess.run(  # noqa: S603 - our own interpreter and constants
        command,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise PrefectServerError(
            f"The deployments of {FILE_NAME} were refused: {' '.join(lines[-3:])}", next_step="Correct the file."
        )
