"""The Prefect API that this installation uses: which one, how it is asked, how it is, and what it holds of the project.

Everything goes through its REST interface: Prefect reads its environment when it is imported, so nothing here imports
it, and the supervisor needs none. `prefect.yaml` is read by Prefect's own command.
"""

import os
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from loguru import logger

from deployments.stack.history import installation_id
from deployments.stack.matters import CUT_OFF, WORKER_STOPPED
from deployments.stack.processes import RunFolder, rounds
from deployments.stack.settings import LOOPBACK_NAMES, keep_loopback_direct, load_stack_settings
from sec_core.bronze.ledger_rules import days_at_once
from sec_core.config import Settings
from sec_core.db.database import address_of
from sec_core.errors import ConfigError, DatabaseError, SecError
from sec_core.health.verdict import Check, Level
from tasks.limits import OVERVIEW, SITE_VARIABLE, SOURCE_LIMIT

WORK_POOL = "residential"
# The Prefect variable that says which installation a server belongs to.
MARK = "sec_installation"

_RESTART_TIMEOUT_S = 20
# A person's own profile and database are not ours to use.
_NOT_OURS = ("PREFECT_PROFILE", "PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_SERVER_DATABASE_")
_DEFAULTS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # Runs are forgotten after 90 days, events sooner: Prefect's own tables stay small.
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    # The terminal shows the pipeline's own lines; Prefect's warnings still come through.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",
    "PREFECT_LOGGING_TO_API_MAX_LOG_SIZE": "100000",
    # A run that falls silent is marked Crashed: see deployments/stack/applied.toml.
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
}

FILE_NAME = "prefect.yaml"

_APPLIED: dict[str, Any] = tomllib.loads(files("deployments.stack").joinpath("applied.toml").read_text("utf-8"))
POOL: dict[str, Any] = {"name": WORK_POOL} | _APPLIED["pool"]
QUEUES: dict[str, dict[str, Any]] = {each["name"]: {"concurrency_limit": None} | each for each in _APPLIED["queues"]}
CRASH_DETECTION: dict[str, Any] = _APPLIED["crash_detection"]

# Of the version before: these blocks gave the webhook's address and the mail password to every caller of the API.
_OLD_AUTOMATIONS = ("Tell of failed runs", "Tell when nobody looks at health")
_OLD_BLOCKS = (("webhook", "sec-notify"), ("sec-mail", "sec-mail"))


class PrefectServerError(SecError):
    """The Prefect server did not start, or refused something."""

    code = "prefect_server"


def prepare_environment(settings: Settings) -> None:
    """Set what Prefect reads from the environment when it is imported.

    Prefect's own folder and database are ours, whatever profile a person uses; other settings that a person made stay.

    Raises:
        ConfigError: A setting of the stack is malformed.
    """
    keep_loopback_direct()
    for name in [name for name in os.environ if name.startswith(_NOT_OURS)]:
        del os.environ[name]
    os.environ["PREFECT_HOME"] = str(settings.prefect_dir)
    os.environ["PREFECT_PROFILES_PATH"] = str(settings.prefect_dir / "profiles.toml")
    auth = load_stack_settings().prefect_auth
    if auth is not None:
        # What the server asks for, and what clients answer.
        os.environ["PREFECT_SERVER_API_AUTH_STRING"] = os.environ["PREFECT_API_AUTH_STRING"] = auth.get_secret_value()
    os.environ.setdefault("PREFECT_LOCAL_STORAGE_PATH", str(settings.results_dir))
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)


def api_client(url: str, timeout_s: float = 10) -> httpx.Client:
    """A client for questions that need no Prefect library; it shows the password that the API asks for."""
    auth = load_stack_settings().prefect_auth
    known = auth.get_secret_value() if auth else os.environ.get("PREFECT_API_AUTH_STRING", "")
    user, _, password = known.partition(":")
    here = urlsplit(url).hostname in LOOPBACK_NAMES
    return httpx.Client(base_url=url, auth=(user, password) if user else None, timeout=timeout_s, trust_env=not here)


def answers(url: str, timeout_s: float = 5) -> bool:
    """Whether a Prefect API answers."""
    with suppress(httpx.HTTPError, httpx.InvalidURL), api_client(url, timeout_s) as client:
        return client.get("/health").status_code == httpx.codes.OK
    return False


def find(client: httpx.Client, what: str, **wanted: object) -> list[dict[str, Any]]:
    """Objects of a kind, such as `flow_runs`, that a Prefect filter lets through.

    Raises:
        httpx.HTTPError: The Prefect API does not answer as it should.
    """
    answer = client.post(f"/{what}/filter", json=wanted)
    found: list[dict[str, Any]] = []
    if answer.status_code != httpx.codes.NOT_FOUND:
        found = answer.raise_for_status().json()
    return found


