"""A Prefect server for tests, and what its artifacts hold."""

from collections.abc import Iterator
from contextlib import contextmanager

from deployments.stack.services import Server, free_port
from deployments.stack.settings import load_stack_settings
from sec_core.config import Settings
from sec_core.db.address import Address
from support.stack import ask


@contextmanager
def prefect_server(settings: Settings, ours: Address) -> Iterator[str]:
    """Start a server as the pipeline does, its tables beside or in our database; gives the address of its API."""
    server = Server(settings, load_stack_settings(), ours)
    try:
        yield server.begin(free_port())
    finally:
        server.stop()


def newest_artifact(api: str, key: str) -> str:
    """What the newest artifact with a key holds."""
    query = {"artifacts": {"key": {"any_": [key]}}, "sort": "CREATED_DESC", "limit": 1}
    return str(ask(api, "artifacts/filter", **query)[0]["data"])
