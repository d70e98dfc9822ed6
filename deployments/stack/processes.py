"""Processes of the stack: found again by others, ended together, started again when they die or stop answering.

`SEC_STATE_DIR/run` holds `stack.json` (the supervisor, its parts and the address), `stack.lock` (held by the supervisor
for as long as it lives) and, for a moment, `stop` (a request to stop, which works alike on every system).
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil
from loguru import logger
from pydantic import BaseModel, Field, ValidationError

from sec_core.config import private_folder

# Tags of deployments and their runs, and what a person calls these.
VIEWS = {"months": "months", "monitor": "the monitor", "upkeep": "upkeep"}
TICK_S = 0.5
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
# A part that ran for so long counts as sound again.
STEADY_S = 120.0

_UNANSWERED = 12
_PROBE_EVERY_S = 10.0
_GRACE_S = 20.0
_SAME_START_S = 1.0


class ProcessId(BaseModel):
    """A process by its number and its start (seconds since 1970, as the system tells it): numbers are used again."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> Self:
        """Describe a process that runs."""
        return cls(pid=pid, created=psutil.Process(pid).create_time())

    def process(self) -> psutil.Process | None:
        """The process, if it still runs."""
        with suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.created) < _SAME_START_S
            if same and found.status() != psutil.STATUS_ZOMBIE:
                return found
        return None


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


def start_process(
    module: str, arguments: list[str], environment: dict[str, str], log: Path, *, tied: bool = True
) -> psutil.Popen:
    """Run a Python module in a process that a Ctrl-C in this terminal does not reach.

    Args:
        module: Its name, as for `python -m`.
        arguments: Words of its command line; anyone on this machine can read them.
        environment: Its whole environment.
        log: Where its output goes, added at the end.
        tied: Whether it ends, with all that it started, when this process ends, however that happens.
    """
    private_folder(log.parent)
    command = [sys.executable, "-m", *(["deployments.stack.tied"] if tied else []), module, *arguments]
    with log.open("ab") as output:
        return psutil.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE if tied else subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )


def end(head: psutil.Process | None) -> list[int]:
    """End a process and all below it, by force after 20 seconds; returns the numbers of those below."""
    if head is None:
        return []
    below: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        below = head.children(recursive=True)
    # All at once: a worker would wait for its runs.
    for process in (everything := [head, *below]):
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in (alive := psutil.wait_procs(everything, timeout=_GRACE_S)[1]):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=_GRACE_S)
    return [process.pid for process in below]


def rounds(seconds: float, every_s: float = TICK_S) -> Iterator[None]:
    """Rounds of a loop that waits for something, for so long at most."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(every_s)


def told_to_end() -> threading.Event:
    """An event that is set when this process is told to end, or its terminal closes."""
    ended = threading.Event()
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        if number := getattr(signal, name, None):
            signal.signal(number, lambda _number, _frame: ended.set())
    return ended


def restart_pause(deaths: int) -> float:
    """Seconds to wait before a part is started again that ended `deaths` times in a row soon after its start."""
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(deaths - 1, 10))


@dataclass
class Part:
    """A process of the stack that is kept alive.

    Attributes:
        name: What it is called in logs.
        run: Starts the process.
        log: Where its output goes.
        answers: Finds out whether it still does its work; None if that can't be asked.
        clock: Tells seconds.
        process: The process, if it was started and not stopped.
        deaths: How often it died in a row, each time soon after its start.
    """

    name: str
    run: Callable[[], psutil.Popen]
    log: Path
    answers: Callable[[], bool] | None = None
    clock: Callable[[], float] = time.monotonic
    process: psutil.Popen | None = field(default=None, init=False)
    deaths: int = field(default=0, init=False)
    _began: float = field(default=0.0, init=False)
    _next_start: float = field(default=0.0, init=False)
    _next_probe: float = field(default=0.0, init=False)
    _unanswered: int = field(default=0, init=False)

    @property
    def id(self) -> ProcessId | None:
        """The process as others can find it."""
        with suppress(psutil.NoSuchProcess):
            return ProcessId.of(self.process.pid) if self.process else None
        return None

    def start(self) -> psutil.Popen:
        """Start it now."""
        self.process = self.run()
        self._began = self.clock()
        self._next_probe = self._began + _PROBE_EVERY_S
        self._unanswered = 0
        return self.process

    def watch(self) -> bool:
        """Start it again if it ended or does not answer, once its pause has passed; returns whether it did so."""
        if self.process is not None:
            code = self.process.poll()
            if code is None and not self._stuck():
                return False
            self._note_death("does not answer" if code is None else f"ended with exit code {code}")
        if self.clock() < self._next_start:
            return False
        self.start()
        logger.bind(stage="stack").info("{name} is started again", name=self.name)
        return True

    def keep(self, ended: threading.Event) -> None:
        """Keep it alive until `ended` is set."""
        while not ended.wait(TICK_S):
            self.watch()

    def stop(self) -> list[int]:
        """End it, and whatever it started; returns the numbers of those."""
        ended, self.process = self.process, None
        return end(ended)

    def _note_death(self, how: str) -> None:
        steady = self.clock() - self._began >= STEADY_S
        self.deaths = 1 if steady else self.deaths + 1
        pause = restart_pause(self.deaths)
        self._next_start = self.clock() + pause
        logger.bind(stage="stack", code="part_died").error(
            "{name} {how}; starting it again in {pause:.0f} s. Its log: {log}",
            name=self.name, how=how, pause=pause, log=self.log,
        )  # fmt: skip
        self.stop()

    def _stuck(self) -> bool:
        if self.answers is None or self.clock() < self._next_probe:
            return False
        self._unanswered = 0 if self.answers() else self._unanswered + 1
        self._next_probe = self.clock() + _PROBE_EVERY_S
        return self._unanswered >= _UNANSWERED
