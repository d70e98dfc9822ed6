"""Under which account PostgreSQL runs: this user's own, or an existing unprivileged one when this user is root."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from sec_core.db import launcher
from sec_core.errors import DatabaseUnavailable

_ACCOUNTS = ("postgres", "_postgres", "nobody", "daemon")


@dataclass(frozen=True, slots=True)
class Runner:
    """A way to run PostgreSQL's programs.

    Attributes:
        way: `direct`, or one of the launcher's ways.
        uid: User that the server runs as (in a namespace: what root is called inside); None is this user.
        gid: The user's group.
    """

    way: str = "direct"
    uid: int | None = None
    gid: int | None = None

    def command(self, arguments: list[str]) -> list[str]:
        """The command line that runs `arguments` this way."""
        if self.way == "direct":
            return arguments
        program = str(Path(launcher.__file__).resolve())
        return [sys.executable, "-I", program, self.way, f"{self.uid}:{self.gid}", *arguments]

    def own(self, path: Path) -> None:
        """Hand a file or folder of the cluster to the account. Never follows a link."""
        if sys.platform == "win32" or self.uid is None or self.gid is None:
            return
        if self.way == "namespace":
            os.chown(path, os.geteuid(), os.getegid(), follow_symlinks=False)
        else:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def refusal(self, files: list[Path]) -> str | None:
        """Why these files can't be read this way, or None when they can."""
        if self.way == "direct":
            return None
        answer = subprocess.run(  # noqa: S603 - our own program
            self.command(["--probe", *map(str, files)]),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=Path(sys.executable).anchor,
            check=False,
        )
        return None if answer.returncode == 0 else (answer.stderr.strip() or f"exit code {answer.returncode}")


def is_root() -> bool:
    """Whether this process runs as root; never so on Windows, where `pg_ctl` drops what is too much."""
    return sys.platform != "win32" and os.geteuid() == 0


def choose_runner(needed: list[Path], data_dir: Path, scratch_dir: Path) -> Runner:
    """Choose how to run the server.

    Args:
        needed: Files of the installation that the server must read.
        data_dir: The cluster; where it exists its owner decides.
        scratch_dir: An empty folder beside `data_dir`, made for a new cluster; shows whether a new owner can reach it.

    Returns:
        The first way that works.

    Raises:
        DatabaseUnavailable: None works; the message has the reason of each.
    """
    if not is_root():
        return Runner()
    reasons = []
    for runner in _candidates(data_dir):
        place = data_dir if data_dir.exists() else scratch_dir
        try:
            runner.own(scratch_dir)
        except OSError as error:
            reasons.append(f"{runner.way}: {error.strerror}")
            continue
        reason = runner.refusal([*needed, place])
        if reason is None:
            return runner
        reasons.append(reason)
    raise DatabaseUnavailable(
        f"PostgreSQL can't run as root, and no unprivileged way works here ({'; '.join(reasons)}).",
        next_step="Run as an ordinary user, or name a running PostgreSQL in SEC_DATABASE_URL.",
    )


def _candidates(data_dir: Path) -> list[Runner]:
    if sys.platform == "win32":
        return []
    import pwd  # noqa: PLC0415 - POSIX only

    accounts = [entry for name in _ACCOUNTS for entry in pwd.getpwall() if entry.pw_name == name and entry.pw_uid]
    owners = [(entry.pw_uid, entry.pw_gid) for entry in accounts[:1]]
    in_namespace = owners
    if data_dir.exists():
        found = data_dir.stat()
        if found.st_uid == 0:
            owners = []
        else:
            owners, in_namespace = [(found.st_uid, found.st_gid)], []
    if sys.platform != "linux":
        return [Runner("account", *owner) for owner in owners]
    return [
        *(Runner(way, *owner) for owner in owners for way in ("account", "capability")),
        *(Runner("namespace", *inside) for inside in in_namespace),
        *(Runner("override", *owner) for owner in owners),
    ]
