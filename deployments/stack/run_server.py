"""A Prefect server alone, as a container runs it: its history in the database `prefect` beside the pipeline's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loguru import logger

from deployments.stack.processes import Part
from deployments.stack.server import answers, history_of, prepare_environment, start_server, wait_until_ready
from deployments.stack.worker import TICK_S, until_told_to_end
from sec_core.db.database import open_database

if TYPE_CHECKING:
    from sec_core.config import Settings


def run_server(settings: Settings, *, host: str, port: int) -> None:
    """Keep a Prefect server alive until this process is told to end.

    Args:
        settings: Where the database is.
        host: Address to listen on.
        port: TCP port.

    Raises:
        DatabaseUnavailable: PostgreSQL can't be reached.
        PrefectServerError: The server did not start.
    """
    ended = until_told_to_end()
    prepare_environment(settings)
    database = open_database(settings)
    address = database.address
    database.dispose()
    log, api = settings.logs_dir / "prefect-server.log", f"http://127.0.0.1:{port}/api"
    history = history_of(settings, address)
    server = Part(
        "The Prefect server",
        lambda: start_server(settings, history, log, port=port, host=host)[0],
        log,
        answers=lambda: answers(api),
    )
    try:
        wait_until_ready(server.start(), api, log)
        logger.bind(stage="stack").info("the Prefect server listens on {host}:{port}", host=host, port=port)
        while not ended.wait(TICK_S):
            server.watch()
    finally:
        server.stop()
