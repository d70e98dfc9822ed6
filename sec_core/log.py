"""Logging, set up once for a process: to the terminal, to JSON lines under `SEC_STATE_DIR/logs`, and to extra sinks.

Code logs with `logger.bind(stage=..., code=..., hour=..., month=...)`. The fields, in the file:

- `time`: instant, ISO 8601 UTC; `level`; `message`;
- `stage`: capture, load, gold, publish, database, run ...; `code`: stable name of an error (see `sec_core.errors`);
- `hour`: ISO 8601 beginning of an hour; `month`: `YYYY-MM`; further fields that a call binds; `process`: process id.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from loguru import logger

from sec_core.config import private_folder
from sec_core.errors import ConfigError
from sec_core.text import for_line

if TYPE_CHECKING:
    from loguru import Message, Record

_TERMINAL_FORMAT = "<dim>{time:HH:mm:ss}</dim> <level>{level: <7}</level> {extra[stage]: <8} {message}{extra[tail]}"
_SECRETS = (
    "SEC_DATABASE_URL", "SEC_PREFECT_DATABASE_URL", "SEC_PREFECT_AUTH", "SEC_SMTP_URL", "SUPABASE_KEY", "PGPASSWORD",
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
)  # fmt: skip
_LOGIN = re.compile(r"(://)[^\s'\"]+@|\b(password=)(?:'[^']*'|[^\s'\"&]+)", re.IGNORECASE)
_PASSWORD = re.compile(r"://[^:@/]*:(.+)@")
_SHORTEST_SECRET = 4


def to_stderr(message: Message) -> None:
    """Write a line for a person; nothing where nobody reads any more."""
    with suppress(OSError, ValueError):
        sys.stderr.write(message)


def setup_logging(
    logs_dir: Path | None,
    *,
    terminal: Callable[[Message], None] | None = to_stderr,
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
        colours = terminal is to_stderr and sys.stderr.isatty()
        logger.add(terminal, level=level, format=_TERMINAL_FORMAT, colorize=colours, backtrace=False, diagnose=False)
    if logs_dir is not None:
        logger.add(JsonLines(logs_dir), level="DEBUG", format="{message}", backtrace=False, diagnose=False)
    for sink in extra_sinks:
        logger.add(sink, level="INFO", format="{message}", backtrace=False, diagnose=False)


def log_name(now: datetime) -> str:
    """The file that holds the lines of a day (UTC)."""
    return f"sec-{now:%Y-%m-%d}.jsonl"


class JsonLines:
    """A sink that appends one JSON object a line to `sec-YYYY-MM-DD.jsonl`; several processes may share the file.

    Where its folder can't be written, a temporary one takes the lines.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def __call__(self, message: Message) -> None:
        """Write one record."""
        self.append(as_fields(message.record))

    def append(self, fields: dict[str, object]) -> Path | None:
        """Write one line in one append; returns the file that holds it, None where none could be written."""
        shown = {name: redacted(value) if isinstance(value, str) else value for name, value in fields.items()}
        line = json.dumps(shown, ensure_ascii=False, default=str) + "\n"
        for folder in (self._folder, None):
            # A log that can't be written is no reason to stop.
            with suppress(OSError, ConfigError):
                path = private_folder(folder or _temporary_folder()) / log_name(datetime.now(UTC))
                descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
                with os.fdopen(descriptor, "ab", buffering=0) as file:
                    file.write(line.encode("utf-8", "backslashreplace"))
                return path
        return None


@cache
def _temporary_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="sec-logs-"))


def keep_trace(logs_dir: Path | None, error: BaseException, message: str) -> Path | None:
    """Write an error with its trace to the log; returns the file, None where none could be written."""
    fields = {"time": datetime.now(UTC).isoformat(), "level": "CRITICAL", "message": message, "process": os.getpid()}
    return JsonLines(logs_dir).append({**fields, "stage": "command", "code": "unexpected", **_exception(error)})


def redacted(text: str) -> str:
    """A text without the logins of addresses and without the secrets of this process's settings."""
    for value in filter(None, map(os.environ.get, _SECRETS)):
        login = _PASSWORD.search(value)
        for secret in {value, unquote(value), *([login[1], unquote(login[1])] if login else [])}:
            if len(secret) >= _SHORTEST_SECRET:
                text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    return _LOGIN.sub(lambda found: f"{found[1]}***@" if found[1] else f"{found[2]}***", text)


def as_fields(record: Record) -> dict[str, object]:
    """The structured form of a record, as the file has it."""
    error = record["exception"].value if record["exception"] else None
    return {
        "time": record["time"].astimezone(UTC).isoformat(),
        "level": record["level"].name,
        "message": record["message"],
        "process": record["process"].id,
        **{name: value for name, value in record["extra"].items() if name != "tail"},
        **(_exception(error) if error else {}),
    }


def _exception(error: BaseException) -> dict[str, str]:
    return {"exception": repr(error), "trace": "".join(traceback.format_exception(error))}


def _tidy(record: Record) -> None:
    """One harmless line for every sink, with the bound fields that a person should see behind the message."""
    record["message"] = for_line(redacted(record["message"]))
    extra = record["extra"]
    extra.update({name: for_line(value) for name, value in extra.items() if isinstance(value, str)})
    shown = [f"{name}={extra[name]}" for name in ("code", "month", "hour") if extra.get(name) is not None]
    extra["tail"] = f" ({', '.join(shown)})" if shown else ""
