"""Checks of the services on this machine, for `sec doctor`: the Prefect server, its workers, the monitor's schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from deployments.stack.api import WORK_POOL, api_client, online_workers, prepare_environment, running_api
from deployments.stack.state import RunFolder
from sec_core.errors import DatabaseError
from sec_core.health.verdict import Check, Level

if TYPE_CHECKING:
    from sec_core.config import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """What is known of the services.

    Attributes:
        checks: The checks; none where no Prefect server is meant to run.
        monitored: Whether the monitor is meant to run.
    """

    checks: tuple[Check, ...] = ()
    monitored: bool = False


def look_at_services(settings: Settings) -> Services:
    """Look at the Prefect server that `sec up` runs, or that is configured."""
    prepare_environment(settings)
    state = RunFolder(settings.run_dir).running()
    try:
        configured = running_api(settings)
    except DatabaseError:
        configured = None  # whose it is stands in the database; the check of that says what is wrong
    api = configured or (state.api if state else None)
    if api is None:
        return Services((Check("services", Level.GOOD, "No `sec up` runs; commands work without it."),))
    with api_client(api) as client:
        try:
            online = online_workers(client)
            monitored = is_scheduled(client, "monitor")
        except (httpx.HTTPError, ValueError) as error:
            step = "Run `sec up`; its logs are under SEC_STATE_DIR/logs."
            text = f"The Prefect server at {api} does not answer as it should: {type(error).__name__}."
            return Services((Check("services", Level.BAD, text, step),))
    if not online:
        text = f"No worker of the pool {WORK_POOL} is online: scheduled runs wait."
        return Services((Check("services", Level.BAD, text, "Run `sec up`, or `sec worker`."),), monitored)
    text = f"The Prefect server answers at {api}; online: {', '.join(online)}."
    return Services((Check("services", Level.GOOD, text),), monitored)


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