def running_api(settings: Settings) -> str | None:
    """Address of the Prefect API of this installation's stack; None if no stack runs.

    That is the stack of this data folder, else the one that `PREFECT_API_URL` names, if it answers and belongs to this
    installation. An address that does not is named in a warning and passed over.
    """
    state = RunFolder(settings.run_dir).running()
    if state is not None:
        for _ in rounds(_RESTART_TIMEOUT_S):
            if answers(state.api):
                return state.api
        _pass_over(state.ui, "it does not answer")
    given = os.environ.get("PREFECT_API_URL")
    if given and (state is None or given != state.api):
        if (reason := why_not_ours(settings, given)) is None:
            return given
        _pass_over(given, reason)
    return None


def why_not_ours(settings: Settings, url: str, *, unmarked: bool = False) -> str | None:
    """Why a Prefect API is not the one of this installation, or None if it is.

    With `unmarked`, a server that belongs to nobody yet will do.
    """
    if (urlsplit(url).hostname or "").endswith("prefect.cloud"):
        return "it is Prefect Cloud"
    if not answers(url):
        return "it does not answer"
    with api_client(url) as client:
        mark = client.get(f"/variables/name/{MARK}")
    if mark.status_code == httpx.codes.NOT_FOUND:
        return None if unmarked else "it is not a stack of this project"
    if mark.status_code == httpx.codes.UNAUTHORIZED:
        return "it does not accept SEC_PREFECT_AUTH"
    if not mark.is_success or mark.json()["value"] != own_id(settings):
        return "it belongs to another installation, with another database"
    return None


def own_id(settings: Settings) -> str:
    """This installation's identifier; starts the embedded server if that is our database's."""
    return installation_id(address_of(settings))


def online_workers(client: httpx.Client) -> list[str]:
    """Names of the pool's workers that have told of themselves lately.

    Raises:
        httpx.HTTPError: The Prefect API does not answer as it should.
    """
    workers = find(client, f"work_pools/{WORK_POOL}/workers")
    return sorted(worker["name"] for worker in workers if worker["status"] == "ONLINE")


def is_scheduled(client: httpx.Client, name: str) -> bool:
    """Whether a deployment is meant to run by itself.

    Raises:
        httpx.HTTPError: The Prefect API does not answer as it should.
    """
    found = find(client, "deployments", deployments={"name": {"any_": [name]}})
    return any(not each["paused"] and any(plan["active"] for plan in each["schedules"]) for each in found)


def mark_cut_off(api: str, processes: Collection[int]) -> None:
    """Mark runs whose processes a worker's end has ended as crashed: they can be retried as they are."""
    message = f"{WORKER_STOPPED} Nothing that was captured is lost; press Retry."
    cut_off = {"state": {"type": "CRASHED", "name": "Crashed", "message": message}, "force": True}
    # Some runs still say themselves that they were cut off, in Prefect's words.
    states = {"any_": ["PENDING", "RUNNING", "CANCELLING", "CRASHED"]}
    try:
        with api_client(api) as client:
            for run in find(client, "flow_runs", flow_runs={"state": {"type": states}}, sort="START_TIME_DESC"):
                said = str(run["state"].get("message") or "")
                known = run["state_type"] == "CRASHED" and not said.startswith(CUT_OFF)
                if not known and run["infrastructure_pid"] in map(str, processes):
                    client.post(f"/flow_runs/{run['id']}/set_state", json=cut_off).raise_for_status()
    except httpx.HTTPError as error:
        # Where the server is gone too, the silence of these runs says the same a little later.
        logger.bind(stage="stack").warning("Runs cut off could not be marked: {error}", error=repr(error))


def look_at_services(settings: Settings) -> tuple[Check, bool]:
    """Look at the Prefect server that `sec up` runs, or that is configured; and whether the monitor is meant to run."""
    prepare_environment(settings)
    state = RunFolder(settings.run_dir).running()
    try:
        configured = running_api(settings)
    except DatabaseError:
        configured = None  # whose it is stands in the database; the check of that says what is wrong
    api = configured or (state.api if state else None)
    if api is None:
        return Check("services", Level.GOOD, "No `sec up` runs; commands work without it."), False
    try:
        with api_client(api) as client:
            online, monitored = online_workers(client), is_scheduled(client, "monitor")
    except (httpx.HTTPError, ValueError) as error:
        step = "Run `sec up`; its logs are under SEC_STATE_DIR/logs."
        text = f"The Prefect server at {api} does not answer as it should: {type(error).__name__}."
        return Check("services", Level.BAD, text, step), False
    if not online:
        text = f"No worker of the pool {WORK_POOL} is online: scheduled runs wait."
        return Check("services", Level.BAD, text, "Run `sec up`, or `sec worker`."), monitored
    text = f"The Prefect server answers at {api}; online: {', '.join(online)}."
    return Check("services", Level.GOOD, text), monitored


def _pass_over(url: str, reason: str) -> None:
    logger.bind(stage="run", code=PrefectServerError.code).warning("Not using the Prefect API at {}: {}", url, reason)


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
