"""A command is one process: it starts no other, listens nowhere, and nothing of it is left however it ends."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from support.commands import start
from support.stack import eventually

from sec_core.simulator.faults import FaultOptions
from sec_core.simulator.server import Simulator

# A command that takes its time to put things away.
STUCK = """
import asyncio, sys, time
from deployments.cli import ending
from deployments.cli.main import run
import deployments.cli.upkeep as status

async def cling():
    try:
        print("at work", flush=True)
        await asyncio.sleep(60)
    finally:
        print("clings", flush=True)
        time.sleep(60)

status.load_settings = lambda: asyncio.run(ending.stoppable(cling()))
sys.argv = ["sec", "status"]
run()
"""


@pytest.fixture
def slow_source(source: Simulator) -> Simulator:
    """A simulated SEC that takes its time, so that a command is caught at work."""
    source.set_faults(FaultOptions(latency_s=0.2))
    return source


def ours(folder: Path) -> list[psutil.Process]:
    """Processes that work in a data folder, other than this one."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("SEC_DATA_DIR", "").startswith(str(folder)):
                found.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
    return found


@pytest.mark.parametrize(("name", "code"), [("SIGKILL", -9), ("SIGINT", 130), ("SIGHUP", 129), ("SIGTERM", 143)])
def test_nothing_is_left_of_a_command_however_it_ends(
    slow_source: Simulator, tmp_path: Path, name: str, code: int
) -> None:
    command = start("sync", "--month", "2025-02")
    try:
        eventually(slow_source.hours_asked)
        (only,) = ours(tmp_path)
        assert only.pid == command.pid
        assert [each for each in only.net_connections("inet") if each.status == psutil.CONN_LISTEN] == []
        command.send_signal(getattr(signal, name))
        _, told = command.communicate(timeout=30)
    finally:
        command.kill()
    assert command.returncode == code
    assert "Traceback" not in told
    if name != "SIGKILL":
        assert_one_line(told)
        assert str(tmp_path / "data" / "logs") in told
    assert ours(tmp_path) == []


INTERRUPTED = """
from deployments.cli import main as command
def interrupted(**_):
    try:
        exec("raise KeyboardInterrupt")
    except KeyboardInterrupt:
        return 130
command.main = interrupted
command.run()
"""


def test_ctrl_c_while_a_class_is_made_ends_a_command_of_a_module_as_elsewhere(tmp_path: Path) -> None:
    # Dataclasses are made by `exec`, after which Python dies by the signal though somebody took care of it.
    (tmp_path / "interrupted.py").write_text(INTERRUPTED)
    ended = subprocess.run([sys.executable, "-m", "interrupted"], cwd=tmp_path, check=False)
    assert ended.returncode == 130


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize("after_s", [0, 0.3, 0.8])
@pytest.mark.usefixtures("slow_source")
def test_a_signal_ends_a_command_in_one_line_also_while_it_starts(name: str, code: int, after_s: float) -> None:
    command = start("sync", "--month", "2025-02")
    # Until then Python itself starts.
    while not catches(command.pid, signal.SIGTERM):
        time.sleep(0.005)
    time.sleep(after_s)
    command.send_signal(getattr(signal, name))
    _, told = command.communicate(timeout=30)
    assert (command.returncode, "Traceback" in told) == (code, False), told
    assert_one_line(told)


def test_a_command_that_does_not_let_go_leaves_at_the_second_signal(tmp_path: Path) -> None:
    work = tmp_path / "stuck.py"
    work.write_text(STUCK)
    command = subprocess.Popen([sys.executable, str(work)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert command.stdout is not None
    assert command.stdout.readline() == "at work\n"
    command.send_signal(signal.SIGTERM)
    assert command.stdout.readline() == "clings\n"
    command.send_signal(signal.SIGTERM)
    _, told = command.communicate(timeout=30)
    assert command.returncode == 143
    assert_one_line(told)


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    (mask,) = re.findall(r"SigCgt:\s+([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(mask, 16) >> (number - 1) & 1)


def assert_one_line(told: str) -> None:
    """The last line says how the command was stopped, and no other does."""
    assert [line[:36] for line in told.splitlines() if line.startswith("sec:")] == [
        "sec: Stopped. What was captured is k"
    ]
    assert told.splitlines()[-1].startswith("sec:")


@pytest.mark.usefixtures("commands")
def test_a_command_loads_no_prefect() -> None:
    check = f"{'from deployments.cli.main import main'}; main(['gold']); import sys; sys.exit('prefect' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
