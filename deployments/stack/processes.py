"""Processes of the stack: found again by others, ended together, started again when they die or stop answering."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
from loguru import logger
from pydantic import BaseModel

from sec_core.config import private_folder

TICK_S = 0.5
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
STEADY_S = 120.0
"""A part that ran for so long counts as sound again."""

_UNANSWERED = 12
_PROBE_EVERY_S = 10.0
_GRACE_S = 20.0
_SAME_START_S = 1.0


class ProcessId(BaseModel):
    """A process by its number and its start (seconds since 1970, as the system tells it): numbers are used again."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> ProcessId:
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


def until_told_to_end() -> threading.Event:
    """An event that is set when this process is told to end, or its terminal closes."""
    ended = threading.Event()
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        if number := getattr(signal, name, None):
            signal.signal(number, lambda _number, _frame: ended.set())
    return ended


def restart_pause(deaths: int) -> float:
    """Seconds to wait before a part is started again that ended `deaths` times in a row soon after its start."""
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(deaths - 1, 10))


class Part:
    """A process of the stack that is kept alive; `answers` finds out whether it still does its work."""

    def __init__(
        self,
        name: str,
        start: Callable[[], psutil.Popen],
        log: Path,
        answers: Callable[[], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.process: psutil.Popen | None = None
        self.deaths = 0
        self._start = start
        self._log = log
        self._answers = answers
        self._clock = clock
        self._began = self._next_start = self._next_probe = 0.0
        self._unanswered = 0

    @property
    def id(self) -> ProcessId | None:
        """The process as others can find it."""
        with suppress(psutil.NoSuchProcess):
            return ProcessId.of(self.process.pid) if self.process else None
        return None

    def start(self) -> psutil.Popen:
        """Start it now."""
        self.process = self._start()
        self._began = self._clock()
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
        if self._clock() < self._next_start:
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
        steady = self._clock() - self._began >= STEADY_S
        self.deaths = 1 if steady else self.deaths + 1
        pause = restart_pause(self.deaths)
        self._next_start = self._clock() + pause
        logger.bind(stage="stack", code="part_died").error(
            "{name} {how}; starting it again in {pause:.0f} s. Its log: {log}",
            name=self.name, how=how, pause=pause, log=self._log,
        )  # fmt: skip
        self.stop()

    def _stuck(self) -> bool:
        if self._answers is None or self._clock() < self._next_probe:
            return False
        self._unanswered = 0 if self._answers() else self._unanswered + 1
        self._next_probe = self._clock() + _PROBE_EVERY_S
        return self._unanswered >= _UNANSWERED
