"""The process of an embedded PostgreSQL: finding it, starting it, stopping it."""

import os
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import psutil

from sec_core.db.programs import Installation, Runner
from sec_core.errors import DatabaseUnavailable

_START_TIMEOUT_S = 120
_ORPHAN_TIMEOUT_S = 30
# Below the ports that systems hand out to outgoing connections, so that a stopped server's port stays free.
_PORTS = range(15_432, 25_432)

_CONF = files("sec_core.db").joinpath("embedded.conf").read_text(encoding="utf-8")
_LINES = [line.partition("=") for line in _CONF.splitlines() if not line.startswith("#")]
_SETTINGS = {name.strip(): value.strip() for name, _, value in _LINES}
if sys.platform == "linux":
    # Shared memory in files: a logout with systemd's RemoveIPC takes away POSIX segments of ordinary users, and
    # containers have little of it.
    _SETTINGS["dynamic_shared_memory_type"] = "mmap"


@dataclass(frozen=True, slots=True)
class Running:
    """A running server: its process number, and its TCP port on 127.0.0.1."""

    pid: int
    port: int


def find(data_dir: Path, *, ready: bool = True) -> Running | None:
    """The server of a cluster, by PostgreSQL's own `postmaster.pid`; takes about a millisecond.

    A file that a killed server left behind is seen through: its process must exist, be PostgreSQL and work in this
    folder. With `ready`, only a server that accepts connections counts.
    """
    try:
        lines = (data_dir / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise DatabaseUnavailable(
            f"The embedded PostgreSQL in {data_dir} belongs to another user.",
            next_step="Run as that user, or choose another SEC_STATE_DIR.",
        ) from error
    state = lines[7].strip() if len(lines) > 7 else ""
    if len(lines) < 4 or (ready and state != "ready"):
        return None
    pid, port = abs(int(lines[0])), int(lines[3])
    return Running(pid, port) if _is_server(pid, data_dir) else None


def settled(data_dir: Path) -> Running | None:
    """The server once it is neither starting nor stopping: it accepts connections, or there is none."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while find(data_dir, ready=False) is not None:
        running = find(data_dir)
        if running is not None:
            return running
        if time.monotonic() > deadline:
            raise DatabaseUnavailable(
                f"PostgreSQL in {data_dir} has been starting or stopping for {_START_TIMEOUT_S} s.",
                next_step="After a crash it may be replaying its log: try again later.",
            )
        time.sleep(0.05)
    return None


def start(installation: Installation, runner: Runner, postgres_dir: Path, extra_settings: Mapping[str, str]) -> Running:
    """Start the server of an existing cluster and wait until it accepts connections. The caller holds the start lock.

    Raises:
        DatabaseUnavailable: It does not start, or its cluster is in use by another container.
    """
    data_dir, log_dir = postgres_dir / "data", postgres_dir / "log"
    if not log_dir.exists():
        log_dir.mkdir(mode=0o700)
        runner.own(log_dir)
    first_words = log_dir / "startup.log"
    first_words.unlink(missing_ok=True)
    with _server_lock(postgres_dir / "server.lock") as inherited:
        if inherited:
            # Nobody uses the cluster, so this is a killed server's. Left there, it stops a start for good once its
            # process number belongs to another program of the same user.
            (data_dir / "postmaster.pid").unlink(missing_ok=True)
        for attempt in range(3):
            port = _choose_port(postgres_dir / "port")
            settings = {**_SETTINGS, **extra_settings, "port": str(port)}
            options = " ".join(f"-c {name}={value}" for name, value in settings.items())
            arguments = [str(installation.program("pg_ctl")), "start", "-w", "-t", str(_START_TIMEOUT_S)]
            arguments += ["-D", str(data_dir), "-l", str(first_words), "-o", options]
            try:
                wait_s = _START_TIMEOUT_S + 30
                runner.run(arguments, "PostgreSQL did not start", wait_s, inherit=inherited, detached=True)
            except DatabaseUnavailable as error:
                if attempt < 2 and not _is_free(port):
                    continue  # somebody took the port in between
                raise DatabaseUnavailable(
                    f"PostgreSQL did not start: {_last_complaint(log_dir) or error.message}",
                    next_step=f"Its log is in {log_dir}.",
                ) from error
            break
    running = find(data_dir)
    if running is None:
        raise DatabaseUnavailable(f"PostgreSQL started and ended at once; see {log_dir}.")
    return running


def stop(running: Running, data_dir: Path, installation: Installation) -> None:
    """Stop a server: its clients are disconnected, its data written. The caller holds the start lock."""
    if sys.platform == "win32":
        command = [str(installation.program("pg_ctl")), "stop", "-D", str(data_dir), "-m", "fast", "-w"]
        Runner().run(command, "PostgreSQL did not stop")
        return
    try:
        psutil.Process(running.pid).send_signal(signal.SIGINT)
    except psutil.NoSuchProcess:
        return
    wait_for_end(running, data_dir)


def wait_for_end(running: Running, data_dir: Path) -> None:
    """Wait up to a minute until a server has ended. Who collects its exit status, and when, does not matter."""
    deadline = time.monotonic() + 60
    while _is_server(running.pid, data_dir):
        if time.monotonic() > deadline:
            raise DatabaseUnavailable(f"PostgreSQL (process {running.pid}) did not stop within a minute.")
        time.sleep(0.02)


def _is_server(pid: int, data_dir: Path) -> bool:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE or not process.name().startswith("postgres"):
            return False
        return Path(process.cwd()).resolve() == data_dir.resolve()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _last_complaint(log_dir: Path) -> str | None:
    """The newest line of the server's log that says why it gave up."""
    files = sorted(log_dir.glob("*.log"), key=lambda path: path.stat().st_mtime)
    lines = [line for path in files for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    return next((line for line in reversed(lines) if "FATAL:" in line or "PANIC:" in line), None)


def _choose_port(remembered: Path) -> int:
    """The port last used, or a random one that is free; remembered for the next start."""
    try:
        port = int(remembered.read_text(encoding="ascii"))
    except (OSError, ValueError):
        port = 0
    if not (0 < port < 65_536 and _is_free(port)):
        candidates = (secrets.choice(_PORTS) for _ in range(200))
        port = next((each for each in candidates if _is_free(each)), 0)
        if port == 0:
            raise DatabaseUnavailable("No free TCP port was found on 127.0.0.1.")
        write_private(remembered, str(port))
    return port


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if sys.platform != "win32":  # there it would allow what is in use
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user may read, whole or not at all."""
    with tempfile.NamedTemporaryFile("w", encoding="ascii", dir=path.parent, prefix=path.name, delete=False) as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    Path(stream.name).replace(path)


@contextmanager
def _server_lock(path: Path) -> Iterator[tuple[int, ...]]:
    """Take the lock that the server will hold by inheritance, waiting for backends of a killed server to end."""
    if sys.platform == "win32":
        yield ()
        return
    import fcntl  # noqa: PLC0415 - POSIX only

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    locked = True
    try:
        deadline = time.monotonic() + _ORPHAN_TIMEOUT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise DatabaseUnavailable(
                        f"The PostgreSQL data in {path.parent} is in use by another container or machine, or its last "
                        "server has not ended.",
                        next_step="Stop it there first, or set SEC_DATABASE_URL.",
                    ) from None
                time.sleep(0.05)
            except OSError:
                locked = False  # a file system without locks: PostgreSQL's own check remains
                break
        yield (descriptor,) if locked else ()
    finally:
        os.close(descriptor)
