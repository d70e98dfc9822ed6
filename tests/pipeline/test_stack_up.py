"""`sec up` for real: embedded PostgreSQL, a Prefect server with a password, a worker, and what happens when they die.

The tests share one stack and follow each other in the order of this file.
"""

import json
import os
import re
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

import httpx
import psutil
import pytest
from selenium.webdriver import Chrome
from support import receivers
from support.prefect_ui import PrefectUi
from support.stack import PASSWORD, USER, Stack, eventually

from deployments.stack.services import free_port
from sec_core.db import embedded
from sec_core.hours import Month
from sec_core.simulator.faults import FaultOptions
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.server import Simulator

pytestmark = pytest.mark.timeout(600)

MONTH = "2025-04"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack against a simulated SEC, with receivers of notices; stopped and looked after at the end."""
    folder = tmp_path_factory.mktemp("stack")
    told: list[dict[str, Any]] = []
    mailed: list[EmailMessage] = []
    with (
        receivers.webhook(told) as webhook,
        receivers.mail_server(mailed) as mail_server,
        Simulator(world=WorldOptions.tiny(seed=3)) as source,
    ):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "SEC_"))}
        environment |= {
            "SEC_BASE_URL": source.url,
            "SEC_DATA_DIR": "data",
            # Another test's stack may be starting at the same time.
            "SEC_UI_PORT": str(free_port()),
            # A month takes 12 seconds: long enough to be cut off.
            "SEC_MAX_RATE": "60",
            "SEC_RETRIES": "0",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "SEC_PREFECT_AUTH": f"{USER}:{PASSWORD}",
            "SEC_NOTIFY_URL": webhook,
            "SEC_NOTIFY_EMAIL": "team@example.org",
            "SEC_SMTP_URL": mail_server,
            "SUPABASE_URL": "",
            "SUPABASE_KEY": "",
        }
        made = Stack(folder, environment, source, told, mailed)
        try:
            made.up()
            # Each ten minutes it would ask for hours of its own, and one that is triggered beside it is cancelled.
            made.pause("monitor")
            yield made
        finally:
            made.sec("down")
            embedded.stop(folder / "data" / "postgres")


def test_up_brings_the_deployments_with_their_schedules(stack: Stack) -> None:
    found = stack.ask("deployments/filter")
    assert {deployment["name"] for deployment in found} >= {"monthly-sync", "rerun-month", "monitor", "health"}
    assert str(stack.folder) not in json.dumps(found), "a deployment names no folder of this machine"
    assert os.getcwd() not in json.dumps(found)  # noqa: PTH109 - as text
    limits = stack.ask("v2/concurrency_limits/filter")
    assert {limit["name"] for limit in limits} == {"sec-source", *(f"runs of {each['name']}" for each in found)}
    monthly = stack.deployment("monthly-sync")
    query = {"deployments": {"id": {"any_": [monthly]}}, "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    # The server's scheduler has made the next runs out of the schedule: the 2nd at 03:00 in Chile.
    runs = eventually(lambda: stack.ask("flow_runs/filter", **query))
    assert {run["expected_start_time"][8:16] for run in runs} <= {"02T06:00", "02T07:00"}


def test_the_api_asks_for_its_password_and_listens_on_loopback_alone(stack: Stack) -> None:
    assert httpx.post(f"{stack.state.api}/flows/filter", json={}).status_code == 401
    server = stack.state.parts["The Prefect server"].process()
    assert server is not None
    listening = [each.laddr.ip for each in server.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    assert set(listening) == {"127.0.0.1"}


def test_the_api_gives_no_secret_away(stack: Stack) -> None:
    kinds = ("block_documents", "variables", "automations", "deployments")
    text = "".join(json.dumps(stack.ask(f"{kind}/filter", include_secrets=True)) for kind in kinds)
    for name in ("SEC_NOTIFY_URL", "SEC_SMTP_URL", "SEC_PREFECT_AUTH"):
        assert stack.environment[name] not in text
    # Nor do process lists.
    for known in (stack.state.supervisor, *stack.state.parts.values()):
        process = known.process()
        assert process is not None
        assert PASSWORD not in str(process.cmdline())


def test_a_second_up_finds_the_first(stack: Stack) -> None:
    before = stack.state
    assert stack.up() == before


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("monthly-sync", {"month": "2024-13"}),
        ("rerun-month", {"months": ["2024-08", "yesterday"]}),
        ("monitor", {"closed_hours": 1000}),
    ],
)
def test_bad_parameters_are_refused_by_the_server(stack: Stack, name: str, parameters: dict[str, Any]) -> None:
    body = {"parameters": parameters}
    answer = stack.api("POST", f"/deployments/{stack.deployment(name)}/create_flow_run", body)
    assert answer.status_code in {409, 422}


def test_the_worker_runs_the_monitor_and_other_commands_use_the_same_server(stack: Stack) -> None:
    owned = stack.folder / "owned"
    # What a caller of the API would have run instead of the flow.
    instead = {"command": f"touch {owned}", "env": {"SEC_BASE_URL": "http://127.0.0.1:9/"}, "working_dir": "/"}
    run_id = stack.trigger("monitor", parameters={"closed_hours": 2}, job_variables=instead)
    stack.wait_for(run_id, "COMPLETED")
    assert not owned.exists()
    status = json.loads(stack.sec("status", "--json").stdout)
    assert sum(month["captured"] for month in status["months"]) >= 2
    health = json.loads(stack.sec("doctor", "--json").stdout)
    checks = {check["name"]: check["level"] for check in health["checks"]}
    assert checks["services"] == checks["source"] == checks["newest capture"] == "good"
    assert stack.sec("load", "--month", MONTH).returncode == 0
    query = {"flow_runs": {"name": {"like_": f"load {MONTH} ("}}}
    assert len(stack.ask("flow_runs/filter", **query)) == 1


def test_a_month_is_rerun_with_the_form_of_the_ui_and_three_triggers_of_it_cost_one(
    stack: Stack, browser: Chrome
) -> None:
    ui = PrefectUi(browser, stack.state.ui)
    ui.sign_in(f"{USER}:{PASSWORD}")
    ui.open_deployment("rerun-month")
    ui.begin_custom_run()
    ui.write_month("2025-13")
    ui.wait_for_complaint("2025-13")
    ui.write_month("next month")
    ui.wait_for_complaint("next month")
    ui.write_month("2025-2")
    others = [stack.trigger("rerun-month", parameters={"months": "2025-02"}) for _ in range(2)]

    def runs(*states: str) -> list[dict[str, Any]]:
        found = stack.ask("flow_runs/filter", flow_runs={"name": {"like_": "rerun-month 2025-02 ("}})
        return [run for run in found if run["state_name"] in states]

    waiting = eventually(lambda: runs("Waiting"))
    words = r"Waiting for rerun-month 2025-02 \(20.{14}\), which is requesting the hours of 2025-02; nothing to do"
    assert re.fullmatch(words, waiting[0]["state"]["message"])
    ui.leave_form()
    ui.open_run("rerun-month 2025-02")
    ui.wait_for_state("Completed")
    for run in others:
        stack.wait_for(run, "COMPLETED")
    february = set(Month.parse("2025-02").hours())
    assert sum(hour in february for hour in stack.source.hours_asked()) == len(february) == 672
    assert len(runs("Completed")) >= 3
    artifacts = ui.artifacts()
    keys = {f"{each}-2025-02" for each in ("capture", "hours", "month", "quality")}
    assert set(artifacts) == {*keys, "site"}
    (calendar,) = ui.read_artifact(artifacts["hours-2025-02"], "pre")
    assert calendar.splitlines()[1].split() == ["01", *["#"] * 24]
    figures = ui.read_artifact(artifacts["month-2025-02"], "table tr")
    assert "captured 672 hours" in [" ".join(line.split()) for line in figures]
    rules = ui.read_artifact(artifacts["quality-2025-02"], "table tr")
    assert len(rules) == 1 + 5
    months = ui.read_artifact(stack.state.pages["All months"], "table tr")
    # The monitor's month may be there, too.
    assert months[-1].split()[:7] == ["2025-02", "✓", "complete", "672", "672", "0", "0"]
    (site,) = ui.links(artifacts["site"], stack.state.site)
    browser.get(site)
    assert browser.title.startswith("Cortes")
    browser.get(stack.state.pages["Runs of months"])
    ui.open_run("rerun-month 2025-02")


def test_a_cancelled_backfill_cancels_its_months(stack: Stack) -> None:
    # No month may be done before the word is out.
    stack.source.set_faults(FaultOptions(latency_s=1))
    backfill = stack.trigger("backfill", parameters={"first": "2024-01", "last": "2024-02"})

    def months() -> list[str]:
        query = {"flow_runs": {"parent_flow_run_id": {"any_": [backfill]}}}
        found = stack.ask("flow_runs/filter", **query)
        return sorted(run["state_type"] for run in found)

    eventually(lambda: len(found := months()) == 2 and "RUNNING" in found)
    # What the button Cancel does.
    stack.ask(f"flow_runs/{backfill}/set_state", state={"type": "CANCELLING"})
    stack.wait_for(backfill, "CANCELLED")
    eventually(lambda: months() == ["CANCELLED"] * 2)
    stack.source.set_faults(FaultOptions())


def test_a_run_whose_process_died_is_marked_crashed_told_and_rerun_as_it_is(stack: Stack) -> None:
    # A heartbeat comes every 30 seconds: 35 are enough to miss one.
    stack.shorten_silence(35)
    run_id = stack.trigger("monthly-sync", parameters={"month": MONTH})
    asked = len(stack.source.hours_asked())
    eventually(lambda: len(stack.source.hours_asked()) > asked + 20)
    worker = stack.state.parts["The worker"].process()
    assert worker is not None
    for process in [worker, *worker.children(recursive=True)]:
        process.kill()
    assert stack.run(run_id)["state_type"] == "RUNNING"
    # The supervisor brings a new worker, and the silence is noticed.
    eventually(lambda: stack.state.parts["The worker"].pid != worker.pid)
    crashed = stack.wait_for(run_id, "CRASHED")
    assert "Retry" in crashed["state"]["message"]
    notice = eventually(lambda: next((each for each in stack.told if each["flow"] == "monthly-sync"), None))
    assert (notice["run"][:20], notice["state"]) == (f"monthly-sync {MONTH}", "Crashed")
    assert notice["message"] in notice["text"]
    letter = eventually(lambda: next((each for each in stack.mailed if "monthly-sync" in each["subject"]), None))
    assert (letter["from"].addresses[0].addr_spec, letter["to"]) == ("sec@example.org", "team@example.org")
    assert letter["subject"] == f"sec: {notice['run']} Crashed"
    assert notice["message"] in " ".join(letter.get_content().split())
    # What the button Retry does; the month goes on where it was.
    stack.ask(f"flow_runs/{run_id}/set_state", state={"type": "SCHEDULED", "name": "AwaitingRetry"}, force=True)
    stack.wait_for(run_id, "COMPLETED")
    month = json.loads(stack.sec("status", "--month", MONTH, "--json").stdout)["months"][0]
    assert (month["captured"], month["complete"]) == (720, True)


def test_a_server_and_a_postgresql_that_die_are_started_again(stack: Stack) -> None:
    before = stack.state.parts["The Prefect server"]
    server = before.process()
    postgres = embedded.running_server(stack.folder / "data" / "postgres")
    assert server is not None
    assert postgres is not None
    server.kill()
    psutil.Process(postgres.pid).kill()
    eventually(lambda: stack.state.parts["The Prefect server"] != before)
    eventually(lambda: stack.api("POST", "/flow_runs/count", {}).is_success)
    again = embedded.running_server(stack.folder / "data" / "postgres")
    assert again is not None
    assert again.port == postgres.port


def completed(stack: Stack) -> int:
    return int(stack.ask("flow_runs/count", flow_runs={"state": {"type": {"any_": ["COMPLETED"]}}}))


def test_the_parts_of_a_killed_supervisor_end_and_the_next_up_finds_its_history(stack: Stack) -> None:
    count, killed = completed(stack), stack.state
    supervisor = killed.supervisor.process()
    assert supervisor is not None
    supervisor.kill()
    supervisor.wait(10)
    eventually(lambda: not [known for known in killed.parts.values() if known.process() is not None])
    assert stack.up().supervisor != killed.supervisor
    assert completed(stack) >= count >= 3


def test_down_ends_everything_and_a_run_that_it_cut_off_says_so(stack: Stack) -> None:
    run_id = stack.trigger("rerun-month", parameters={"months": "2025-05"})
    stack.wait_for(run_id, "RUNNING")
    state = stack.state
    assert stack.sec("down").returncode == 0
    assert [known for known in (state.supervisor, *state.parts.values()) if known.process() is not None] == []
    assert embedded.running_server(stack.folder / "data" / "postgres") is None
    assert stack.sec("down").stdout.strip() == "Nothing was running."
    # Prefect's own tables, as the next `up` will find them.
    history = embedded.ensure_running(stack.folder / "data" / "postgres").at("sec_prefect")
    query = "select s.type::text, s.message from flow_run r join flow_run_state s on s.id = r.state_id where r.id = %s"
    with history.connect() as connection:
        ((kind, message),) = connection.execute(query, (run_id,)).fetchall()
    assert kind == "CRASHED"
    assert "worker was stopped" in str(message)
