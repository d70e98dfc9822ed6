"""What is written down of a running stack, so that other commands find it.

`SEC_STATE_DIR/run` holds `stack.json` (the supervisor, its parts and the address), `stack.lock` (held by the supervisor
for as long as it lives) and, for a moment, `stop` (a request to stop, which works alike on every system).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from deployments.stack.processes import ProcessId

VIEWS = {"months": "months", "monitor": "the monitor", "upkeep": "upkeep"}
"""Tags of deployments and their runs, and what a person calls these."""


class StackState(BaseModel):
    """A running stack.

    Attributes:
        supervisor: The process that started everything and stops it.
        ui: Address of the Prefect UI.
        overview: Path of the overview of all months in it.
        site: Address of the site.
        ready: Whether everything is up; before that the address may not answer.
        parts: Processes by name.
    """

    supervisor: ProcessId
    ui: str
    overview: str = ""
    site: str = ""
    ready: bool = False
    parts: dict[str, ProcessId] = Field(default_factory=dict)

    @property
    def api(self) -> str:
        """Address of the Prefect API."""
        return f"{self.ui}/api"

    @property
    def pages(self) -> dict[str, str]:
        """Addresses that people want: the UI, the overview of all months, runs by what they are about, the site."""
        views = {f"Runs of {what}": f"{self.ui}/runs?tag={tag}" for tag, what in VIEWS.items()}
        return {"The Prefect UI": self.ui, "All months": self.ui + self.overview, **views, "The site": self.site}


@dataclass(frozen=True, slots=True)
class RunFolder:
    """`SEC_STATE_DIR/run`."""

    path: Path

    @property
    def lock(self) -> Path:
        """Held by the supervisor."""
        return self.path / "stack.lock"

    def write(self, state: StackState) -> None:
        """Replace the state in one step."""
        fresh = self.path / f"stack.json.{os.getpid()}"
        fresh.touch(mode=0o600)
        fresh.write_text(state.model_dump_json(indent=2), encoding="utf-8")
        fresh.replace(self.path / "stack.json")

    def running(self) -> StackState | None:
        """The state of the stack that runs now."""
        try:
            state = StackState.model_validate_json((self.path / "stack.json").read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        return state if state.supervisor.process() is not None else None

    def clear(self) -> None:
        """Forget the stack and any request to stop it."""
        for name in ("stack.json", "stop"):
            (self.path / name).unlink(missing_ok=True)

    def ask_to_stop(self) -> None:
        """Ask the supervisor to stop everything."""
        (self.path / "stop").touch(mode=0o600)

    def stop_asked(self) -> bool:
        """Whether somebody asked."""
        return (self.path / "stop").exists()
