"""A Prefect server for tests, and what its artifacts hold."""

from collections.abc import Iterator
from contextlib import contextmanager

from deployments.stack.api import prepare_environment
from deployments.stack.services import served
from sec_core.config import Settings
from sec_core.db.address import Address
from support.stack import ask


@contextmanager
def prefect_server(settings: Settings, ours: Address) -> Iterator[str]:
    """Start a server as the pipeline does, its tables beside or in our database; gives the address of its API."""
    prepare_environment(settings)
    with served(settings, ours) as api:
        yield api


def newest_artifact(api: str, key: str) -> str:
    """What the newest artifact with a key holds."""
    query = {"artifacts": {"key": {"any_": [key]}}, "sort": "CREATED_DESC", "limit": 1}
    return str(ask(api, "artifacts/filter", **query)[0]["data"])
