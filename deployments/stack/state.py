"""What is written down of a running stack, so that other commands find it, and what a killed one left behind.

`SEC_STATE_DIR/run` holds `stack.json` (the supervisor, its parts and the address), `stack.lock` (held by the supervisor
for as long as it lives) and, for a moment, `stop` (a request to stop, which works alike on every system).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
from pydantic import BaseModel, Field, ValidationError

from sec_core.errors import StorageError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

_SAME_START_S = 1.0


class ProcessId(BaseModel):
    """A process by its number and its start, since numbers are used again.

    Attributes:
        pid: Process number.
        created: Its start, seconds since 1970, as the system tells it.
    """

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """Describe a process that runs."""
        return cls(pid=pid, created=psutil.Process(pid).create_time())

    def process(self) -> psutil.Process | None:
        """The process, if it still runs."""
        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.created) < _SAME_START_S
            alive = same and found.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return found if alive else None


class StackState(BaseModel):
    """A running stack.

    Attributes:
        supervisor: The process that started everything and stops it.
        ui: Address of the Prefect UI.
        ready: Whether everything is up; before that the address may not answer.
        parts: Processes by name.
    """

    supervisor: ProcessId
    ui: str
    ready: bool = False
    parts: dict[str, ProcessId] = Field(default_factory=dict)

    @property
    def api(self) -> str:
        """Address of the Prefect API."""
        return f"{self.ui}/api"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """`SEC_STATE_DIR/run`.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def lock(self) -> Path:
        """Held by the supervisor."""
        return self.path / "stack.lock"

    def make(self) -> None:
        """Make the folder, for its owner alone."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.path.chmod(0o700)
        except OSError as error:
            raise StorageError(f"{self.path} can't be made: {error.strerror}.") from error

    def write(self, state: StackState) -> None:
        """Replace the state in one step."""
        text = state.model_dump_json(indent=2)
        fresh = self.path / f"stack.json.{os.getpid()}"
        fresh.touch(mode=0o600)
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self.path / "stack.json")

    def read(self) -> StackState | None:
        """The state last written, whether or not that stack still runs."""
        try:
            return StackState.model_validate_json((self.path / "stack.json").read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def running(self) -> StackState | None:
        """The state of the stack that runs now."""
        state = self.read()
        return state if state is not None and state.supervisor.process() is not None else None

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


def describe(process: subprocess.Popen[bytes]) -> ProcessId | None:
    """A child of ours, unless it has ended already."""
    try:
        return ProcessId.of(process.pid)
    except psutil.NoSuchProcess:
        return None


def end_leftovers(state: StackState, grace_s: float = 10) -> list[str]:
    """End what a killed supervisor left running.

    Returns:
        Names of the parts that were ended.
    """
    found = {name: process for name, known in state.parts.items() if (process := known.process()) is not None}
    everything: list[psutil.Process] = []
    for process in found.values():
        everything += [process, *children(process)]
    end(everything, grace_s)
    return sorted(found)


def children(process: psutil.Process) -> list[psutil.Process]:
    """All processes below one; none if it is gone."""
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def end(processes: list[psutil.Process], grace_s: float) -> None:
    """End processes: politely first, by force after `grace_s` seconds."""
    for process in processes:
        _quietly(process.terminate)
    _, left = psutil.wait_procs(processes, timeout=grace_s)
    for process in left:
        _quietly(process.kill)
    psutil.wait_procs(left, timeout=grace_s)


def _quietly(action: Callable[[], None]) -> None:
    try:
        action()
    except psutil.NoSuchProcess:
        return
