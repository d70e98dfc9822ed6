"""How things are measured: wall time, CPU of this process and of PostgreSQL, and the peak of memory."""

import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Generic, TypeVar

import psutil
from loguru import logger
from psycopg import sql
from psycopg.errors import DuplicateDatabase

from sec_core.config import Settings, load_settings
from sec_core.db import embedded
from sec_core.db.database import Database, open_database
from sec_core.errors import DatabaseUnavailable

T = TypeVar("T")

# A moment for PostgreSQL to count the sessions that have just ended.
_REAPED_S = 0.3
# Above this, making a file costs more than it does where nothing was deleted (0.03 to 0.09 here).
_USUAL_FILE_MS = 0.15
_PROBES = 50
_DISK_LOOK_S = 20
_DISK_LOOKS = 20


@dataclass(frozen=True, slots=True)
class Measured(Generic[T]):
    """What a piece of work cost.

    Attributes:
        result: What it gave.
        wall_s: Seconds from beginning to end.
        client_s: Seconds of CPU of its process, all threads.
        database_s: Seconds of CPU of PostgreSQL.
        peak_bytes: Most memory that its process held, imports included, PostgreSQL not.
    """

    result: T
    wall_s: float
    client_s: float
    database_s: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Bench:
    """Where a benchmark works: a folder of its own, and a PostgreSQL with the pipeline's own settings in it.

    Attributes:
        folder: The folder.
    """

    folder: Path

    @property
    def server(self) -> Path:
        """The folder of the PostgreSQL server."""
        return self.folder / "postgres"

    def settings(self, data: str, database: str, **overrides: object) -> Settings:
        """Settings for a data folder and a database on this bench, which is made if needed."""
        address = embedded.ensure_running(self.server)
        with address.connect(autocommit=True) as connection, suppress(DuplicateDatabase):
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(database)))
        url = address.at(database).url
        return load_settings(_env_file=None, data_dir=self.folder / data, database_url=url, **overrides)

    def copy(self, database: str, name: str) -> None:
        """Make a database as a copy of another one, to which nobody may be connected."""
        address = embedded.ensure_running(self.server)
        with address.connect(autocommit=True) as connection:
            connection.execute(
                sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(database))
            )

    def drop(self, database: str) -> None:
        """Forget a database."""
        with embedded.ensure_running(self.server).connect(autocommit=True) as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database)))

    def settle(self) -> None:
        """Write out what PostgreSQL still holds back, so that it doesn't count for what comes next."""
        with embedded.ensure_running(self.server).connect(autocommit=True) as connection:
            connection.execute("checkpoint")


@contextmanager
def bench() -> Iterator[Bench]:
    """A bench that is gone after the block."""
    folder = Path(tempfile.mkdtemp(prefix="sec-bench-"))
    here = Bench(folder)
    try:
        yield here
    finally:
        embedded.stop(here.server)
        shutil.rmtree(folder, ignore_errors=True)


def opened(settings: Settings) -> closing[Database]:
    """The database of some settings, closed after the block."""
    return closing(open_database(settings))


def apart(here: Bench, work: Callable[..., T], *arguments: object) -> Measured[T]:
    """Run a function of a module in a process of its own and measure it.

    Args:
        here: Whose PostgreSQL it uses.
        work: The function.
        arguments: Its arguments, which can be pickled.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(sender, here, work, arguments))
    process.start()
    sender.close()
    try:
        measured: Measured[T] = receiver.recv()
    except EOFError:
        raise RuntimeError(f"{work.__name__} failed; see above.") from None
    finally:
        process.join()
    return measured


def _peak_bytes() -> int:
    """Most memory that this process held, without what its parent held when it was forked, where that can be told."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _run(
    sender: "Connection[Measured[T], None]", here: Bench, work: Callable[..., T], arguments: tuple[object, ...]
) -> None:
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    database_before = database_cpu_s(here.server)
    client_before, begun = time.process_time(), time.perf_counter()
    result = work(*arguments)
    wall_s, client_s = time.perf_counter() - begun, time.process_time() - client_before
    time.sleep(_REAPED_S)
    peak = _peak_bytes()
    sender.send(Measured(result, wall_s, client_s, database_cpu_s(here.server) - database_before, peak))


def wait_for_quiet_disk(folder: Path) -> None:
    """Wait until making a file costs what it should, a few minutes at most.

    ext4 passes over inodes that were freed within the last minutes, one by one: where thousands of files were just
    deleted, by tests or by another benchmark, making one takes ten times the CPU, which would count as the pipeline's.

    Args:
        folder: Where files are made; they stay there, or they would be such inodes themselves.
    """
    folder.mkdir(parents=True)
    costs_ms: list[float] = []
    # Right after deleting it is fast once more, so that one look is not enough.
    while len(costs_ms) < _DISK_LOOKS and (len(costs_ms) < 2 or max(costs_ms[-2:]) > _USUAL_FILE_MS):
        if costs_ms:
            time.sleep(_DISK_LOOK_S)
        begun = time.thread_time()
        for file in range(_PROBES):
            (folder / f"{len(costs_ms)}-{file}").touch()
        costs_ms.append((time.thread_time() - begun) / _PROBES * 1000)


def database_cpu_s(server: Path) -> float:
    """Seconds of CPU of a server's processes, those that have ended included."""
    running = embedded.running_server(server)
    if running is None:
        raise DatabaseUnavailable("The benchmark's PostgreSQL does not run.")
    postmaster = psutil.Process(running.pid)
    total = sum(postmaster.cpu_times()[:4])
    for child in postmaster.children():
        try:
            total += sum(child.cpu_times()[:2])
        except psutil.NoSuchProcess:
            continue
    return float(total)


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
