"""Schedules of deployments, switched off in tests: a monitor every ten minutes would add hours of its own."""

from __future__ import annotations

import httpx


def pause_schedules(prefect_url: str) -> None:
    """Let no deployment run by itself.

    Args:
        prefect_url: Address of the Prefect API.
    """
    deployments = httpx.post(f"{prefect_url}/deployments/filter", json={}).raise_for_status().json()
    for deployment in deployments:
        httpx.post(f"{prefect_url}/deployments/{deployment['id']}/pause_deployment").raise_for_status()
