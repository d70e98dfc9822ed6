"""Runs as Prefect sees them: names and logs, tasks that are cached until what they read changes, the limit's slots."""

import asyncio
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.logging.handlers import APILogWorker
from selenium.webdriver import Chrome
from support.capturing import keep_answers
from support.fixtures import on_disk
from support.gold_world import load_world
from support.prefect_server import newest_artifact
from support.prefect_ui import PrefectUi
from support.stack import ask, eventually

from deployments.stack.api import apply_limits
from flows.gold import explain, gold, regional_customers, release
from flows.months import capture, monthly_sync, reprocess, rerun_month
from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.errors import ConfigError, PublicationError, UnexpectedBody
from sec_core.gold.release.write import ReleaseReport, check_release
from sec_core.hours import Month
from sec_core.simulator.faults import FaultOptions, FaultRule
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.server import Simulator
from sec_core.usecases.reports import MonthsIncomplete
from tasks.limits import OVERVIEW, SOURCE_LIMIT

MONTH = "2025-02"
FEBRUARY = Month(2025, 2).hours()
WORLD = WorldOptions.tiny(seed=9, rows_per_hour=5)


def latest(api: str, flow_run: str) -> dict[str, Any]:
    """The newest run of a name, whenever it began."""
    query = {"name": {"like_": f"{flow_run.partition(' (')[0]} (20"}}
    run: dict[str, Any] = ask(api, "flow_runs/filter", flow_runs=query, sort="START_TIME_DESC")[0]
    return run


def logs(api: str, flow_run_id: str, last: str) -> list[str]:
    """All lines of a run's log, once the last one is there: they come late, and in pages."""
    APILogWorker.drain_all(timeout=10)
    lines: list[str] = []
    of_run = {"flow_run_id": {"any_": [flow_run_id]}}
    while page := ask(api, "logs/filter", logs=of_run, sort="TIMESTAMP_ASC", limit=200, offset=len(lines)):
        lines += [line["message"] for line in page]
    return lines if any(last in line for line in lines) else []


def task_states(api: str, flow_run: str, *wanted: str) -> dict[str, str]:
    """State of each task of the newest run of a name, once all have ended and those wanted are there."""
    runs = {"flow_runs": {"id": {"any_": [latest(api, flow_run)["id"]]}}}

    def ended() -> dict[str, str] | None:
        found = {task["name"]: task["state_name"] for task in ask(api, "task_runs/filter", **runs)}
        return found if found.keys() >= set(wanted) and not {"Running", "Pending"} & set(found.values()) else None

    states: dict[str, str] = eventually(ended)
    return states


@pytest.mark.usefixtures("site_drawn")
def test_a_run_is_seen_and_gold_is_cached_until_what_it_reads_changes_or_a_file_is_gone(
    source: Simulator, prefect_url: str, pipeline: Settings, database: Database
) -> None:
    keep_answers(source, database, pipeline, FEBRUARY[:-72])
    asyncio.run(monthly_sync(month=MONTH))
    assert latest(prefect_url, f"monthly-sync {MONTH}")["state_type"] == "COMPLETED"
    expected = {"capture 2025-02-26", f"load {MONTH}", "build Gold", "customers by region", "publish"}
    expected.add("put up the site")
    assert set(task_states(prefect_url, f"monthly-sync {MONTH}", *expected).values()) == {"Completed"}
    run_id = latest(prefect_url, f"monthly-sync {MONTH}")["id"]
    lines = eventually(lambda: logs(prefect_url, run_id, "Finished in state"))
    assert any("[capture] Requesting 72 hours" in line for line in lines)
    assert [line for line in lines if "Finished in state" in line] == ["Finished in state Completed()"]

    asked = len(source.requests)
    asyncio.run(monthly_sync(month=MONTH))
    again = task_states(prefect_url, f"monthly-sync {MONTH}", *expected - {"capture 2025-02-26"})
    assert (again["build Gold"], again["customers by region"]) == ("Cached", "Cached")
    assert len(source.requests) == asked

    page = on_disk(pipeline.gold) / "site" / "index.html"
    page.unlink()
    asyncio.run(gold())
    assert task_states(prefect_url, "gold", "build Gold") == {"build Gold": "Completed"}
    assert page.exists()
    for result in (on_disk(pipeline.gold).parent / "prefect").rglob("build-gold*"):
        result.unlink()

    # Something that Gold reads; the same bytes in another version count as a change, never the other way round.
    with database.engine.begin() as connection:
        connection.exec_driver_sql("update cargas set clientes = clientes where hora = (select min(hora) from cargas)")
    asyncio.run(gold())
    assert task_states(prefect_url, "gold", "build Gold") == {"build Gold": "Completed"}
    asyncio.run(gold())
    assert task_states(prefect_url, "gold", "build Gold") == {"build Gold": "Cached"}

    asyncio.run(reprocess(first=MONTH, last=MONTH))
    assert task_states(prefect_url, f"reprocess {MONTH} to {MONTH}", "build Gold")["build Gold"] == "Completed"
    found = asyncio.run(explain("reliability", [f"mes={MONTH}", "nombre_region=CHILE"]))
    assert found.equal, found.differences
    assert found.denominator is not None
    assert found.denominator["origen"] == "SIMULACIÓN"
    assert "bodies: equal" in newest_artifact(prefect_url, "explain-reliability").replace("\\", "")
    assert len(source.requests) == asked


