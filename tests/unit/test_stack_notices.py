"""Notices: each flow at most once an hour, and an alert when no health check finishes."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from deployments.stack import notices
from deployments.stack.notices import Notice, Notifier, Told
from deployments.stack.settings import load_stack_settings
from sec_core.config import load_settings

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class World:
    """A Prefect server and a webhook as a test wants them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failed: list[tuple[datetime, Notice]] = []
        self.healthy: datetime | None = NOW
        self.up = True
        self.heard: list[dict[str, Any]] = []
        self.webhook = 200
        monkeypatch.setattr(notices, "failed_since", self.failed_since)
        monkeypatch.setattr(notices, "last_health", lambda _: self.healthy)
        self.storms: dict[str, Notice] = {}
        monkeypatch.setattr(notices, "storms_since", lambda *_: self.storms)
        monkeypatch.setattr(httpx, "post", self.post)
        settings = load_settings(_env_file=None, data_dir=folder, state_dir=None)
        options = load_stack_settings(_env_file=None, notify_url="https://hooks.example.org/secret-path")
        self.notifier = Notifier(settings, options, "http://127.0.0.1:4200/api", threading.Event())
        self.told = Told(looked=NOW, healthy=NOW)

    def failed_since(self, _client: httpx.Client, since: datetime, _ui: str) -> list[Notice]:
        if not self.up:
            raise httpx.ConnectError("no")
        return [notice for at, notice in reversed(self.failed) if at >= since]

    def post(self, url: str, *, json: dict[str, Any], timeout: float) -> httpx.Response:
        assert timeout
        if self.webhook == 200:
            self.heard.append(json)
        return httpx.Response(self.webhook, request=httpx.Request("POST", url))

    def fail(self, flow: str, at: datetime) -> None:
        self.failed.append((at, Notice(flow=flow, run=f"{flow} 2025-01", state="Failed", message="why")))

    def look(self, at: datetime) -> list[str]:
        """Flows told of by one look."""
        before = len(self.heard)
        self.notifier.look(self.told, at)
        return [each["flow"] for each in self.heard[before:]]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_each_flow_is_told_of_once_an_hour(world: World) -> None:
    world.fail("monitor", NOW)
    assert world.look(NOW) == ["monitor"]
    world.fail("monitor", NOW + 5 * MINUTE)
    world.fail("gold", NOW + 5 * MINUTE)
    assert world.look(NOW + 6 * MINUTE) == ["gold"]
    world.fail("monitor", NOW + 61 * MINUTE)
    assert world.look(NOW + 61 * MINUTE) == ["monitor"]
    assert world.heard[0]["text"] == "sec: monitor 2025-01 Failed. why"


def test_what_fails_while_the_server_or_the_webhook_is_away_is_told_of_later(world: World) -> None:
    world.fail("monitor", NOW + MINUTE)
    world.up = False
    assert world.look(NOW + 2 * MINUTE) == world.look(NOW + 30 * MINUTE) == []
    world.up, world.webhook = True, 500
    assert world.look(NOW + 31 * MINUTE) == []
    world.webhook = 200
    assert world.look(NOW + 60 * MINUTE) == ["monitor"]
    assert world.look(NOW + 150 * MINUTE) == []


def test_an_alert_says_that_no_health_check_finished(world: World) -> None:
    late = NOW + timedelta(hours=3)
    assert world.look(late - MINUTE) == []
    assert world.look(late) == ["health"]
    assert world.heard[0]["text"].startswith("sec: health Overdue. Alert: no health check finished for 3 hours.")
    assert world.look(late + timedelta(hours=2)) == []
    assert world.look(late + timedelta(hours=3)) == ["health"]
    world.healthy = late + timedelta(hours=4)
    assert world.look(late + timedelta(hours=6)) == []


def test_a_server_that_is_away_for_hours_is_an_alert_too(world: World) -> None:
    world.up = False
    assert world.look(NOW + timedelta(hours=3)) == ["health"]


def test_what_was_told_is_remembered(tmp_path: Path) -> None:
    file = tmp_path / "notices.json"
    assert notices._read(file) is None
    told = Told(looked=NOW, healthy=NOW, flows={"monitor": NOW})
    file.write_text(told.model_dump_json(), encoding="utf-8")
    assert notices._read(file) == told
    file.write_text("{", encoding="utf-8")
    assert notices._read(file) is None


def test_each_storm_is_told_of_once(world: World) -> None:
    first, second = "11111111-2222-3333-4444-555555555555", "aaaaaaaa-2222-3333-4444-555555555555"
    world.storms = {first: Notice(flow="monitor", state="saw a storm", message="A storm is under way")}
    world.webhook = 500
    assert world.look(NOW) == []
    world.webhook = 200
    assert world.look(NOW + MINUTE) == ["monitor"]
    assert world.heard[0]["text"] == "sec: monitor saw a storm. A storm is under way"
    for minutes in (10, 20, 24 * 60, 20 * 24 * 60):
        world.healthy = NOW + minutes * MINUTE
        assert world.look(NOW + minutes * MINUTE) == []
    world.storms[second] = world.storms[first]
    assert world.look(NOW + 20 * 24 * 60 * MINUTE) == ["monitor"]


def test_what_the_monitor_said_of_storms() -> None:
    first, second = "11111111-2222-3333-4444-555555555555", "aaaaaaaa-2222-3333-4444-555555555555"
    runs = [
        {"id": "new", "state": {"message": f"rising [{first}]\nfalling [{second}]"}},
        {"id": "old", "state": {"message": f"older [{first}]"}},
    ]
    client = httpx.Client(
        base_url="http://prefect", transport=httpx.MockTransport(lambda _: httpx.Response(200, json=runs))
    )
    found = notices.storms_since(client, NOW, "http://ui")
    assert {storm: (notice.message, notice.url) for storm, notice in found.items()} == {
        first: ("rising", "http://ui/runs/flow-run/new"),
        second: ("falling", "http://ui/runs/flow-run/new"),
    }
