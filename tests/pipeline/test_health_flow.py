"""Health: what the hourly run and `sec doctor` find out about a real database and a simulated source."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sqlalchemy import text

from deployments.cli.main import main
from flows.upkeep import PipelineUnhealthy, health
from sec_core.simulator.faults import FaultOptions, FaultRule
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sec_core.config import Settings
    from sec_core.db.database import Database


@pytest.fixture
def source(pipeline: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A simulated SEC that the pipeline's settings point at."""
    assert pipeline.retries == 0
    with Simulator(world=WorldOptions.tiny()) as simulator:
        monkeypatch.setenv("SEC_BASE_URL", simulator.url)
        monkeypatch.setenv("SEC_CIRCUIT_FAILURES", "1")
        yield simulator


def doctor(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code of `sec doctor --json`, and its checks by name."""
    code = main(["doctor", "--json"])
    verdict = json.loads(capsys.readouterr().out)
    return code, {check["name"]: check for check in verdict["checks"]}


async def test_a_good_verdict_leaves_an_artifact(source: Simulator, prefect_url: str) -> None:
    verdict = await health()
    assert verdict.troubles == []
    assert len(source.requests) == 1
    query = {"artifacts": {"key": {"any_": ["health"]}}, "sort": "CREATED_DESC", "limit": 1}
    async with httpx.AsyncClient(base_url=prefect_url) as client:
        answer = await client.post("/artifacts/filter", json=query)
    artifact = answer.raise_for_status().json()[0]
    assert [row["what"] for row in json.loads(artifact["data"])] == [check.name for check in verdict.checks]


async def test_a_bad_verdict_is_a_failed_run_that_says_what_to_do(source: Simulator, database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(
            text(
                "insert into capturas (hora, estado, intentos, primera_consulta, ultima_consulta) "
                "values ('2026-06-10T15:00Z', 'quarantined', 1, now(), now())"
            )
        )
    assert source.requests == []
    with pytest.raises(PipelineUnhealthy, match=r"quarantine: 1 hours have only answers.*A changed API"):
        await health()


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
