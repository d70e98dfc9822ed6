"""Health: what the hourly run and `sec doctor` find out about a real database and a simulated source."""

import asyncio
import json
from typing import Any

import pytest
from prefect import State
from support.prefect_server import newest_artifact
from support.stack import ask

from deployments.cli.main import main
from flows.upkeep import PipelineUnhealthy, health, maintenance
from sec_core.db.database import Database
from sec_core.health.verdict import Verdict
from sec_core.simulator.faults import FaultOptions, FaultRule
from sec_core.simulator.server import Simulator


@pytest.fixture(autouse=True)
def _quick_to_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEC_CIRCUIT_FAILURES", "1")


def doctor(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code of `sec doctor --json`, and its checks by name."""
    code = main(["doctor", "--json"])
    verdict = json.loads(capsys.readouterr().out)
    return code, {check["name"]: check for check in verdict["checks"]}


async def test_a_good_verdict_leaves_an_artifact(source: Simulator, prefect_url: str) -> None:
    await health()
    verdict = await health()
    assert isinstance(verdict, Verdict)
    assert verdict.troubles == []
    assert len(source.requests) == 2
    artifact = await asyncio.to_thread(newest_artifact, prefect_url, "health")
    rows = [line.split(" | ") for line in artifact.splitlines() if line.startswith("| ")][1:]
    assert sorted(row[1] for row in rows) == sorted(check.name for check in verdict.checks)
    marks = [row[0].removeprefix("| ") for row in rows]
    assert marks == sorted(marks, key=["✗ bad", "⚠ look", "✓ good"].index)
    assert marks[0] == "⚠ look", "nothing is captured yet"


async def test_a_bad_verdict_is_a_failed_run_that_says_what_to_do(source: Simulator, database: Database) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql(
            "insert into capturas (hora, estado, intentos, primera_consulta, ultima_consulta) "
            "values ('2026-06-10T15:00Z', 'quarantined', 1, now(), now())"
        )
    assert source.requests == []
    with pytest.raises(PipelineUnhealthy, match=r"quarantine: 1 hour has only answers.*A changed API"):
        await health()
    state: State[Any] = await health(return_state=True)
    assert (state.is_failed(), state.name) == (True, "Bad: quarantine")


async def test_the_runs_of_what_runs_all_day_are_bounded(
    source: Simulator, prefect_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def runs() -> list[str]:
        # Without those that a schedule still plans.
        wanted = {"flows": {"name": {"any_": ["health"]}}, "flow_runs": {"start_time": {"is_null_": False}}}
        return [run["id"] for run in ask(prefect_url, "flow_runs/filter", **wanted, sort="START_TIME_DESC")]

    for _ in range(3):
        await health()
    before = runs()
    assert len(source.requests) == 3
    monkeypatch.setattr("flows.upkeep.RUNS_KEPT", {"health": 2})
    await maintenance()
    assert runs() == before[:2]


def test_doctor_says_what_is_wrong_and_its_exit_code_too(
    source: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source.set_faults(FaultOptions(rules=(FaultRule(kind="status", endpoint=None),)))
    code, checks = doctor(capsys)
    assert code == 1
    assert checks["source"]["level"] == "bad"
    assert "503" in checks["source"]["text"]
    assert checks["circuit"]["level"] == "bad"
    code, checks = doctor(capsys)
    assert (code, checks["source"]["level"]) == (1, "warn"), "the breaker kept the source from being asked"
    assert len(source.requests) == 1
    monkeypatch.setenv("SEC_DATABASE_URL", "postgresql://sec:x@127.0.0.1:1/none")
    code, checks = doctor(capsys)
    assert code == 1
    assert checks["database"]["level"] == "bad"
    assert checks["disk"]["level"] != "bad"
