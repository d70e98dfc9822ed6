"""The embedded PostgreSQL as its users meet it: racing processes, kills, restarts, other users' folders."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
from support.fixtures import other_database

from sec_core.db import embedded, server
from sec_core.db.address import Address
from sec_core.db.programs import installations, is_root
from sec_core.errors import DatabaseUnavailable

if sys.platform != "win32":
    import pwd

PROJECT_DIR = Path(__file__).resolve().parents[2]
CLIENT = """
import sys, time
from pathlib import Path
from sec_core.db import embedded
print(embedded.ensure_running(Path(sys.argv[1])).url, flush=True)
time.sleep(float(sys.argv[2]))
"""
_DAC_READ_SEARCH_ONLY = 1 << 2
needs_root = pytest.mark.skipif(not is_root(), reason="is about running as root")
needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="is about POSIX signals and accounts")


@contextmanager
def folder_for_clusters() -> Iterator[Path]:
    """A folder of mode 0700 that belongs to this user; servers left in it are ended, at once and not in good order."""
    folder = Path(tempfile.mkdtemp(prefix="sec-test-"))
    yield folder
    for cluster in folder.glob("**/postmaster.pid"):
        left = server.find(cluster.parent, ready=False)
        if left is not None:
            psutil.Process(left.pid).send_signal(signal.SIGQUIT if sys.platform != "win32" else signal.SIGTERM)
            server.wait_for_end(left, cluster.parent)
    shutil.rmtree(folder)


@pytest.fixture
def parent_dir() -> Iterator[Path]:
    with folder_for_clusters() as folder:
        yield folder


@pytest.fixture
def postgres_dir(parent_dir: Path) -> Path:
    return parent_dir / "data" / "postgres"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A cluster of several tests, with a row: each leaves it as it can be found."""
    with folder_for_clusters() as folder:
        keep(embedded.ensure_running(folder / "postgres").url, 1)
        yield folder / "postgres"


def start_client(postgres_dir: Path, *, stay_s: float = 0, prefix: list[str] | None = None) -> subprocess.Popen[str]:
    """A client process in a session of its own that prints the URL and stays for a while."""
    command = [*(prefix or []), sys.executable, "-c", CLIENT, str(postgres_dir), str(stay_s)]
    environment = os.environ | {"PYTHONPATH": str(PROJECT_DIR), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(sys.executable).anchor,
        env=environment,
        start_new_session=True,
    )


def printed_url(client: subprocess.Popen[str]) -> str:
    output, errors = client.communicate(timeout=120)
    assert client.returncode == 0, errors
    return output.strip()


def starts(postgres_dir: Path) -> int:
    text = "".join(path.read_text() for path in (postgres_dir / "log").iterdir())
    return text.count("database system is ready to accept connections")


def rows(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("select n from kept order by n").fetchall()]


