"""The flow `release` as the Prefect UI starts it."""

import asyncio

import pytest
from support.gold_world import load_world
from support.prefect_server import newest_artifact

from flows.gold import release
from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.errors import PublicationError
from sec_core.gold.release.write import ReleaseReport, check_release


async def test_a_release_from_the_ui_shows_what_it_holds(
    pipeline: Settings, prefect_url: str, database: Database
) -> None:
    load_world(database, pipeline)
    with pytest.raises(PublicationError, match="less than 95%"):
        await release("2025.9")
    made = await release("2025.9", draft=True)
    assert isinstance(made, ReleaseReport)
    assert check_release(pipeline, "2025.9") == []
    artifact = await asyncio.to_thread(newest_artifact, prefect_url, "release-2025-9")
    assert "golden_interrupciones" in artifact
    assert "primera entrega" in artifact
