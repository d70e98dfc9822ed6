"""What `make lint` makes of an audit's end: a flaw, none, nobody to ask, and an audit that is itself broken."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts.audit import audit, judge

SOUND = {"name": "anyio", "version": "4.1", "vulns": []}
UNKNOWN = {"name": "httpx", "skip_reason": "Dependency not found and could not be audited: httpx (0.28)"}
FLAWED = {
    "name": "jinja2",
    "version": "3.0",
    "vulns": [{"id": "CVE-2024-1", "fix_versions": ["3.1"], "description": "…"}, {"id": "CVE-2024-2"}],
}


def ended(*packages: dict[str, Any], code: int = 0, stderr: str = "") -> subprocess.CompletedProcess[str]:
    stdout = json.dumps({"dependencies": packages, "fixes": []}) if packages else ""
    return subprocess.CompletedProcess([], code, stdout, stderr)


def test_a_flaw_fails_and_names_package_and_cure() -> None:
    verdict = judge(ended(SOUND, FLAWED, code=1))
    assert verdict.failed
    assert verdict.text.splitlines() == [
        "pip-audit: jinja2 3.0 has the flaw CVE-2024-1; fixed in 3.1",
        "pip-audit: jinja2 3.0 has the flaw CVE-2024-2; fixed in no version yet",
    ]


def test_sound_packages_pass_and_unknown_ones_are_counted() -> None:
    assert judge(ended(SOUND)).text == "pip-audit: no known flaw in 1 packages."
    verdict = judge(ended(SOUND, UNKNOWN))
    assert not verdict.failed
    assert verdict.text.endswith("no known flaw in 1 packages; of 1 others nothing is known.")


@pytest.mark.parametrize(
    "done",
    [
        ended(UNKNOWN, UNKNOWN),
        ended(code=1, stderr="requests.exceptions.ProxyError: HTTPSConnectionPool: Max retries exceeded with url: /x"),
        ended(code=1, stderr="ERROR:pip_audit._cli:Could not connect to the vulnerability feed"),
    ],
)
def test_without_anybody_to_ask_it_is_skipped_with_a_word(done: subprocess.CompletedProcess[str]) -> None:
    verdict = judge(done)
    assert not verdict.failed
    assert verdict.text.startswith("pip-audit: skipped, ")
    assert "\n" not in verdict.text


def test_an_answer_that_does_not_come_is_not_waited_for() -> None:
    def hang(command: list[str], *, timeout: float, **_: object) -> subprocess.CompletedProcess[str]:
        raise subprocess.TimeoutExpired(command, timeout)

    verdict = audit(Path("lock.txt"), run=hang)
    assert (verdict.failed, verdict.text) == (False, "pip-audit: skipped, there was no answer in 180 seconds.")


def test_a_broken_audit_fails() -> None:
    verdict = judge(ended(code=2, stderr="usage: ...\nERROR: the lock can't be read"))
    assert (verdict.failed, verdict.text) == (True, "pip-audit: broke off: ERROR: the lock can't be read")
    assert judge(ended(SOUND, code=3)).failed


def test_the_whole_lock_is_asked_about_and_nothing_is_resolved() -> None:
    commands = []

    def note(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return ended(SOUND)

    assert not audit(Path("lock.txt"), run=note).failed
    assert {"--require-hashes", "--disable-pip", "lock.txt", "--timeout"} <= set(commands[0])
