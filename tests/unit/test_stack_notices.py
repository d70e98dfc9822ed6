"""Notices: a simulated month with its troubles, what is always so, and a server and a webhook that come and go."""

import threading
from bisect import bisect
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.stack import notices
from deployments.stack.matters import DAY, Told, learn_all
from deployments.stack.notices import Notifier
from deployments.stack.settings import load_stack_settings
from sec_core.config import load_settings
from sec_core.db.address import Address

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
Run = tuple[dict[str, Any], str]
_numbers = count()
WRONG = "Flow run encountered an exception: sec_core.usecases.reports.MonthsIncomplete: 2 hours failed."
BUG = "Flow run encountered an exception: ValueError: no"
TYPED = "Flow run encountered an exception: sec_core.errors.InputError: 2024-13 is no month."
BY_HAND = "Execution was aborted by an interrupt signal."


def run(flow: str, at: datetime, state: str = "COMPLETED", message: str = "", name: str = "", **chosen: Any) -> Run:  # noqa: ANN401
    """A run that ended, as the API tells of it; `state` is `TYPE` or `TYPE its name`."""
    kind, _, title = state.partition(" ")
    named = f"{flow} {chosen['month']}" if "month" in chosen else flow
    ended = {"type": kind, "name": title or kind.capitalize(), "message": message}
    found = {"id": str(next(_numbers)), "name": name or named, "end_time": at.isoformat()}
    return found | {"state": ended, "parameters": chosen}, flow


def told_of(runs: list[Run], hours: float, start: datetime = NOW) -> list[tuple[datetime, str]]:
    """What is told when the server is looked at every ten minutes, and all but what is written down forgotten."""
    told, heard = Told(looked=start, healthy=start), []
    runs = sorted(runs, key=lambda each: each[0]["end_time"])
    ends = [each[0]["end_time"] for each in runs]
    for step in range(int(hours * 6)):
        now = start + step * 10 * MINUTE
        # A look finds the runs of twenty minutes: most of them for the second time.
        since, until = (bisect(ends, at.isoformat()) for at in (now - 20 * MINUTE, now))
        learn_all(told, runs[since:until], "http://ui")
        for due in told.due(now):
            heard.append((now, due.notice.text))
            told.tell(due, now)
        told.forget(now)
        told = Told.model_validate_json(told.model_dump_json())
        assert len(told.matters) < 60
    return heard


def every(flow: str, step: timedelta, days: float, bad: dict[tuple[float, float], str], message: str = "") -> list[Run]:
    """Runs of a flow at its times; `bad` has how they end in stretches of days."""
    found = []
    for n in range(int(days * DAY / step)):
        day = n * step / DAY
        state = next((how for (first, last), how in bad.items() if first <= day < last), "COMPLETED")
        found.append(run(flow, NOW + n * step, state, message if state == "FAILED" else ""))
    return found


def rerun(month: str, at: datetime, state: str = "COMPLETED", message: str = "") -> Run:
    return run("rerun-month", at, state, message, f"rerun-month {month}", months=month)


def month_of_troubles() -> list[Run]:
    """Thirty days: what goes wrong is listed in the test below, by day."""
    fifth, seventh, backfill = (NOW + timedelta(days=day) for day in (5, 7, 18))
    months = [f"20{23 + n // 12}-{n % 12 + 1:02}" for n in range(24)]
    away = (3, 3 + 5 / 24)
    return [
        *every("health", HOUR, 30, {away: "FAILED Bad: source", (10, 13): "FAILED Bad: disk"}),
        *every("monitor", 10 * MINUTE, 30, dict.fromkeys([away, (26, 26 + 3 / 24), (27, 27.001)], "FAILED"), BUG),
        run("monthly-sync", fifth, "FAILED", WRONG, month="2025-12"),
        rerun("2025-12", fifth + HOUR, "FAILED", WRONG),
        rerun("2025-12", fifth + 2 * HOUR),
        run("backfill", seventh, "CANCELLED", first="2024-01", last="2024-12"),
        rerun("2024-01", seventh, "CRASHED", BY_HAND),
        *(rerun(month, backfill + n * 5 * MINUTE, "FAILED", WRONG) for n, month in enumerate(months)),
        *(run("load", backfill + 3 * HOUR, month=month) for month in months),
        *(rerun(month, backfill + DAY) for month in months),
    ]