def artifacts(api: str, flow_run_id: str) -> dict[str, str]:
    """What a run left, by key: text, or the description of a bar or table."""
    found = ask(api, "artifacts/filter", flow_runs={"id": {"any_": [flow_run_id]}})
    return {each["key"]: str(each["data"] if each["type"] == "markdown" else each["description"]) for each in found}


def test_hours_that_always_fail_end_a_run_red_with_its_artifacts_and_the_next_month_runs(
    source: Simulator, prefect_url: str, pipeline: Settings, database: Database, browser: Chrome
) -> None:
    january = Month(2025, 1).hours()
    keep_answers(source, database, pipeline, [*january[:192], *january[264:], *FEBRUARY[24:]])
    bad = FaultRule.parse("status,status=500,hours=2025-01-10T07..2025-01-10T08")
    source.set_faults(FaultOptions(rules=(bad,)))
    with pytest.raises(MonthsIncomplete):
        asyncio.run(rerun_month(months=["2025-1", MONTH]))
    run = latest(prefect_url, f"rerun-month 2025-01, {MONTH}")
    message = run["state"]["message"]
    assert message.startswith("1 of 2 months misses 2 hours: 2025-01 (2025-01-10 07h-08h). In the UI: press Retry")
    assert run["state_type"] == "FAILED"
    left = artifacts(prefect_url, run["id"])
    kinds = ("capture", "month", "quality", "hours")
    assert left.keys() - {"overview"} == {f"{kind}-{month}" for kind in kinds for month in ("2025-01", MONTH)} | {
        "months"
    }
    assert "10   #  #  #  #  #  #  #  x  x  #" in left["hours-2025-01"]
    states = task_states(prefect_url, run["name"], "capture 2025-01-10", "publish", "put up the site")
    assert {name for name, state in states.items() if state != "Completed"} == {"capture 2025-01-10"}
    assert states["capture 2025-01-10"] == "HoursFailed"
    lines = eventually(lambda: logs(prefect_url, run["id"], "Finished in state Failed"))
    assert not [line for line in lines if "Traceback" in line or "Finished in state Completed" in line]

    ui, address = PrefectUi(browser, prefect_url), prefect_url.removesuffix("/api")
    browser.get(f"{address}/runs/flow-run/{run['id']}")
    ui.wait_for_state("Failed")
    (overview,) = ask(prefect_url, "artifacts/latest/filter", artifacts={"key": {"any_": [OVERVIEW]}})
    rows = ui.read_artifact(f"{address}/artifacts/artifact/{overview['latest_id']}", "table tr")
    shown = {line.split()[0]: line.split()[1:7] for line in rows[1:]}
    assert shown["2025-01"] == ["✗", "incomplete", "744", "737", "5", "2"]
    assert shown[MONTH] == ["✓", "complete", "672", "672", "0", "0"]


