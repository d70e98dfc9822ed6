"""Fixtures for flows: one Prefect server for all of them, and an environment that points at a test's own data."""

import os
from collections.abc import Iterator

import pytest
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_LOCAL_STORAGE_PATH,
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
    temporary_settings,
)
from support.browser import browser
from support.fixtures import other_database
from support.prefect_server import prefect_server

from deployments.stack.api import api_client, apply_limits, mark
from sec_core.config import Settings, load_settings
from sec_core.db.address import Address
from sec_core.simulator.server import Simulator
from tasks import runtime

__all__ = ["browser"]


@pytest.fixture(scope="package")
def prefect_url(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """API of a real Prefect server on PostgreSQL, started with the locked dependencies as the pipeline starts it."""
    folder = tmp_path_factory.mktemp("prefect")
    settings = load_settings(_env_file=None, data_dir=folder, state_dir=None)
    # Test processes share PostgreSQL, and each has a Prefect server with tables of its own.
    name = f"sec_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
    own = other_database(Address.parse(server_url), name)
    with prefect_server(settings, own) as url:
        apply_limits(url, settings)
        # Test modules may have imported Prefect, and with it its settings, before the server was there.
        values = {
            PREFECT_API_URL: url,
            PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False,
            PREFECT_LOCAL_STORAGE_PATH: settings.results_dir,
        }
        with temporary_settings(values):
            yield url
            APILogWorker.drain_all(timeout=10)


@pytest.fixture
def pipeline(prefect_url: str, commands: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of `commands`, for flows that run under the tests' Prefect server."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_url)
    # A command of another test may have set up logging in this process since, without Prefect's sink.
    monkeypatch.setitem(runtime._logging, "ready", False)
    # The server is this installation's: commands run their flows there.
    with api_client(prefect_url) as client:
        mark(client, commands)
    return commands


@pytest.fixture
def source(pipeline: Settings, source: Simulator) -> Simulator:
    """The simulated SEC that flows under the tests' Prefect server find."""
    assert pipeline.base_url
    return source
