"""A command is one process: it starts no other, listens nowhere, and nothing of it is left however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from sec_core.simulator.faults import FaultOptions
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sec_core.config import Settings

RUN = "from deployments.cli.main import run; run()"


@pytest.fixture
def slow_source(commands: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A simulated SEC that takes its time, so that a command is caught at work."""
    assert commands.retries == 0
    with Simulator(world=WorldOptions.tiny(seed=3), faults=FaultOptions(latency_s=0.2)) as simulator:
        monkeypatch.setenv("SEC_BASE_URL", simulator.url)
        yield simulator


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


@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT", "SIGHUP", "SIGTERM"])
def test_nothing_is_left_of_a_command_however_it_ends(slow_source: Simulator, tmp_path: Path, name: str) -> None:
    command = subprocess.Popen(
        [sys.executable, "-c", RUN, "sync", "--month", "2025-02"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not slow_source.hours_asked() and time.monotonic() < deadline:
            time.sleep(0.1)
        (only,) = ours(tmp_path)
        assert only.pid == command.pid
        assert [each for each in only.net_connections("inet") if each.status == psutil.CONN_LISTEN] == []
        command.send_signal(getattr(signal, name))
        _, told = command.communicate(timeout=30)
    finally:
        command.kill()
    assert command.returncode != 0
    assert "Traceback" not in told
    if name == "SIGINT":
        assert told.splitlines()[-1].startswith("sec: Stopped. What was captured is kept")
    assert ours(tmp_path) == []


@pytest.mark.usefixtures("commands")
def test_a_command_loads_no_prefect() -> None:
    check = f"{'from deployments.cli.main import main'}; main(['gold']); import sys; sys.exit('prefect' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
