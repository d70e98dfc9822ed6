"""What a Prefect server holds of this project, as code: work pool, limits, deployments, and the watch over dead runs.

Everything goes through the server's REST interface, so that the supervisor needs no Prefect; `prefect.yaml` is read by
Prefect's own command.
"""

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx

from deployments.stack.api import MARK, WORK_POOL, PrefectServerError, api_client, find, own_id, why_not_ours
from sec_core.bronze.plan import days_at_once
from sec_core.config import Settings
from sec_core.errors import ConfigError
from tasks.limits import OVERVIEW, SITE_VARIABLE, SOURCE_LIMIT

FILE_NAME = "prefect.yaml"

_APPLIED: dict[str, Any] = tomllib.loads(files("deployments.stack").joinpath("applied.toml").read_text("utf-8"))
POOL: dict[str, Any] = {"name": WORK_POOL} | _APPLIED["pool"]
QUEUES: dict[str, dict[str, Any]] = {each["name"]: {"concurrency_limit": None} | each for each in _APPLIED["queues"]}
CRASH_DETECTION: dict[str, Any] = _APPLIED["crash_detection"]

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
    with _asked(api) as client:
        mark(client, settings)
        apply_pool(client)
        _ensure_automation(client)
        overview = _ensure_overview(client)
        if site is not None:
            _set_variable(client, SITE_VARIABLE, site)
        apply_limits(api, settings)
        _deploy(file, api)
        for each in find(client, "deployments"):
            # Prefect names the limit of a deployment after a number.
            limit = each["global_concurrency_limit"]
            if limit and limit["name"] != (wanted := f"runs of {each['name']}"):
                client.patch(f"/v2/concurrency_limits/{limit['id']}", json={"name": wanted}).raise_for_status()
    return f"/artifacts/artifact/{overview}"


def mark(client: httpx.Client, settings: Settings) -> None:
    """Let a server say to which installation it belongs."""
    _set_variable(client, MARK, own_id(settings))


def apply_pool(client: httpx.Client) -> None:
    """Make the work pool and its queues, and remove what the version before kept beside them."""
    _put(client, "/work_pools/", POOL)
    for queue in QUEUES.values():
        _put(client, f"/work_pools/{WORK_POOL}/queues", queue)
    for name in _OLD_AUTOMATIONS:
        for automation in _automations(client, name):
            client.delete(f"/automations/{automation['id']}").raise_for_status()
    for kind, name in _OLD_BLOCKS:
        found = client.get(f"/block_types/slug/{kind}/block_documents/name/{name}")
        if found.is_success:
            client.delete(f"/block_documents/{found.json()['id']}").raise_for_status()


def apply_limits(api: str, settings: Settings) -> None:
    """Make the global concurrency limit on days that are requested: as many as all runs of months work on at once.

    Raises:
        PrefectServerError: The server refused.
    """
    slots = QUEUES["months"]["concurrency_limit"] * days_at_once(settings.max_concurrency)
    with _asked(api) as client:
        _put(client, "/v2/concurrency_limits/", {"name": SOURCE_LIMIT, "limit": slots, "active": True})


@contextmanager
def _asked(api: str) -> Iterator[httpx.Client]:
    """A client whose failed requests are errors of ours."""
    try:
        with api_client(api, timeout_s=30) as client:
            yield client
    except httpx.HTTPError as error:
        raise PrefectServerError(f"The Prefect server at {api} refused a request: {error}") from error


def _ensure_overview(client: httpx.Client) -> str:
    """The id of the overview, made if a run has not written it yet."""
    if found := find(client, "artifacts/latest", artifacts={"key": {"any_": [OVERVIEW]}}, limit=1):
        return str(found[0]["latest_id"])
    text = "No month was asked for yet. Run the deployment monthly-sync, or rerun-month for any month."
    made = {"key": OVERVIEW, "type": "markdown", "data": text, "description": "All months"}
    return str(client.post("/artifacts/", json=made).raise_for_status().json()["id"])


def _set_variable(client: httpx.Client, name: str, value: str) -> None:
    _put(client, "/variables/", {"name": name, "value": value}, "/variables/name")


def _put(client: httpx.Client, kind: str, wanted: dict[str, Any], by_name: str | None = None) -> None:
    """Change an object, or make it where there is none."""
    one = f"{by_name or kind.rstrip('/')}/{wanted['name']}"
    answer = client.patch(one, json={name: value for name, value in wanted.items() if name not in {"name", "type"}})
    if answer.status_code == httpx.codes.NOT_FOUND:
        answer = client.post(kind, json=wanted)
        if answer.status_code == httpx.codes.CONFLICT:
            return  # another process was quicker
    answer.raise_for_status()


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
    return find(client, "automations", automations={"name": {"any_": [name]}})


def _holds(found: object, wanted: object) -> bool:
    """Whether `found` says all that `wanted` says, whatever the server adds and however it sorts."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(name in found and _holds(found[name], value) for name, value in wanted.items())
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(any(_holds(each, value) for each in found) for value in wanted)
    return found == wanted


def _prefect_file() -> Path:
    """`prefect.yaml`: beside the source, else in the present folder."""
    for folder in (Path(__file__).resolve().parents[2], Path.cwd()):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise ConfigError(f"{FILE_NAME} is not here.", next_step="Run the command in the project's folder.")


def _deploy(file: Path, api: str) -> None:
    """All deployments, by Prefect's own reading of the file."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    done = subprocess.run(  # noqa: S603 - our own interpreter and constants
        command, env=dict(os.environ) | {"PREFECT_API_URL": api}, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, errors="replace", check=False,
    )  # fmt: skip
    if done.returncode != 0:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise PrefectServerError(
            f"The deployments of {FILE_NAME} were refused: {' '.join(lines[-3:])}", next_step="Correct the file."
        )