def keep(url: str, number: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("create table if not exists kept (n integer)")
        connection.execute("insert into kept values (%s)", (number,))


def modes(path: Path) -> dict[Path, int]:
    return {each: stat.S_IMODE(each.stat().st_mode) for each in (path, *path.parents)}


def test_of_racing_processes_one_starts_and_all_attach(postgres_dir: Path) -> None:
    clients = [start_client(postgres_dir) for _ in range(4)]
    urls = {printed_url(client) for client in clients}
    assert len(urls) == 1
    assert starts(postgres_dir) == 1
    with psycopg.connect(urls.pop()) as connection:
        assert connection.execute("select current_database()").fetchone() == ("sec",)


def running(postgres_dir: Path) -> server.Running:
    found = embedded.running_server(postgres_dir)
    assert found is not None
    return found


def test_stopping_keeps_data_and_port(cluster: Path) -> None:
    url = embedded.ensure_running(cluster).url
    assert embedded.stop(cluster)
    assert (cluster / "data").is_dir()
    assert embedded.running_server(cluster) is None
    assert not embedded.stop(cluster)
    assert embedded.ensure_running(cluster).url == url
    assert rows(url) == [1]


def test_another_port_is_taken_when_the_last_one_is_in_use(cluster: Path) -> None:
    url = embedded.ensure_running(cluster).url
    port = running(cluster).port
    embedded.stop(cluster)
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        other = embedded.ensure_running(cluster).url
    assert other != url
    assert rows(other) == [1]


@needs_posix
def test_a_killed_server_is_started_again_with_all_that_was_committed(cluster: Path) -> None:
    url = embedded.ensure_running(cluster).url
    open_transaction = psycopg.connect(url)
    open_transaction.execute("create table never_committed (n integer)")
    killed = running(cluster)
    os.kill(killed.pid, signal.SIGKILL)
    server.wait_for_end(killed, cluster / "data")
    assert embedded.ensure_running(cluster).url == url
    open_transaction.close()
    assert running(cluster).pid != killed.pid
    assert rows(url) == [1]
    with psycopg.connect(url) as connection:
        assert connection.execute("select to_regclass('never_committed')").fetchone() == (None,)


@needs_posix
def test_a_process_number_used_again_by_another_program_does_not_hinder_the_start(cluster: Path) -> None:
    embedded.ensure_running(cluster)
    pid_file = cluster / "data" / "postmaster.pid"
    left_behind = pid_file.read_text()
    embedded.stop(cluster)
    _, rest = left_behind.split("\n", 1)
    pid_file.write_text(f"{os.getpid()}\n{rest}")
    assert embedded.running_server(cluster) is None
    assert rows(embedded.ensure_running(cluster).url) == [1]


@needs_posix
@pytest.mark.parametrize("killer", [signal.SIGKILL, signal.SIGINT])
def test_the_server_outlives_the_client_that_started_it(postgres_dir: Path, killer: signal.Signals) -> None:
    client = start_client(postgres_dir, stay_s=600)
    assert client.stdout is not None
    url = client.stdout.readline().strip()
    keep(url, 1)
    os.killpg(client.pid, killer)  # what Ctrl-C in a terminal does, and worse
    client.communicate(timeout=60)
    assert rows(url) == [1]
    assert embedded.ensure_running(postgres_dir).url == url


@needs_posix
def test_a_first_start_that_is_killed_leaves_nothing_in_the_way(postgres_dir: Path) -> None:
    client = start_client(postgres_dir)
    while client.poll() is None and not list(postgres_dir.glob("data.new-*/base")):
        pass  # until initdb is at work
    os.killpg(client.pid, signal.SIGKILL)
    client.communicate(timeout=60)
    url = embedded.ensure_running(postgres_dir).url
    keep(url, 1)
    assert rows(url) == [1]
    assert list(postgres_dir.glob("data.new-*")) == []


def test_only_the_password_opens_it_and_there_is_no_other_door(cluster: Path) -> None:
    url = embedded.ensure_running(cluster).url
    password = (cluster / "password").read_text()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url.replace(password, "x" * len(password)))
    with psycopg.connect(url) as connection:
        methods = connection.execute("select distinct auth_method from pg_hba_file_rules").fetchall()
        doors = connection.execute(
            "select current_setting('listen_addresses'), current_setting('unix_socket_directories')"
        ).fetchone()
    assert methods == [("scram-sha-256",)]
    assert doors == ("127.0.0.1", "")
    if sys.platform != "win32":
        assert stat.S_IMODE((cluster / "password").stat().st_mode) == 0o600
        assert stat.S_IMODE((cluster / "data").stat().st_mode) == 0o700


def test_prefects_database_is_made_once_with_its_extension(cluster: Path) -> None:
    url = embedded.ensure_running(cluster).url
    second = other_database(Address.parse(url), "prefect")
    assert other_database(Address.parse(url), "prefect") == second
    with second.connect() as connection:
        connection.execute("create extension pg_trgm")
        assert connection.execute("select current_database(), similarity('a', 'a')").fetchone() == ("prefect", 1.0)


@needs_posix
def test_no_mode_of_an_existing_folder_changes(parent_dir: Path, postgres_dir: Path) -> None:
    (parent_dir / "data").mkdir(mode=0o700)
    bin_dir = installations()[0].bin_dir
    before = (modes(parent_dir / "data"), modes(bin_dir))
    embedded.ensure_running(postgres_dir)
    assert (modes(parent_dir / "data"), modes(bin_dir)) == before


@needs_root
@pytest.mark.parametrize("mode", [0o700, 0o711])
def test_as_root_it_runs_as_another_user_with_no_more_rights_than_it_needs(
    parent_dir: Path, postgres_dir: Path, mode: int
) -> None:
    parent_dir.chmod(mode)
    url = embedded.ensure_running(postgres_dir).url
    keep(url, 1)
    process = psutil.Process(running(postgres_dir).pid)
    assert 0 not in process.uids()
    assert (postgres_dir / "data").stat().st_uid == process.uids().effective
    assert (postgres_dir.stat().st_uid, parent_dir.stat().st_uid) == (0, 0)
    told = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    rights = int(told["CapEff"], 16)
    reachable = mode == 0o711 and all(
        stat.S_IMODE(p.stat().st_mode) & 0o001 for p in installations()[0].bin_dir.parents
    )
    assert rights == (0 if reachable else _DAC_READ_SEARCH_ONLY)


