"""The examples of docs/research.md run as they stand, on the Gold of a simulated world."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import polars as pl
from support.gold_world import FixedClock, load_world

from sec_core.gold.build import build_gold

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from sec_core.config import Settings
    from sec_core.db.database import Database

BLOCK = re.compile(r"^## ([^\n]*)\n(?:(?!^## ).)*?```python\n(.*?)```", re.DOTALL | re.MULTILINE)


def examples(root: Path) -> dict[str, str]:
    """Code of the page by the first word of its heading."""
    page = (root / "docs" / "research.md").read_text(encoding="utf-8")
    return {heading.split(":")[0]: code for heading, code in BLOCK.findall(page)}


def run(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_examples_run_and_agree(
    database: Database, make_settings: Callable[..., Settings], request: pytest.FixtureRequest
) -> None:
    settings = make_settings()
    load_world(database, settings)
    build_gold(database, settings, FixedClock())
    code = examples(request.config.rootpath)
    assert code.keys() == {"Polars", "DuckDB", "pandas", "The metadata"}

    worst = run(code["Polars"] + "\nprint('hours', worst['customer_hours'][0])", settings.root)
    events = pl.read_parquet(settings.gold_dir / "golden_interrupciones.parquet")
    lost = (
        events.filter(pl.col("nombre_comuna") != "UNKNOWN").group_by("nombre_comuna").agg(pl.col("cliente_horas").sum())
    )
    assert f"hours {max(lost['cliente_horas'].to_list())}" in worst

    peaks = run(code["DuckDB"] + "\nprint('most', peaks.fetchall()[0][1])", settings.root)
    september = pl.read_parquet(settings.gold_dir / "observaciones" / "anho=2025" / "mes=09" / "*.parquet")
    sums = september.group_by("hora").agg(pl.col("clientes_afectados").sum())["clientes_afectados"].to_list()
    assert f"most {max(sums)}" in peaks

    table = run(code["pandas"] + "\ntable.to_json('table.json', orient='records')", settings.root)
    assert "recomputed" in table
    rows = json.loads((settings.root / "table.json").read_bytes())
    assert len(rows) > 1
    assert max(abs(row["saidi_observado"] - row["recomputed"]) for row in rows) < 1e-7

    assert "cliente_horas: Customer-hours" in run(code["The metadata"], settings.root)
