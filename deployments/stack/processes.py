"""Processes that are kept alive: started again when they end or stop answering, with growing pauses."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psutil
from loguru import logger

from deployments.stack.server import stop_process
from deployments.stack.state import ProcessId, children, describe, end

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
STEADY_S = 120.0
"""A part that ran for so long counts as sound again."""

_UNANSWERED = 12
_PROBE_EVERY_S = 10.0
_GRACE_S = 20.0


def restart_pause(deaths: int) -> float:
    """Seconds to wait before a part is started again.

    Args:
        deaths: How often in a row it ended soon after its start, 1 or more.
    """
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(deaths - 1, 10))


class Part:
    """A process of the stack.

    Args:
        name: What a person calls it.
        start: Starts it.
        log: Where its output goes, for messages.
        answers: Asks whether it still does its work; None where that can't be asked.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        name: str,
        start: Callable[[], subprocess.Popen[bytes]],
        log: Path,
        answers: Callable[[], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.deaths = 0
        self._start = start
        self._answers = answers
        self._clock = clock
        self._began = 0.0
        self._next_start = 0.0
        self._next_probe = 0.0
        self._unanswered = 0

    @property
    def id(self) -> ProcessId | None:
        """The process as others can find it."""
        return describe(self.process) if self.process is not None else None

    def start(self) -> subprocess.Popen[bytes]:
        """Start it now."""
        self.process = self._start()
        self._began = self._clock()
        self._next_probe = self._began + _PROBE_EVERY_S
        self._unanswered = 0
        return self.process

    def watch(self) -> bool:
        """Look at it once, and start it again when it is due.

        Returns:
            Whether it was started again.
        """
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

    def stop(self) -> list[int]:
        """End it, and whatever it started.

        Returns:
            Numbers of the processes that it had started.
        """
        if self.process is None:
            return []
        below: list[psutil.Process] = []
        try:
            head = psutil.Process(self.process.pid)
        except psutil.NoSuchProcess:
            head = None
        if head is not None:
            # All at once: a worker would wait for its runs.
            below = children(head)
            end([head, *below], _GRACE_S)
        self.process.wait()
        self.process = None
        return [process.pid for process in below]

    def _note_death(self, how: str) -> None:
        steady = self._clock() - self._began >= STEADY_S
        self.deaths = 1 if steady else self.deaths + 1
        pause = restart_pause(self.deaths)
        self._next_start = self._clock() + pause
        logger.bind(stage="stack", code="part_died").error(
            "{name} {how}; it is started again in {pause:.0f} s. Its log is {log}",
            name=self.name, how=how, pause=pause, log=self.log,
        )  # fmt: skip
        if self.process is not None and self.process.poll() is None:
            stop_process(self.process)
        self.process = None

    def _stuck(self) -> bool:
        if self._answers is None or self._clock() < self._next_probe:
            return False
        self._unanswered = 0 if self._answers() else self._unanswered + 1
        self._next_probe = self._clock() + _PROBE_EVERY_S
        return self._unanswered >= _UNANSWERED
