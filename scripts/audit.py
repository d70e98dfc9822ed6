"""`make lint`: known flaws in the locked packages, where the public list of flaws can be reached.

Without a network, or behind one that keeps no such list, nothing is known and nothing fails: one line says so.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Everything that is installed anywhere: the pins of `requirements.txt` are among it.
LOCK = Path("requirements-dev.txt")

ANSWER_TIMEOUT_S = 10
TIMEOUT_S = 180.0
_UNREACHABLE = re.compile(r"requests\.exceptions\.|Could not connect|ConnectionError|Max retries exceeded")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an audit came to.

    Attributes:
        text: A line for each flaw, or one that says how it went.
        failed: Whether a flaw is known, or the audit itself is broken.
    """

    text: str
    failed: bool = False


def audit(lock: Path, run: Callable[..., subprocess.CompletedProcess[str]] = subprocess.run) -> Verdict:
    """Ask for known flaws of every package of a lock; nothing is resolved or installed.

    Args:
        lock: Requirements with hashes.
        run: Starts the program.
    """
    command = [sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "-r", str(lock)]
    command += ["--format", "json", "--progress-spinner", "off", "--timeout", str(ANSWER_TIMEOUT_S)]
    try:
        done = run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return Verdict(f"pip-audit: skipped, there was no answer in {TIMEOUT_S:.0f} seconds.")
    return judge(done)


def judge(done: subprocess.CompletedProcess[str]) -> Verdict:
    """What the program's end means. Pure."""
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, LookupError, TypeError):
        if _UNREACHABLE.search(done.stderr):
            return Verdict("pip-audit: skipped, the list of known flaws can't be reached.")
        last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        return Verdict(f"pip-audit: broke off: {last[0]}", failed=True)
    flaws = [f"pip-audit: {_describe(each, flaw)}" for each in packages for flaw in each.get("vulns", ())]
    if flaws:
        return Verdict("\n".join(flaws), failed=True)
    unknown = sum("skip_reason" in each for each in packages)
    if unknown == len(packages):
        return Verdict("pip-audit: skipped, the list of known flaws can't be reached: it knows none of the packages.")
    rest = f"; of {unknown} others nothing is known" if unknown else ""
    if done.returncode != 0:
        return Verdict(f"pip-audit: ended with exit code {done.returncode}: {done.stderr.strip()}", failed=True)
    return Verdict(f"pip-audit: no known flaw in {len(packages) - unknown} packages{rest}.")


def _describe(package: dict[str, Any], flaw: dict[str, Any]) -> str:
    fixed = ", ".join(flaw.get("fix_versions") or ()) or "no version yet"
    return f"{package['name']} {package['version']} has the flaw {flaw['id']}; fixed in {fixed}"


def main() -> int:
    """Entry point of `python -m scripts.audit`."""
    verdict = audit(LOCK)
    sys.stdout.write(f"{verdict.text}\n")
    return int(verdict.failed)


if __name__ == "__main__":
    sys.exit(main())
