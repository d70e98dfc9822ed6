"""Commands as a person starts them: each in a process of its own."""

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

SEC = (sys.executable, "-m", "deployments.cli.main")


def sec(
    *words: str, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A command that runs to its end; without an environment it has that of the test."""
    return subprocess.run(
        [*SEC, *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=400, check=False
    )


def start(*words: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """A command at work, which a closed terminal ends: under `nohup` it would go on, as it should."""
    pipe, kept = subprocess.PIPE, signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        return subprocess.Popen([*SEC, *words], env=environment, stdout=pipe, stderr=pipe, text=True)
    finally:
        signal.signal(signal.SIGHUP, kept)
