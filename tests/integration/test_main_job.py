"""The main job on the real captures and on the simulated world, through the `sec` command."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import text
from support.fixtures import on_disk
from support.truth import assert_loaded, truth_of

from deployments.cli.main import main
from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.hours import Month
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.server import Simulator
from sec_core.source.shapes import Shape

EXPORT = "select string_agg(t::text, '|' order by t::text) from {name} t"
TABLES = (
    "fact_observaciones", "fact_interrupciones", "cargas", "tramos", "calidad_imputacion", "nombres_no_resueltos",
    "revisiones",
)  # fmt: skip


def sync(month: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Run `sec sync --json` and give its report."""
    assert main(["sync", "--month", month, "--json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def contents(database: Database) -> dict[str, str]:
    """Every table as an ordered export."""
    with database.engine.connect() as connection:
        return {name: str(connection.execute(text(EXPORT.format(name=name))).scalar()) for name in TABLES}


@pytest.fixture
def replay(captures_dir: Path, commands: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A simulated SEC that replays the real captures."""
    assert commands.database_url
    with Simulator(captures=captures_dir) as source:
        monkeypatch.setenv("SEC_BASE_URL", source.url)
        yield source


def test_real_captures_give_their_known_figures_and_nothing_changes_when_run_again(
    replay: Simulator, database: Database, commands: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = {
        "2026-08": {"captured": 56, "empty": 688, "rows": 12_111, "customers": 1_348_157, "unresolved": 0},
        "2024-08": {"captured": 1, "empty": 743, "rows": 299, "customers": 1_176_268},
        "2025-01": {"captured": 1, "rows": 604, "observations": 267, "events": 267, "customers": 21_759},
        "2025-02": {"captured": 1, "rows": 831, "customers": 5_482},
    }
    for month, figures in expected.items():
        report = sync(month, capsys)
        assert {name: report[name] for name in figures} == figures
    assert report["requests"] == 28 * 24
    with database.engine.connect() as connection:
        metropolitana = connection.execute(
            text(
                "select sum(clientes_afectados) from fact_observaciones join dim_geografia using (id_geografia) "
                "where hora = '2024-08-02T16:00Z' and nombre_region = 'METROPOLITANA'"
            )
        ).scalar()
    assert metropolitana == 716_423
    quality = json.loads((on_disk(commands.gold) / "dashboard_stats" / "eda_quality_stats.json").read_bytes())
    assert [row["category"] for row in quality][1] == "Geography = UNKNOWN (Imputed)"
    assert quality[1]["count"] == 1

    before = contents(database)
    asked = len(replay.hours_asked())
    again = {month: sync(month, capsys) for month in expected}
    assert contents(database) == before
    # Captured hours are settled; the empty ones are asked for until they have been empty for a week.
    assert len(replay.hours_asked()) - asked == sum(report["empty"] for report in again.values())
    assert all(report["loaded_hours"] == 0 for report in again.values())


@pytest.mark.parametrize("shape", list(Shape))
def test_events_are_the_simulated_truth(
    shape: Shape,
    commands: Settings,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    month = Month(2025, 4)
    with Simulator(world=WorldOptions.tiny(seed=7, stale_rows=2), shape=shape) as source:
        monkeypatch.setenv("SEC_BASE_URL", source.url)
        report = sync(str(month), capsys)
        truth = truth_of(source)
        hours = truth.hours_with_data(month.hours())
        events = truth.events(hours)
        rows = sum(truth.row_count(hour) for hour in hours)
    assert report["rows"] == rows
    assert report["events"] == len(events) > 50
    assert pl.read_parquet(on_disk(commands.gold) / "golden_interrupciones.parquet").height == len(events)
    assert_loaded(database, events)