def storm(begun: str, letter: str) -> str:
    return f"A storm is under way since {begun} in Chile: peak 12,000. [{letter * 8}-2222-3333-4444-555555555555]"


def test_a_month_of_failures_recoveries_and_reruns() -> None:
    heard = told_of(month_of_troubles(), 30 * 24)
    shown = [((at - NOW).days, text.split(". ")[0].strip("`")) for at, text in heard]
    assert shown == [
        (3, "sec: health Bad: source"),  # the monitor fails for the same reason
        (3, "sec: health is right again"),
        (5, "sec: monthly-sync 2025-12 Failed"),  # the first rerun fails alike, and somebody looks at it
        (5, "sec: 2025-12 is right again"),
        # Day 7: what a person stopped.
        (10, "sec: health Bad: disk"),
        (11, "sec: health Bad: disk"),
        (12, "sec: health Bad: disk"),
        (13, "sec: health is right again"),
        (18, "sec: rerun-month 2023-01 Failed"),
        (18, "sec: 12 months Failed"),
        (18, "sec: 11 months Failed"),
        (19, "sec: 24 months are right again"),
        (26, "sec: monitor Failed"),
        (26, "sec: monitor is right again"),
        # Day 27: one run of the monitor.
    ]
    assert all("http" not in text for _, text in heard)


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        pytest.param(every("health", HOUR, 9, {(n / 12, (n + 0.5) / 12): "FAILED Bad: disk" for n in range(48)}),
                     {"Bad": 5, "right": 2}, id="comes-and-goes-for-four-days"),
        pytest.param(every("health", HOUR, 9, {(0, 8): "FAILED Bad: disk"}), {"Bad": 8, "right": 1}, id="lasts"),
        pytest.param([run("health", NOW, "FAILED Bad: disk"), run("health", NOW + HOUR, "FAILED Bad: disk, names")],
                     {"Bad": 2}, id="gets-worse"),
        pytest.param([rerun("2024-01", NOW, "FAILED", WRONG), rerun("2024-01", NOW + HOUR, "FAILED", BUG)],
                     {"Failed": 2}, id="fails-otherwise"),
        pytest.param([run("rerun-month", NOW, "FAILED", "2 of 3 months miss 9 hours: 2024-01, 2024-03. Run again."),
                      run("backfill", NOW + HOUR, first="2024-01", last="2024-02"),
                      run("rerun-month", NOW + 3 * HOUR, months="all failed")],
                     {"Failed": 1, "right": 2}, id="months-named-by-a-message"),
        pytest.param([run("monitor", NOW, "FAILED", BUG), run("monitor", NOW + HOUR, "COMPLETED SourceAtRest")],
                     {"Failed": 1}, id="rest-is-neither-right-nor-wrong"),
        pytest.param([run("explain", NOW, "FAILED", TYPED),
                      run("load", NOW, "FAILED", "No. In the UI: start another run with other values.")],
                     {}, id="a-mistyped-form"),
        pytest.param([run("gold", NOW, "CRASHED", "no heartbeat for 90 seconds"), run("gold", NOW + HOUR)],
                     {"Crashed": 1, "right": 1}, id="a-dead-process"),
        pytest.param([run("monitor", NOW + n * 10 * MINUTE, "COMPLETED StormUnderWay", storm(*each))
                      for n, each in enumerate([("2024-08-02 12h", "a")] * 2 + [("2024-08-02 12h", "b")] * 2
                                               + [("2024-08-02 09h", "c")] * 99 + [("2024-08-05 01h", "d")] * 9)],
                     {"saw": 2}, id="storms-whose-identity-changes"),
    ],
)  # fmt: skip
def test_what_is_told(runs: list[Run], expected: dict[str, int]) -> None:
    words = ("Bad", "right", "Failed", "Crashed", "saw")
    heard = Counter(next(word for word in words if word in text) for _, text in told_of(runs, 10 * 24))
    assert heard == expected


OUTCOMES = st.sampled_from(["COMPLETED", "FAILED", "CRASHED", "CANCELLED", "FAILED Bad: disk", "FAILED Bad: source"])
FLOWS = st.sampled_from(["health", "monitor", "gold", "rerun-month 2024-01", "rerun-month 2024-02"])


