"""The Prefect API that this installation uses: which one, how its clients find it, how it is asked, and how it is.

Prefect reads its environment when it is imported, so nothing here imports it.
"""

import os
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
from loguru import logger

from deployments.stack.history import installation_id
from deployments.stack.processes import RunFolder, rounds
from deployments.stack.settings import LOOPBACK_NAMES, keep_loopback_direct, load_stack_settings
from sec_core.config import Settings
from sec_core.db.database import address_of
from sec_core.errors import DatabaseError, SecError
from sec_core.health.verdict import Check, Level

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
    objects: list[dict[str, Any]] = client.post(f"/{what}/filter", json=wanted).raise_for_status().json()
    return objects


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
    answer = client.post(f"/work_pools/{WORK_POOL}/workers/filter", json={})
    if answer.status_code == httpx.codes.NOT_FOUND:
        return []
    return sorted(worker["name"] for worker in answer.raise_for_status().json() if worker["status"] == "ONLINE")


def is_scheduled(client: httpx.Client, name: str) -> bool:
    """Whether a deployment is meant to run by itself.

    Raises:
        httpx.HTTPError: The Prefect API does not answer as it should.
    """
    answer = client.get(f"/deployments/name/{name}/{name}")
    if answer.status_code == httpx.codes.NOT_FOUND:
        return False
    deployment = answer.raise_for_status().json()
    return not deployment["paused"] and any(schedule["active"] for schedule in deployment["schedules"])


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
    parts = urlsplit(url)
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    logger.bind(stage="run", code=PrefectServerError.code).warning(
        "Not using the Prefect API at {url}: {reason}", url=shown, reason=reason
    )
