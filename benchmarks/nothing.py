"""A flow that does nothing: what Prefect costs by itself."""

from __future__ import annotations

from prefect import flow


@flow
async def nothing() -> None:
    """Nothing."""
