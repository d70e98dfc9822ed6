"""The runbook's backups: the whole folder, and Bronze alone, both give the same figures again."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from deployments.cli.main import main
from sec_core.config import load_settings
from sec_core.db import embedded
from sec_core.db.database import open_database
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sec_core.config import Settings


MONTH = "2025-02"
TABLES = (
    "capturas",
    "revisiones",
    "cargas",
    "fact_observaciones",
    "fact_interrupciones",
    "calidad_imputacion",
    "clientes_regionales",
)


def figures() -> dict[str, str]:
    """Every table of the data folder in force, as an ordered digest."""
    database = open_database(load_settings(_env_file=None))
    try:
        with database.engine.connect() as connection:
            return {
                name: str(
                    connection.execute(
                        text(f"select count(*) || md5(string_agg(t::text, '|' order by t::text)) from {name} t")
                    ).scalar()
                )
                for name in TABLES
            }
    finally:
        database.dispose()


@pytest.fixture
def here(pipeline: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with `data`, its own embedded PostgreSQL in it, and a month captured."""
    assert pipeline.max_concurrency == 16
    monkeypatch.setenv("SEC_DATABASE_URL", "")
    monkeypatch.setenv("SEC_DATA_DIR", "data")
    with Simulator(world=WorldOptions.tiny(seed=11)) as source:
        monkeypatch.setenv("SEC_BASE_URL", source.url)
        assert main(["sync", "--month", MONTH]) == 0
        yield tmp_path
    embedded.stop(tmp_path / "data" / "postgres")


def test_backups_give_the_same_figures(here: Path) -> None:
    before = figures()
    assert main(["down"]) == 0
    subprocess.run(["cp", "-a", "data", "backup"], check=True)
    subprocess.run(["rm", "-r", "data"], check=True)
    subprocess.run(["cp", "-a", "backup", "data"], check=True)
    assert figures() == before
    # Bronze alone, into an empty folder.
    assert main(["down"]) == 0
    subprocess.run(["rm", "-r", "data"], check=True)
    (here / "data").mkdir()
    subprocess.run(["cp", "-a", "backup/bronze", "data/"], check=True)
    assert main(["ledger", "rebuild"]) == 0
    assert main(["reprocess", "--from", MONTH, "--to", MONTH]) == 0
    assert figures() == before
