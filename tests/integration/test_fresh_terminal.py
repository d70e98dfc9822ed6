"""`sec` in a fresh terminal, whatever its environment: it works or ends in one line, without a trace or a password."""

import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
import pytest
from psycopg import sql
from support.capturing import keep_answers

from sec_core.config import load_settings
from sec_core.db.address import Address
from sec_core.db.database import Database
from sec_core.hours import CHILE, Month
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.server import Simulator

SEC = Path(sys.executable).with_name("sec")
MONTH = "2025-02"
DAY = 24
COMMANDS = (["sync", "--month", MONTH], ["status", "--month", MONTH], ["gold"], ["doctor"])
PASSWORD = "palabra/secreta:@ñ&1"
NOBODY = "http://127.0.0.1:9"
PROXIES = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), NOBODY)
CLOUD = "https://api.prefect.cloud/api/accounts/00000000/workspaces/00000000"


@dataclass(frozen=True)
class Surroundings:
    """What is odd about a terminal."""

    variables: dict[str, str] = field(default_factory=dict)
    umask: int = 0o022
    folder: str = "data"


SURROUNDINGS = {
    "proxies": Surroundings(PROXIES),
    "stale-prefect": Surroundings({"PREFECT_API_URL": f"{NOBODY}/api", "PREFECT_PROFILE": "mine"}),
    # The proxy keeps whatever would go there on this machine.
    "prefect-cloud": Surroundings({"PREFECT_API_URL": CLOUD, "PREFECT_API_KEY": "pnu_clave-secreta", **PROXIES}),
    "c-locale": Surroundings({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}),
    "ascii": Surroundings({"PYTHONIOENCODING": "ascii"}, folder="año"),
    "umask-and-path": Surroundings(umask=0o077, folder="mi año (nuevo)"),
    "zone-and-narrow": Surroundings({"TZ": "Asia/Kathmandu", "COLUMNS": "40", "TERM": "dumb"}),
}


@pytest.fixture(scope="module")
def source() -> Iterator[Simulator]:
    with Simulator(world=WorldOptions.tiny(seed=3)) as simulator:
        yield simulator


@pytest.fixture
def address(database: Database, server_url: str) -> Iterator[str]:
    """The address of a fresh database, for a role whose password is in no other test."""
    role = f"rol_{secrets.token_hex(4)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("create role {} login superuser password {}").format(sql.Identifier(role), sql.Literal(PASSWORD))
        )
    own = Address.parse(database.url)
    yield Address({**own.parameters, "user": role, "password": PASSWORD}).url
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(sql.SQL("reassign owned by {} to current_user").format(sql.Identifier(role)))
        connection.execute(sql.SQL("drop owned by {}").format(sql.Identifier(role)))
        connection.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_a_command_works_or_ends_in_one_line(
    name: str, source: Simulator, database: Database, address: str, tmp_path: Path
) -> None:
    around = SURROUNDINGS[name]
    folder = tmp_path / around.folder
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("SEC_", "PREFECT", "SUPA"))}
    environment |= {
        "SEC_DATA_DIR": str(folder), "SEC_BASE_URL": source.url, "SEC_DATABASE_URL": address,
        "SEC_MAX_RATE": "2000", "SEC_MAX_CONCURRENCY": "16", "SEC_RETRIES": "0", **around.variables,
    }  # fmt: skip
    if around.folder == "data":
        # Folders that the commands make themselves are the matter of the others.
        settings = load_settings(_env_file=None, data_dir=folder, database_url=address)
        keep_answers(source, database, settings, Month.parse(MONTH).hours()[:-DAY])
    for words in COMMANDS:
        code, out, told, commands = _run(words, tmp_path, environment, around.umask)
        said = [line for line in told.splitlines() if line.startswith("sec:")]
        assert "Traceback" not in out + told, told
        assert len(said) == (code != 0), told
        assert code == 0 or words == ["doctor"], told
        _assert_secret(f"{out}{told}{commands}")
        if name == "ascii":
            assert (out + told).isascii()
        if "--month" in words and words[0] == "status":
            # The newest answer of the month was asked for on a day that stands there whole.
            assert f"{source.now().astimezone(CHILE):%Y-%m-%d}" in out
    logs = [path.read_text(encoding="utf-8") for path in (folder / "logs").iterdir()]
    assert logs
    _assert_secret("".join(logs))


def test_a_folder_that_can_not_be_written_a_full_disk_and_a_closed_pipe(address: str, tmp_path: Path) -> None:
    environment = {**os.environ, "SEC_DATA_DIR": "/proc/data", "SEC_DATABASE_URL": address}
    code, out, told, _ = _run(["sync", "--month", MONTH], tmp_path, environment)
    assert (code, "Traceback" in out + told) == (1, False)
    (line,) = [line for line in told.splitlines() if line.startswith("sec:")]
    assert "/proc/data" in line
    environment["SEC_DATA_DIR"] = str(tmp_path / "data")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([SEC, "status"], env=environment, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"The disk is full." in done.stderr
    assert str(tmp_path / "data" / "logs").encode() in done.stderr
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([SEC, "status"], env=environment, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_an_error_that_nobody_foresaw_names_its_trace(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text(
        "import deployments.cli.upkeep as status\n"
        "from deployments.cli.main import run\n"
        "def broken():\n"
        "    raise RuntimeError('no way to postgresql://ana:clave-larga@host/sec')\n"
        "status.load_settings = broken\n"
        "run()\n"
    )
    environment = {**os.environ, "SEC_DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run(
        [sys.executable, script, "status"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    (log,) = (tmp_path / "data" / "logs").iterdir()
    assert str(log) in done.stderr
    assert "RuntimeError: no way to postgresql://***@host/sec" in done.stderr
    assert "Traceback" in log.read_text()
    assert "clave-larga" not in log.read_text() + done.stderr


def _run(words: list[str], cwd: Path, environment: dict[str, str], umask: int = 0o022) -> tuple[int, str, str, str]:
    """Exit code, both outputs, and what the process list showed of the command and of all that it started."""
    command = subprocess.Popen(
        [SEC, *words], cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, umask=umask
    )
    seen: set[str] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            with suppress(psutil.Error):
                root = psutil.Process(command.pid)
                for process in (root, *root.children(recursive=True)):
                    with suppress(psutil.Error):
                        given = process.environ().items() - environment.items()
                        seen.add(f"{process.cmdline()} {given}")

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        out, told = command.communicate(timeout=120)
    finally:
        command.kill()
        ended.set()
        watcher.join()
    return command.returncode, out.decode("utf-8"), told.decode("utf-8"), " ".join(seen)


def _assert_secret(text: str) -> None:
    for form in (PASSWORD, quote(PASSWORD, safe=""), quote(PASSWORD), "pnu_clave-secreta"):
        assert form not in text
