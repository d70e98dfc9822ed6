"""The check of this machine's services for `sec doctor`: the Prefect server, its workers, the monitor's schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from deployments.stack.api import WORK_POOL, api_client, is_scheduled, online_workers, prepare_environment, running_api
from deployments.stack.state import RunFolder
from sec_core.errors import DatabaseError
from sec_core.health.verdict import Check, Level

if TYPE_CHECKING:
    from sec_core.config import Settings


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
