"""A running `sec up` and what a test needs to talk to it."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx

from deployments.stack.api import CRASH_DETECTION
from deployments.stack.processes import RunFolder, StackState
from sec_core.simulator.server import Simulator
from support.commands import sec

PATIENCE_S = 240
ENDED = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
USER, PASSWORD = "team", "open-sesame"


def ask(api: str, path: str, **body: Any) -> Any:  # noqa: ANN401 - as it answers
    """What a Prefect API answers to a POST."""
    return httpx.post(f"{api}/{path}", json=body).raise_for_status().json()


def pause_schedules(api: str) -> None:
    """Let no deployment run by itself: a monitor every ten minutes would add hours of its own."""
    for deployment in ask(api, "deployments/filter"):
        ask(api, f"deployments/{deployment['id']}/pause_deployment")


@dataclass
class Stack:
    """A stack in a folder of its own.

    Attributes:
        folder: Where `data` is.
        environment: Settings of its commands.
        source: The simulated SEC that it asks.
        told: What the webhook was told.
        mailed: What was sent by e-mail.
    """

    folder: Path
    environment: dict[str, str]
    source: Simulator
    told: list[dict[str, Any]] = field(default_factory=list)
    mailed: list[EmailMessage] = field(default_factory=list)

    def sec(self, *words: str) -> subprocess.CompletedProcess[str]:
        return sec(*words, cwd=self.folder, environment=self.environment)

    def up(self) -> StackState:
        done = self.sec("up", "--detach")
        log = self.folder / "data" / "logs" / "stack.log"
        assert done.returncode == 0, f"{done.stderr}\n{log.read_text() if log.exists() else ''}"
        state = self.state
        assert [f"{what}: {address}" for what, address in state.pages.items()] == done.stdout.splitlines()[-6:]
        return state

    @property
    def state(self) -> StackState:
        state = RunFolder(self.folder / "data" / "run").running()
        assert state is not None
        return state

    def api(self, method: str, path: str, body: object = None) -> httpx.Response:
        return httpx.request(method, f"{self.state.api}{path}", json=body, auth=(USER, PASSWORD), timeout=30)

    def ask(self, path: str, **body: object) -> Any:  # noqa: ANN401 - as it answers
        return self.api("POST", f"/{path}", body).raise_for_status().json()

    def deployment(self, name: str) -> str:
        return str(self.api("GET", f"/deployments/name/{name}/{name}").raise_for_status().json()["id"])

    def trigger(self, name: str, **body: object) -> str:
        return str(self.ask(f"deployments/{self.deployment(name)}/create_flow_run", **body)["id"])

    def shorten_silence(self, seconds: int) -> None:
        """Let a run count as dead after fewer silent seconds, until the next `up` puts the project's number back."""
        (found,) = self.ask("automations/filter")
        assert found["trigger"]["within"] == CRASH_DETECTION["trigger"]["within"]
        names = ("name", "description", "enabled", "trigger", "actions")
        changed = {name: found[name] for name in names} | {"trigger": found["trigger"] | {"within": seconds}}
        self.api("PUT", f"/automations/{found['id']}", changed).raise_for_status()

    def run(self, run_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.api("GET", f"/flow_runs/{run_id}").raise_for_status().json()
        return answer

    def pause(self, name: str) -> None:
        """Let a deployment run by hand alone, once its run that is under way has ended."""
        self.ask(f"deployments/{self.deployment(name)}/pause_deployment")
        under_way = {
            "deployments": {"name": {"any_": [name]}},
            "flow_runs": {"state": {"type": {"any_": ["PENDING", "RUNNING"]}}},
        }
        eventually(lambda: not self.ask("flow_runs/filter", **under_way))

    def wait_for(self, run_id: str, *states: str) -> dict[str, Any]:
        """A run in one of the states, at once an error if it ended in another one."""
        found: dict[str, Any] = eventually(
            lambda: found if (found := self.run(run_id))["state_type"] in ENDED | {*states} else None
        )
        assert found["state_type"] in states, found["state"]
        return found


def eventually(look: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever it looks for
    """What `look` finds, once it finds anything."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            found = look()
        except httpx.TransportError:
            found = None
        if found:
            return found
        time.sleep(0.5)
    raise AssertionError("it never came")