def test_a_run_that_waits_for_the_source_says_until_when(
    source: Simulator,
    prefect_url: str,
    pipeline: Settings,
    database: Database,
    browser: Chrome,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep_answers(source, database, pipeline, FEBRUARY[192:])
    monkeypatch.setenv("SEC_CIRCUIT_FAILURES", "2")
    monkeypatch.setenv("SEC_CIRCUIT_COOLDOWN_S", "8")
    source.set_faults(FaultOptions(rules=(FaultRule.parse("status,endpoint=all,requests=100..100000"),)))
    ui, address = PrefectUi(browser, prefect_url), prefect_url.removesuffix("/api")
    wanted = {"name": {"like_": f"capture {MONTH} ("}, "state": {"name": {"any_": ["Waiting"]}}}
    bar = f"capture-{MONTH}"

    def look() -> dict[str, Any]:
        (run,) = eventually(lambda: ask(prefect_url, "flow_runs/filter", flow_runs=wanted))
        eventually(lambda: "; nothing to do" in artifacts(prefect_url, run["id"]).get(bar, "").replace("\\", ""))
        browser.get(f"{address}/runs/flow-run/{run['id']}")
        ui.wait_for_state("Waiting")
        source.set_faults(FaultOptions())
        return dict(run)

    async def wait() -> dict[str, Any]:
        running = asyncio.create_task(capture(month=MONTH))
        seen = await asyncio.to_thread(look)
        await running
        return seen

    run = asyncio.run(wait())
    words = r"Waiting for the source until 20\d\d-\d\d-\d\d \d\d:\d\d in Chile \(.*\d\d:\d\d UTC\); nothing to do"
    assert re.fullmatch(words, run["state"]["message"])
    assert latest(prefect_url, run["name"])["state_name"] == "Completed"
    assert eventually(lambda: "SourceAtRest" in task_states(prefect_url, run["name"]).values())
    assert "nothing to do" not in artifacts(prefect_url, run["id"])[bar]


def test_a_source_that_changes_in_the_middle_leaves_what_was_good(
    source: Simulator, prefect_url: str, database: Database
) -> None:
    source.set_faults(FaultOptions(rules=(FaultRule.parse("renamed_key,hours=2025-02-08T00..2025-02-28T23"),)))
    with pytest.raises(UnexpectedBody):
        asyncio.run(monthly_sync(month=MONTH))
    run = latest(prefect_url, f"monthly-sync {MONTH}")
    words = "The source's answers have changed: .* In the UI: see the artifacts of this run; run reprocess .* On the "
    assert re.match(
        words + "command line: .*`sec reprocess`. The trace is in SEC_STATE_DIR/logs/sec-", run["state"]["message"]
    )
    assert artifacts(prefect_url, run["id"]).keys() >= {f"{each}-{MONTH}" for each in ("hours", "month", "quality")}
    with database.engine.connect() as connection:
        assert (connection.exec_driver_sql("select count(*) from cargas").scalar() or 0) >= 7 * 24 - 16


def test_customers_that_the_database_lost_are_asked_for_again(
    source: Simulator, prefect_url: str, database: Database
) -> None:
    asyncio.run(regional_customers())
    asked = len(source.requests)
    report = asyncio.run(regional_customers())
    assert (len(source.requests), report.regions) == (asked, 16)
    assert task_states(prefect_url, "regional-customers", "customers by region") == {"customers by region": "Cached"}
    with database.engine.begin() as connection:
        connection.exec_driver_sql("delete from clientes_regionales where codigo_region = '05'")
    assert asyncio.run(regional_customers()) == report
    assert len(source.requests) == 2 * asked
    assert task_states(prefect_url, "regional-customers", "customers by region") == {"customers by region": "Completed"}


def test_days_hold_slots_of_the_limit_on_the_source_while_they_ask(
    source: Simulator, prefect_url: str, pipeline: Settings
) -> None:
    source.set_faults(FaultOptions(latency_s=0.2))
    seen: list[int] = []

    async def watch_slots() -> None:
        run = asyncio.create_task(capture(month=MONTH))
        async with httpx.AsyncClient() as client:
            while sum(map(bool, seen)) < 4 and not run.done():
                await asyncio.sleep(0.3)
                limit = (await client.get(f"{prefect_url}/v2/concurrency_limits/{SOURCE_LIMIT}")).json()
                seen.append(limit["active_slots"])
        run.cancel()
        with suppress(asyncio.CancelledError):
            await run

    began = datetime.now(UTC)
    asyncio.run(watch_slots())
    assert 1 <= max(seen) <= 1 + (pipeline.max_concurrency + 11) // 12
    events = {"event": {"name": ["prefect.concurrency-limit.acquired"]}, "occurred": {"since": began.isoformat()}}
    held = eventually(lambda: ask(prefect_url, "events/filter", filter=events, limit=5)["events"])
    assert any(each["resource.id"].startswith("prefect.task-run.") for event in held for each in _related(event))


def _related(event: dict[str, Any]) -> list[dict[str, str]]:
    return [{"resource.id": part["prefect.resource.id"]} for part in event["related"]]


def test_without_the_limit_a_run_says_what_makes_it(source: Simulator, prefect_url: str, pipeline: Settings) -> None:
    async def without() -> None:
        async with get_client() as client:
            await client.delete_global_concurrency_limit_by_name(SOURCE_LIMIT)
        try:
            await capture(month=MONTH)
        finally:
            await asyncio.to_thread(apply_limits, prefect_url, pipeline)

    assert source.url
    with pytest.raises(ConfigError, match="`sec deploy` makes the limit"):
        asyncio.run(without())
    assert source.hours_asked() == []


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