@given(st.lists(st.tuples(FLOWS, OUTCOMES, st.integers(1, 9 * 144)), max_size=60))
def test_all_that_is_told_has_a_reason_and_ends_with_all_right(steps: list[tuple[str, str, int]]) -> None:
    runs = [run(name.split()[0], NOW + n * 10 * MINUTE, how, name=name) for name, how, n in steps]
    over = [run(name.split()[0], NOW + 9.5 * DAY, name=name) for name in {name for name, _, _ in steps}]
    heard = told_of(runs + over, 12 * 24)
    failed = {each["name"]: each for each, _ in runs if each["state"]["type"] in {"FAILED", "CRASHED"}}
    for name in {name for name, _, _ in steps}:
        about = [text for _, text in heard if name in text or (name[-7:] in text and "months" in text)]
        assert not about or name in failed or "months" in about[0]
        if name[0] != "r":
            own = [(at, "right" in text) for at, text in heard if name in text]
            assert [right for _, right in own][-1:] in ([], [True]), "what was told is told to be over"
            # Two kinds at most are new on a day, and a third notice says that it is over.
            assert max(Counter((at - NOW).days for at, _ in own).values(), default=0) <= 6
            assert len(own) <= 3 * 12


class World:
    """A Prefect server and a webhook as a test wants them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs: list[Run] = []
        self.up = self.scheduled = True
        self.heard: list[dict[str, Any]] = []
        self.webhook = 200
        monkeypatch.setattr(notices, "ended_since", self.ended_since)
        monkeypatch.setattr(notices, "is_scheduled", lambda *_: self.scheduled)
        monkeypatch.setattr(httpx, "post", self.post)
        settings = load_settings(_env_file=None, data_dir=folder, state_dir=None)
        options = load_stack_settings(_env_file=None, notify_url="https://hooks.example.org/secret-path")
        place = Address.parse("postgresql://127.0.0.1:1/none")
        self.notifier = Notifier(settings, options, "http://127.0.0.1:4200/api", place, threading.Event())
        self.told = Told(looked=NOW, healthy=NOW)

    def ended_since(self, _client: httpx.Client, since: datetime) -> list[Run]:
        if not self.up:
            raise httpx.ConnectError("no")
        return [each for each in self.runs if each[0]["end_time"] >= since.isoformat()]

    def post(self, url: str, *, json: dict[str, Any], timeout: float) -> httpx.Response:
        assert timeout
        if self.webhook == 200:
            self.heard.append(json)
        return httpx.Response(self.webhook, request=httpx.Request("POST", url))

    def look(self, at: datetime) -> list[str]:
        """What one look tells."""
        before = len(self.heard)
        self.notifier.look(self.told, at)
        return [f"{each['flow']} {each['state']}" for each in self.heard[before:]]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_what_fails_while_the_server_or_the_webhook_is_away_is_told_of_later(world: World) -> None:
    world.runs = [run("gold", NOW + MINUTE, "FAILED", BUG)]
    world.up = False
    assert world.look(NOW + 2 * MINUTE) == world.look(NOW + 30 * MINUTE) == []
    world.up, world.webhook = True, 500
    assert world.look(NOW + 31 * MINUTE) == []
    world.webhook = 200
    assert world.look(NOW + 60 * MINUTE) == ["gold Failed"]
    assert world.look(NOW + 61 * MINUTE) == []
    assert world.heard[0]["text"] == "sec: gold Failed. no"


def test_an_alert_says_that_no_health_check_finished_and_that_they_do_again(world: World) -> None:
    late = NOW + timedelta(hours=3)
    world.scheduled = False
    assert world.look(late - MINUTE) == world.look(late) == [], "none is meant to run"
    world.scheduled = True
    assert world.look(late + MINUTE) == ["health is overdue"]
    assert world.heard[0]["text"].strip("`").startswith("sec: health is overdue. No health check finished for 3 hours.")
    assert world.look(late + timedelta(hours=23)) == []
    world.up = False
    assert world.look(late + timedelta(hours=25)) == ["health is overdue"]
    world.up, world.runs = True, [run("health", late + timedelta(hours=25))]
    assert world.look(late + timedelta(hours=26)) == ["health is right again"]
    assert world.look(late + timedelta(hours=27)) == []


def test_a_server_that_is_away_for_hours_is_an_alert_too(world: World) -> None:
    world.up = False
    assert world.look(NOW + timedelta(hours=3)) == ["health is overdue"]


def test_notes_of_another_version_are_left_aside() -> None:
    assert notices._read("") is notices._read('{"flows": {}}') is None
    told = Told(looked=NOW, healthy=NOW)
    assert notices._read(told.model_dump_json()) == told
