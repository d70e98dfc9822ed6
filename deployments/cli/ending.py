"""How a command ends: an exit code and, unless all went well, one line on standard error.

This is imported before everything else, so that even a Ctrl-C during imports ends well: it imports little by itself.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from logging import LogRecord
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

KEPT = "What was captured is kept; run the same command again to go on."
_SIGNALS = {"SIGINT": "Ctrl-C", "SIGTERM": "SIGTERM", "SIGHUP": "SIGHUP, the terminal was closed"}
# So long a command that was told to end may take to put things away.
_GRACE_S = 8
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class _Stop:
    """The signal that told this process to end, and what was done about it."""

    def __init__(self) -> None:
        self.number = 0
        self.task: asyncio.Task[Any] | None = None
        self.over = False
        self._told = False

    def receive(self, number: int, _frame: FrameType | None) -> None:
        """Cancel the work; leave at once the second time, or when putting things away takes too long."""
        again, self.number = bool(self.number), number
        if again or self.over:
            self.leave()
        import threading

        last_resort = threading.Timer(_GRACE_S, self.leave)
        last_resort.daemon = True
        last_resort.start()
        if self.task is None or self.task.done():
            raise KeyboardInterrupt
        self.task.get_loop().call_soon_threadsafe(self.task.cancel)

    def leave(self) -> None:
        self.tell()
        os._exit(128 + self.number)

    def tell(self) -> None:
        """Say once what ended the command."""
        if not self._told:
            self._told = True
            name, folder = signal.Signals(self.number).name, _logs_dir()
            place = f"; the log is in {folder}" if folder is not None and folder.is_dir() else ""
            say(f"Stopped. {KEPT} It was {_SIGNALS.get(name, name)}{place}.")


_stop = _Stop()


def prepare() -> None:
    """Make this process, a command's own, end in one line whatever ends it. Only in the main thread."""
    for name in _SIGNALS:
        number = getattr(signal, name, None)
        # What was started with `nohup` outlives its terminal.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop.receive)
    import logging
    import threading

    for stream in (sys.stdout, sys.stderr):
        # What an encoding has no letter for is better escaped than the end of a run.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    # Errors that nobody waits for: in the log, not between the lines that a person reads.
    threading.excepthook = lambda found: _note(found.exc_value, f"A thread ended: {found.thread}")
    sys.unraisablehook = lambda found: _note(found.exc_value, f"Ignored: {found.err_msg or found.object!r}")
    logging.lastResort = logging.Handler()
    logging.lastResort.emit = _from_library  # type: ignore[method-assign]


async def stoppable(work: Coroutine[Any, Any, T]) -> T:
    """Do the main work of a command: a signal cancels it, and what it holds is put away."""
    import asyncio

    _stop.task = asyncio.current_task()
    try:
        return await work
    finally:
        _stop.task = None


def end(error: BaseException | None, code: int) -> int:
    """Say in one line how a command ended.

    Args:
        error: What came out of it.
        code: What it returned, where nothing came out of it.

    Returns:
        The exit code: 130, 143 or 129 after a signal, else 1 for any error.
    """
    _stop.over = True
    if error is not None and not isinstance(error, Exception):
        # While a flow runs, Prefect takes SIGTERM and raises an error that has the number.
        _stop.number = _stop.number or getattr(error, "signal", 0)
    if isinstance(error, KeyboardInterrupt) or (error is None and code == 128 + signal.SIGINT):
        _stop.number = _stop.number or signal.SIGINT
    if _stop.number:
        _stop.tell()
        return 128 + _stop.number
    if error is None:
        return code
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, BrokenPipeError):
        return 1
    say(_explain(error))
    return 1


def flush() -> None:
    """Write out what waits in standard output; where nobody reads it any more, forget it, and raise."""
    try:
        sys.stdout.flush()
    except OSError:
        # Python would try again, and complain, when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def say(line: str) -> None:
    """Write one line to standard error, whatever the message holds."""
    from sec_core.text import for_line

    with suppress(OSError, ValueError):
        sys.stderr.write(f"sec: {for_line(' '.join(line.split()))}\n")
        sys.stderr.flush()


def _explain(error: BaseException) -> str:
    from sec_core.errors import SecError

    if isinstance(error, SecError):
        return str(error)
    if error.__class__.__module__.startswith("typer") and hasattr(error, "format_message"):
        return f"{error.format_message()} See `sec --help`."
    from sec_core.log import redacted

    message = redacted(" ".join(str(error).split()))[:300]
    place = _note(error, message)
    trace = f" The trace is in {place}." if place else ""
    if not isinstance(error, OSError):
        return (
            f"Something unexpected went wrong: {type(error).__name__}: {message}. {KEPT}"
            f"{trace} If it happens again, please report it with the trace."
        )
    file = f" ({error.filename})" if error.filename else ""
    if error.errno in _FULL:
        return f"The disk is full{file}. What was captured is kept; make room, then run the same command again.{trace}"
    step = "Check the rights and the disk of SEC_DATA_DIR and SEC_STATE_DIR, and the files named."
    return f"{error.strerror or message}{file}. What was captured is kept. {step}{trace}"


def _logs_dir() -> Path | None:
    from sec_core.config import load_settings
    from sec_core.errors import SecError

    try:
        return load_settings().logs_dir
    except (SecError, OSError):
        return None


def _note(error: BaseException | None, message: str) -> Path | None:
    """Write an error's trace to the log; returns the file."""
    from sec_core.log import keep_trace

    return None if error is None else keep_trace(_logs_dir(), error, message)


def _from_library(record: LogRecord) -> None:
    """Take an error that a library logs by itself to the log file."""
    if record.exc_info:
        _note(record.exc_info[1], record.getMessage())
