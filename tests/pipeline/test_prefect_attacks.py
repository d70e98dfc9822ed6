"""Attacks on the Prefect API from pages of other origins, in a real browser; which API a command uses, and how."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome
from support.commands import sec, start
from support.fixtures import on_disk
from support.stack import ask, eventually

from deployments.stack.api import MARK, POOL, api_client, apply_pool, mark, running_api
from deployments.stack.services import free_port, serve_site
from deployments.stack.settings import LOOPBACK
from sec_core.config import Settings
from sec_core.log import setup_logging
from sec_core.simulator.faults import FaultOptions
from sec_core.simulator.server import Simulator

SECRET = "smtps://user:open-sesame@mail.example.org"

_ATTACK = (Path(__file__).parents[1] / "support" / "attack.js").read_text(encoding="utf-8")


@pytest.fixture
def foreign_page(pipeline: Settings) -> Iterator[str]:
    """A page on another port of this machine, which is another origin: the site, if somebody else wrote it."""
    (on_disk(pipeline.gold) / "site").mkdir(parents=True)
    (on_disk(pipeline.gold) / "site" / "index.html").write_text("<!doctype html><title>evil</title><body>evil</body>")
    with serve_site(pipeline, LOOPBACK, 0) as server:
        yield f"http://{LOOPBACK}:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def deployment(prefect_url: str, pipeline: Settings) -> str:
    """A deployment of the pool, as `sec deploy` makes it."""
    assert pipeline.max_concurrency == 16
    with api_client(prefect_url) as client:
        apply_pool(client)
        flow = client.post("/flows/", json={"name": "attacked"}).raise_for_status().json()
        body = {"name": "attacked", "flow_id": flow["id"], "work_pool_name": POOL["name"], "work_queue_name": "light"}
        return str(client.post("/deployments/", json=body).raise_for_status().json()["id"])


def state(prefect_url: str, deployment: str) -> dict[str, Any]:
    with api_client(prefect_url) as client:
        query = {"deployments": {"id": {"any_": [deployment]}}}
        return {
            "runs": client.post("/flow_runs/count", json=query).json(),
            "paused": client.get(f"/deployments/{deployment}").json()["paused"],
        }


def test_a_page_of_another_origin_gets_nothing_and_changes_nothing(
    prefect_url: str, deployment: str, foreign_page: str, browser: Chrome
) -> None:
    browser.set_script_timeout(60)
    before = state(prefect_url, deployment)
    browser.get(foreign_page)
    found = browser.execute_async_script(_ATTACK, prefect_url, deployment)
    opaque = {"run as text", "run without a type", "pause"}
    assert {name: found[name] for name in found if name not in opaque} == dict.fromkeys(
        ("run", "secrets", "flows", "read", "send events", "read logs"), "refused"
    )
    assert all(found[name] in {"refused", "opaque "} for name in opaque)
    assert state(prefect_url, deployment) == before


def test_a_page_that_reaches_the_server_under_a_name_of_its_own_gets_nothing(
    prefect_url: str, deployment: str, browser: Chrome
) -> None:
    # Chromium resolves every name below localhost to this machine, as a rebinding name server would.
    here = urlsplit(prefect_url)
    evil = f"http://evil.localhost:{here.port}/api"
    browser.get(f"{evil}/health")
    assert "not known by that name" in browser.page_source
    before = state(prefect_url, deployment)
    found = browser.execute_async_script(_ATTACK, evil, deployment)
    assert not [name for name, text in found.items() if name not in {"send events", "read logs"} and "{" in text]
    assert {found["send events"], found["read logs"]} == {"refused"}
    assert state(prefect_url, deployment) == before


@pytest.mark.usefixtures("deployment")
def test_no_variable_of_a_run_changes_what_it_runs(prefect_url: str) -> None:
    with api_client(prefect_url) as client:
        pool = client.get(f"/work_pools/{POOL['name']}").raise_for_status().json()
        template = pool["base_job_template"]
        assert "{{" not in json.dumps(template["job_configuration"]), "no variable reaches the process"
        assert "command" not in template["job_configuration"]
        assert template["variables"]["properties"] == {}


@pytest.mark.usefixtures("deployment")
def test_secrets_of_the_version_before_leave_prefect(prefect_url: str) -> None:
    with api_client(prefect_url) as client:
        (kind,) = [each for each in client.post("/block_types/filter", json={}).json() if each["slug"] == "webhook"]
        query = {"block_schemas": {"block_type_id": {"any_": [kind["id"]]}}}
        schema = client.post("/block_schemas/filter", json=query).json()[0]
        body = {"name": "sec-notify", "block_type_id": kind["id"], "block_schema_id": schema["id"]}
        body |= {"data": {"url": SECRET}}
        client.post("/block_documents/", json=body).raise_for_status()
        apply_pool(client)
        found = client.post("/block_documents/filter", json={"include_secrets": True}).json()
        assert "open-sesame" not in json.dumps(found)


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What is logged, as a person reads it."""
    lines: list[str] = []
    setup_logging(None, terminal=lambda message: lines.append(message.record["message"]), level="WARNING")
    yield lines
    setup_logging(None)


