"""Runs PostgreSQL's own programs, and writes the files that only this user may read."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sec_core.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping


def run(
    command: list[str],
    failure: str,
    timeout_s: float = 120,
    *,
    given: str = "",
    inherit: tuple[int, ...] = (),
    detached: bool = False,
    libpq: Mapping[str, str] | None = None,
) -> None:
    """Run one of PostgreSQL's programs and wait for its end.

    Args:
        command: The command line.
        failure: First words of the error.
        timeout_s: Seconds that it may take.
        given: What it reads from its standard input.
        inherit: File descriptors that it and its children keep.
        detached: Whether it gets a session of its own, out of reach of this terminal's Ctrl-C.
        libpq: `PG...` variables for its connection; those of this process are not passed on.

    Raises:
        DatabaseUnavailable: It fails; the message ends with the last line it wrote.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    environment |= {"LC_ALL": "C", **(libpq or {})}
    # A file and not a pipe: a server that inherits a pipe keeps its reader waiting for ever.
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(  # noqa: S603 - PostgreSQL's programs, our arguments
                command,
                input=given.encode(),
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=Path(command[0]).anchor,
                env=environment,
                timeout=timeout_s,
                start_new_session=detached,
                creationflags=_detached_flags() if detached else 0,
                pass_fds=inherit,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DatabaseUnavailable(f"{failure}: {error}.") from error
        output.seek(0)
        said = output.read().decode(errors="replace").strip()
    if done.returncode != 0:
        last = said.splitlines()[-1] if said else f"exit code {done.returncode}"
        raise DatabaseUnavailable(f"{failure}: {last.rstrip('.')}.")


def _detached_flags() -> int:
    if sys.platform == "win32":
        return subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    return 0


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user may read, whole or not at all."""
    scratch = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    scratch.replace(path)
