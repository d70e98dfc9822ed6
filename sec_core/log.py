"""Logging, set up once for a process: to the terminal, to JSON lines under `SEC_STATE_DIR/logs`, and to extra sinks.

Code logs with `logger.bind(stage=..., code=..., hour=..., month=...)`. The fields, in the file:

- `time`: instant, ISO 8601 UTC; `level`; `message`;
- `stage`: capture, load, gold, publish, database, run ...; `code`: stable name of an error (see `sec_core.errors`);
- `hour`: ISO 8601 beginning of an hour; `month`: `YYYY-MM`; further fields that a call binds; `process`: process id.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

from loguru import logger

from sec_core.config import private_folder
from sec_core.text import for_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from loguru import Message, Record

_TERMINAL_FORMAT = "<dim>{time:HH:mm:ss}</dim> <level>{level: <7}</level> {extra[stage]: <8} {message}{extra[tail]}"


def setup_logging(
    logs_dir: Path | None,
    *,
    terminal: TextIO | Callable[[Message], None] | None = sys.stderr,
    level: str = "INFO",
    extra_sinks: tuple[Callable[[Message], None], ...] = (),
) -> None:
    """Replace all sinks of this process by the project's.

    Args:
        logs_dir: Folder of the JSON file, one a day (UTC) for all processes; None for no file.
        terminal: Where a person reads; None for nowhere.
        level: Least level for the terminal; the file takes DEBUG and above.
        extra_sinks: Further sinks, at INFO, such as the one for Prefect's run logs.
    """
    logger.remove()
    logger.configure(extra={"stage": "run", "tail": ""}, patcher=_tidy)
    if terminal is not None:
        logger.add(terminal, level=level, format=_TERMINAL_FORMAT, backtrace=False, diagnose=False)
    if logs_dir is not None:
        logger.add(JsonLines(logs_dir), level="DEBUG", format="{message}", backtrace=False, diagnose=False)
    for sink in extra_sinks:
        logger.add(sink, level="INFO", format="{message}", backtrace=False, diagnose=False)


class JsonLines:
    """A sink that appends one JSON object a line to `sec-YYYY-MM-DD.jsonl`; several processes may share the file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made = False

    def __call__(self, message: Message) -> None:
        """Write one record in one append."""
        line = json.dumps(as_fields(message.record), ensure_ascii=False, default=str) + "\n"
        path = self._folder / f"sec-{datetime.now(UTC):%Y-%m-%d}.jsonl"
        # For their owner alone, whichever command comes first.
        if not self._made:
            private_folder(self._folder)
            self._made = True
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(descriptor, "ab", buffering=0) as file:
            file.write(line.encode())


def as_fields(record: Record) -> dict[str, object]:
    """The structured form of a record, as the file has it."""
    fields: dict[str, object] = {
        "time": record["time"].astimezone(UTC).isoformat(),
        "level": record["level"].name,
        "message": record["message"],
        "process": record["process"].id,
    }
    fields.update({name: value for name, value in record["extra"].items() if name != "tail"})
    if record["exception"] is not None:
        fields["exception"] = repr(record["exception"].value)
    return fields


def _tidy(record: Record) -> None:
    """One harmless line for every sink, with the bound fields that a person should see behind the message."""
    record["message"] = for_line(record["message"])
    extra = record["extra"]
    extra.update({name: for_line(value) for name, value in extra.items() if isinstance(value, str)})
    shown = [f"{name}={extra[name]}" for name in ("code", "month", "hour") if extra.get(name) is not None]
    extra["tail"] = f" ({', '.join(shown)})" if shown else ""