@needs_root
@pytest.mark.parametrize(
    ("kept", "enough"),
    [
        ("chown dac_override setgid setuid setfcap setpcap", True),  # what containers leave
        ("chown setgid setuid setpcap", False),
        ("", False),
    ],
)
def test_as_root_of_a_container_with_few_capabilities_it_runs_or_says_why_not(
    postgres_dir: Path, kept: str, enough: bool
) -> None:
    few = ["setpriv", "--bounding-set", ",".join(["-all", *(f"+{name}" for name in kept.split())])]
    client = start_client(postgres_dir, prefix=few)
    if not enough:
        _, errors = client.communicate(timeout=120)
        assert "no unprivileged way works here (user " in errors
        assert "Run as an ordinary user" in errors
        assert not (postgres_dir / "data").exists()
        return
    keep(printed_url(client), 1)
    assert 0 not in psutil.Process(running(postgres_dir).pid).uids()
    assert embedded.stop(postgres_dir)
    assert rows(embedded.ensure_running(postgres_dir).url) == [1]


@needs_root
def test_a_cluster_of_root_itself_is_handed_to_the_account(parent_dir: Path, postgres_dir: Path) -> None:
    parent_dir.chmod(0o711)
    keep(embedded.ensure_running(postgres_dir).url, 1)
    embedded.stop(postgres_dir)
    for folder, folders, files in os.walk(postgres_dir):
        for name in (*folders, *files):
            os.chown(Path(folder, name), 0, 0)
    assert rows(embedded.ensure_running(postgres_dir).url) == [1]
    assert (postgres_dir / "data" / "base").stat().st_uid != 0


@needs_root
def test_an_ordinary_user_runs_it_as_themselves(parent_dir: Path) -> None:
    user = pwd.getpwnam("nobody")
    home = parent_dir / "home"
    home.mkdir(mode=0o700)
    os.chown(home, user.pw_uid, user.pw_gid)
    # The right to read is for this checkout's own folders, which may be closed to that user.
    prefix = ["setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
    prefix += ["--inh-caps", "-all,+dac_read_search", "--ambient-caps", "+dac_read_search"]
    url = printed_url(start_client(home / "postgres", prefix=prefix))
    keep(url, 1)
    process = psutil.Process(running(home / "postgres").pid)
    assert set(process.uids()) == {user.pw_uid}
    assert (home / "postgres" / "data").stat().st_uid == user.pw_uid
    # Root can take over what a user made, and the server stays that user's.
    assert embedded.stop(home / "postgres")
    assert rows(embedded.ensure_running(home / "postgres").url) == [1]
    assert set(psutil.Process(running(home / "postgres").pid).uids()) == {user.pw_uid}


@needs_root
def test_a_folder_of_another_user_is_refused_with_one_line(postgres_dir: Path, parent_dir: Path) -> None:
    parent_dir.chmod(0o711)
    embedded.ensure_running(postgres_dir)
    answer, told = os.pipe()
    child = os.fork()
    if child == 0:
        # Not by running Python anew: that user may not be able to reach it.
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        try:
            embedded.ensure_running(postgres_dir)
            os.write(told, b"it ran")
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent judges it
            os.write(told, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(told)
    os.waitpid(child, 0)
    with open(answer, encoding="utf-8") as reader:  # noqa: PTH123 - a pipe
        outcome = reader.read()
    assert outcome.startswith("DatabaseUnavailable")
    assert len(outcome.splitlines()) == 1


def test_a_cluster_of_an_unknown_version_is_left_alone(postgres_dir: Path) -> None:
    (postgres_dir / "data").mkdir(parents=True)
    (postgres_dir / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(DatabaseUnavailable, match="made by PostgreSQL 9"):
        embedded.ensure_running(postgres_dir)
    assert [path.name for path in (postgres_dir / "data").iterdir()] == ["PG_VERSION"]


@needs_posix
def test_a_cluster_that_runs_elsewhere_is_not_started_twice(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = embedded.ensure_running(cluster).url
    pid_file = cluster / "data" / "postmaster.pid"
    text = pid_file.read_text()
    # As seen from another container: the process number means nothing here.
    pid_file.write_text(text.replace(text.split("\n", 1)[0], "4194000", 1))
    monkeypatch.setattr(server, "_ORPHAN_TIMEOUT_S", 0.5)
    with pytest.raises(DatabaseUnavailable, match="in use by another container"):
        embedded.ensure_running(cluster)
    pid_file.write_text(text)
    assert embedded.ensure_running(cluster).url == url
