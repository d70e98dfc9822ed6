"""What keeps the stack's processes alive, and what is written down of them."""

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from apprise import Apprise
from support.stack import eventually

from deployments.stack import processes, services
from deployments.stack.processes import Part, ProcessId, RunFolder, StackState, end, restart_pause
from deployments.stack.services import WORKER, serve_site, worker_is_alive
from deployments.stack.settings import keep_loopback_direct, load_stack_settings
from sec_core.config import load_settings
from sec_core.errors import ConfigError


def sleeper() -> psutil.Popen:
    """A real process that does nothing for a minute."""
    return psutil.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def part(tmp_path: Path, clock: Hands) -> Iterator[Part]:
    """A part that sleeps, by a clock that is set by hand."""
    made = Part("The part", sleeper, tmp_path / "log", clock=clock)
    yield made
    made.stop()


def kill(process: psutil.Popen) -> None:
    process.kill()
    process.wait()


def test_the_site_is_served_and_nothing_beside_it(tmp_path: Path) -> None:
    settings = load_settings(_env_file=None, data_dir=tmp_path, state_dir=None)
    server = serve_site(settings, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        assert "`sec gold`" in httpx.get(f"{address}/").text
        (tmp_path / "gold" / "site" / "comuna").mkdir(parents=True)
        (tmp_path / "gold" / "secret.json").write_text("{}", encoding="utf-8")
        for page in ("index.html", "comuna/index.html"):
            (tmp_path / "gold" / "site" / page).write_text(f"<!doctype html>{page} ñ", encoding="utf-8")
        shown = httpx.get(f"{address}/?from=ui")
        assert (shown.text, shown.headers["content-type"]) == (
            "<!doctype html>index.html ñ",
            "text/html; charset=utf-8",
        )
        assert httpx.get(f"{address}/comuna/").text.endswith("comuna/index.html ñ")
        with socket.create_connection(("127.0.0.1", server.server_port)) as raw:
            raw.sendall(b"GET /../secret.json HTTP/1.0\r\n\r\n")
            assert b" 502 " in raw.makefile("rb").readline()
        assert httpx.get(f"{address}/%2e%2e/secret.json").status_code == 502
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("command", "heard_of", "alive"),
    [("server", [], True), ("worker", [WORKER], True), ("worker", ["another"], False), ("worker", None, False)],
)
def test_a_container_is_alive_while_the_server_hears_of_its_worker(
    command: str, heard_of: list[str] | None, alive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    monkeypatch.setattr(psutil.Process, "cmdline", lambda _first: ["python", "/usr/bin/sec", command])
    if heard_of is not None:
        monkeypatch.setattr(services, "online_workers", lambda _client: heard_of)
    assert worker_is_alive() is alive


def test_pauses_before_a_restart_grow_to_a_minute() -> None:
    pauses = [restart_pause(deaths) for deaths in range(1, 40)]
    assert pauses[0] == processes.FIRST_PAUSE_S
    assert pauses == sorted(pauses)
    assert pauses[-1] == processes.LONGEST_PAUSE_S


def test_a_part_that_dies_is_started_again_after_its_pause(part: Part, clock: Hands) -> None:
    first = part.start()
    assert not part.watch()
    kill(first)
    assert not part.watch(), "its pause has not passed"
    clock.now += processes.FIRST_PAUSE_S
    assert part.watch()
    second = part.process
    assert second is not None
    assert second.pid != first.pid
    assert part.id is not None
    part.stop()
    assert second.poll() is not None


def test_deaths_in_a_row_are_forgotten_when_a_part_ran_steadily(part: Part, clock: Hands) -> None:
    for expected in (1, 2, 1):
        process = part.start()
        clock.now += processes.STEADY_S if expected == 1 and part.deaths else 1
        kill(process)
        part.watch()
        assert part.deaths == expected


def test_a_part_that_does_not_answer_is_replaced(part: Part, clock: Hands) -> None:
    part.answers = lambda: False
    stuck = part.start()
    for _ in range(100):
        clock.now += 5
        if part.watch():
            break
    assert stuck.poll() is not None
    assert part.process is not None


def test_state_is_read_back_and_is_nobody_elses_business(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert folder.running() is None
    folder.path.mkdir()
    state = StackState(supervisor=ProcessId.of(os.getpid()), ui="http://127.0.0.1:4200", ready=True)
    folder.write(state)
    assert folder.running() == state
    assert state.api == "http://127.0.0.1:4200/api"
    assert stat.S_IMODE((folder.path / "stack.json").stat().st_mode) == 0o600
    folder.ask_to_stop()
    assert folder.stop_asked()
    folder.clear()
    assert folder.running() is None
    assert not folder.stop_asked()


def test_a_number_used_again_is_not_the_same_process(tmp_path: Path) -> None:
    mine = ProcessId.of(os.getpid())
    assert mine.process() is not None
    other = ProcessId(pid=mine.pid, created=mine.created - 3600)
    assert other.process() is None
    folder = RunFolder(tmp_path)
    folder.write(StackState(supervisor=other, ui="http://127.0.0.1:1"))
    assert folder.running() is None


_STARTER = """
import os, sys, time
from pathlib import Path
from deployments.stack.processes import start_process
kept = start_process("support.sleeper", [], dict(os.environ), Path(sys.argv[1]))
print(kept.pid, flush=True)
time.sleep(60)
"""


def test_a_part_ends_with_all_that_it_started_when_its_starter_is_killed(tmp_path: Path) -> None:
    environment = dict(os.environ) | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _STARTER, str(tmp_path / "log")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        part = psutil.Process(int(starter.stdout.readline()))
        below = eventually(lambda: part.children(recursive=True))
        starter.kill()
    assert psutil.wait_procs([part, *below], timeout=20)[1] == []


def test_a_process_is_ended_with_those_below_it() -> None:
    head = subprocess.Popen([sys.executable, "-c", "import subprocess; subprocess.run(['sleep', '60'])"])
    (below,) = eventually(psutil.Process(head.pid).children)
    assert end(psutil.Process(head.pid)) == [below.pid]
    head.wait(10)
    assert not below.is_running()


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ("", "localhost,127.0.0.1,::1"),
        ("localhost, 127.0.0.0/8,::1", "localhost,127.0.0.0/8,::1,127.0.0.1"),
        ("localhost,127.0.0.1", "localhost,127.0.0.1,::1"),
        ("*", "*"),
    ],
)
def test_this_machine_is_exempt_from_proxies_by_every_name(
    given: str, becomes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", given)
    monkeypatch.setenv("no_proxy", "example.org")
    keep_loopback_direct()
    assert os.environ["NO_PROXY"] == becomes
    assert os.environ["no_proxy"] == "example.org,localhost,127.0.0.1,::1"


@pytest.mark.parametrize(
    ("name", "value", "email"),
    [
        ("SEC_UI_PORT", "70000", ""),
        ("SEC_PREFECT_AUTH", "no-colon", ""),
        ("SEC_PREFECT_AUTH", ":no-user", ""),
        ("SEC_NOTIFY_URL", "mailto:someone", ""),
        ("SEC_NOTIFY_EMAIL", "", "the team"),
        ("SEC_WORKER_LIMIT", "0", ""),
        ("SEC_SMTP_URL", "smtps://mail.example.org", ""),
        ("SEC_SMTP_URL", "", "team@example.org"),
        ("SEC_SMTP_URL", "https://mail.example.org", "team@example.org"),
        ("SEC_SMTP_URL", "smtps://", "team@example.org"),
        ("SEC_SMTP_URL", "smtps://mail.example.org:x", "team@example.org"),
        ("SEC_SMTP_URL", "smtps://mail.example.org?from=nobody", "team@example.org"),
    ],
)
def test_malformed_settings_are_named(name: str, value: str, email: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEC_NOTIFY_EMAIL", email)
    if value:
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=name):
        load_stack_settings(_env_file=None)


def test_passwords_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEC_PREFECT_AUTH", "team:open-sesame")
    assert "open-sesame" not in repr(load_stack_settings(_env_file=None))


@pytest.mark.parametrize(
    ("server", "scheme", "port", "mode", "sender"),
    [
        ("smtps://me%40example.org:p%3Aw%40@mail.example.org", "mailtos", 465, "ssl", "me@example.org"),
        ("smtps://AKIA:word@mail.example.org:2465?from=sec@example.org", "mailtos", 2465, "ssl", "sec@example.org"),
        ("smtp://me:word@mail.example.org", "mailtos", 587, "starttls", "one@example.org"),
        ("smtp://127.0.0.1:2525", "mailto", 2525, "insecure", "one@example.org"),
        ("smtp://localhost", "mailto", 25, "insecure", "one@example.org"),
    ],
)
def test_mail_goes_over_tls_except_on_this_machine(
    server: str, scheme: str, port: int, mode: str, sender: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEC_NOTIFY_EMAIL", "one@example.org, two@example.org")
    monkeypatch.setenv("SEC_SMTP_URL", server)
    options = load_stack_settings(_env_file=None)
    assert "word" not in repr(options)
    assert options.smtp_url is not None
    # As the program that sends understands it.
    sending: Any = Apprise.instantiate(options.smtp_url.get_secret_value())
    assert (sending.schema, sending.port, sending.secure_mode) == (scheme, port, mode)
    assert sending.smtp_host == urlsplit(server).hostname
    assert sending.from_addr[1] == sender
    assert [address for _, address in sending.targets] == ["one@example.org", "two@example.org"]
    if "p%3Aw" in server:
        assert (sending.user, sending.password) == ("me@example.org", "p:w@")
