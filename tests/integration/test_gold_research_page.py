"""The ten questions of docs/research.md, run as they stand on a release of a simulated world: three tools agree."""

import math
import re
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest
from support.fixtures import on_disk
from support.gold_world import FixedClock, load_world

from sec_core.config import load_settings
from sec_core.db.database import Database
from sec_core.gold.customers import dwellings
from sec_core.gold.release.write import make_release

BLOCK = re.compile(r"```python (\w+)\n(.*?)```", re.DOTALL)
TOOLS = ("duckdb", "polars", "pandas")


@pytest.fixture(scope="module")
def release(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two releases of a world with a storm; the folder of the second one, with a census in it."""
    settings = load_settings(
        _env_file=None, data_dir=tmp_path_factory.mktemp("research"), database_url=shared_database.url,
        storm_min_customers=1, storm_share=0, storm_peak=100, storm_min_comunas=1,
    )  # fmt: skip
    load_world(shared_database, settings)
    for version in ("2025.8", "2025.9"):
        make_release(shared_database, settings, FixedClock(), version, draft=True)
    folder = on_disk(settings.data) / "releases" / "2025.9"
    dwellings().select("codigo_comuna", "viviendas").write_csv(folder / "censo.csv")
    return folder


def questions(root: Path) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """The opening code of each tool, and the code of each question."""
    _, *parts = (root / "docs" / "research.md").read_text(encoding="utf-8").split("\n## ")
    opening = next(part for part in parts if "# Ten questions" in part)
    return dict(BLOCK.findall(opening)), {
        part.splitlines()[0]: dict(BLOCK.findall(part)) for part in parts if part[0].isdigit()
    }


def plain(found: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401 - whatever a tool gives
    """An answer as rows of plain values, in order; missing is None."""
    if isinstance(found, duckdb.DuckDBPyRelation):
        rows = found.fetchall()
    elif isinstance(found, pl.DataFrame):
        rows = found.rows()
    else:
        assert isinstance(found, pd.DataFrame)
        rows = list(found.itertuples(index=False, name=None))
    return [tuple(None if value is None or value != value else value for value in row) for row in rows]  # noqa: PLR0124


def alike(one: object, other: object) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-9)
    return one == other


def test_three_tools_give_one_answer_to_ten_questions(
    release: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(release)
    opening, asked = questions(request.config.rootpath)
    assert len(asked) == 10
    assert opening.keys() == set(TOOLS)
    rooms: dict[str, dict[str, Any]] = {tool: {} for tool in TOOLS}
    for tool in TOOLS:
        exec(opening[tool], rooms[tool])
    empty = []
    for question, code in asked.items():
        assert code.keys() == set(TOOLS), question
        answers = {}
        for tool in TOOLS:
            exec(code[tool], rooms[tool])
            answers[tool] = plain(rooms[tool]["found"])
        first, *others = answers.values()
        for other in others:
            assert len(first) == len(other), question
            for one, two in zip(first, other, strict=True):
                assert all(map(alike, one, two)), (question, one, two)
        if not first:
            empty.append(question)
    assert empty == []
    effects = [rooms[tool]["effect"] for tool in TOOLS]
    assert effects == pytest.approx([effects[0]] * 3)
    rooms["duckdb"]["db"].close()
