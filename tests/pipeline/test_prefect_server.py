"""Prefect's server on PostgreSQL: several that start at once on a new database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg

from deployments.stack.server import history_of, prepare_environment, start_server, stop_process, wait_until_ready

if TYPE_CHECKING:
    import pytest
    from support.fixtures import MakeSettings

    from sec_core.db.database import Database


def test_two_servers_that_start_at_once_on_a_new_database_both_come_up(
    database: Database, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{database.address.parameters['dbname']}_prefect"
    monkeypatch.setattr("deployments.stack.server.DATABASE", name)
    settings = make_settings()
    prepare_environment(settings)

    def start(number: int) -> bool:
        log = settings.logs_dir / f"server-{number}.log"
        process, url = start_server(settings, history_of(settings, database.address), log)
        try:
            wait_until_ready(process, url, log)
        finally:
            stop_process(process)
        return True

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(start, range(2))) == [True, True]
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")