def test_an_inherited_address_is_used_if_it_is_this_installations(
    prefect_url: str, pipeline: Settings, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    assert running_api(pipeline) == prefect_url
    with api_client(prefect_url) as client:
        client.patch(f"/variables/name/{MARK}", json={"value": "another"}).raise_for_status()
    assert running_api(pipeline) is None
    monkeypatch.setenv("PREFECT_API_URL", f"http://me:open-sesame@127.0.0.1:{free_port()}/api")
    assert running_api(pipeline) is None
    monkeypatch.setenv("PREFECT_API_URL", "https://api.prefect.cloud/api/accounts/1/workspaces/2")
    assert running_api(pipeline) is None
    reasons = ["it belongs to another installation, with another database", "it does not answer", "it is Prefect Cloud"]
    assert [line.rpartition(": ")[2] for line in said] == reasons
    assert "open-sesame" not in str(said)


# Other values become one of these two: `test_this_machine_is_exempt_from_proxies_by_every_name`.
@pytest.mark.parametrize("exempt", ["localhost,127.0.0.0/8,::1", "*"])
@pytest.mark.usefixtures("pipeline")
def test_nothing_for_this_machine_goes_through_a_proxy(prefect_url: str, tmp_path: Path, exempt: str) -> None:
    # A profile of a person, which points elsewhere, is neither used nor touched.
    home = tmp_path / "home"
    (home / ".prefect").mkdir(parents=True)
    profiles = home / ".prefect" / "profiles.toml"
    profiles.write_text(
        'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "http://127.0.0.1:9/api"\n', encoding="utf-8"
    )
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"), "http://127.0.0.1:9")
    variables = proxies | {"NO_PROXY": exempt, "no_proxy": exempt, "HOME": str(home), "PREFECT_PROFILE": "mine"}
    variables |= {"PREFECT_HOME": str(home / ".prefect")}
    done = sec("load", "--month", "2025-09", environment=os.environ | variables)
    assert done.returncode == 0, done.stderr
    runs = {"flow_runs": {"name": {"like_": "load 2025-09 ("}}, "sort": "START_TIME_DESC", "limit": 1}
    (run,) = ask(prefect_url, "flow_runs/filter", **runs)
    assert run["state_type"] == "COMPLETED"
    assert [path.name for path in (home / ".prefect").iterdir()] == ["profiles.toml"]


@pytest.mark.usefixtures("pipeline")
def test_a_stale_address_is_named_and_passed_over() -> None:
    stale = f"http://127.0.0.1:{free_port()}/api"
    done = sec("load", "--month", "2025-09", environment=os.environ | {"PREFECT_API_URL": stale})
    assert done.returncode == 0, done.stderr
    assert f"Not using the Prefect API at {stale}: it does not answer" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_server_of_another_installation_is_not_deployed_to(prefect_url: str, pipeline: Settings) -> None:
    with api_client(prefect_url) as client:
        client.patch(f"/variables/name/{MARK}", json={"value": "another"}).raise_for_status()
        for word in ("deploy", "worker"):
            done = sec(word)
            assert done.returncode == 1
            assert "belongs to another installation" in done.stderr
            assert "Traceback" not in done.stderr
        mark(client, pipeline)


@pytest.mark.usefixtures("pipeline")
def test_a_server_for_others_than_this_machine_demands_a_login() -> None:
    done = sec("server", "--host", "0.0.0.0", environment=os.environ | {"SEC_PREFECT_AUTH": ""})
    assert done.returncode == 1
    assert "SEC_PREFECT_AUTH" in done.stderr


def test_a_flow_that_is_told_to_end_ends_in_one_line(source: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    source.set_faults(FaultOptions(latency_s=0.3))
    monkeypatch.setenv("SEC_MAX_RATE", "20")
    command = start("capture", "--month", "2025-02")
    try:
        eventually(lambda: len(source.hours_asked()) >= 4)
        command.terminate()
        _, told = command.communicate(timeout=60)
    finally:
        command.kill()
    assert command.returncode == 143, told
    assert "Traceback" not in told
    assert [line[:12] for line in told.splitlines() if line.startswith("sec:")] == ["sec: Stopped"]
