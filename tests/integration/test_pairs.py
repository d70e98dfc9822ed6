"""Two of the same at once: one works, the other says that it waits, and both end well with nothing lost or doubled."""

import os
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.capturing import keep_answers
from support.commands import SEC
from support.postgrest import Project
from support.publication import stored

from deployments.cli.main import main
from sec_core.blobs.local import LocalBlobs
from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.db.locks import Lock, turn
from sec_core.hours import Month
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.server import Simulator
from sec_core.usecases.adapters import open_adapters

MONTHS = ("2025-02", "2025-04")


def pair(database: Database, folder: Path, lock: Lock | None, *words: str) -> list[str]:
    """Run a command twice at once; if it takes a lock, both get to it before either does anything."""
    logs = [folder / f"{words[0]}-{number}.txt" for number in range(2)]
    with ExitStack() as held:
        if lock is not None:
            held.enter_context(turn(database, lock))
        processes = []
        for log in logs:
            with log.open("wb") as file:
                processes.append(subprocess.Popen([*SEC, *words], stdout=file, stderr=subprocess.STDOUT))
        deadline = time.monotonic() + 120
        while lock is not None and not all("waiting for its end" in log.read_text() for log in logs):
            assert time.monotonic() < deadline, [log.read_text() for log in logs]
            time.sleep(0.1)
    assert [process.wait(timeout=120) for process in processes] == [0, 0], [log.read_text() for log in logs]
    said = [log.read_text() for log in logs]
    assert all(text.count("waiting for its end") == (lock is not None) for text in said)
    assert not any("Traceback" in text for text in said)
    return said


def test_two_of_the_same_at_once(
    commands: Settings, database: Database, supabase: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Simulator(world=WorldOptions.tiny(seed=4)) as source:
        monkeypatch.setenv("SEC_BASE_URL", source.url)
        for month in MONTHS:
            keep_answers(source, database, commands, Month.parse(month).hours()[24:])
            assert main(["capture", "--month", month, "--local"]) == 0
            assert main(["load", "--month", month, "--local"]) == 0
    with open_adapters(commands) as adapters:
        bodies = {
            capture.key: adapters.store.read_kept(capture)
            for capture in adapters.ledger.kept(adapters.ledger.months()[0])
        }
    sealed = pair(database, tmp_path, Lock.SEALING, "seal")
    assert sum(" bodies in " in text for text in sealed) == 1
    assert sum("nothing to pack" in text for text in sealed) == 1
    with open_adapters(commands) as adapters:
        kept = adapters.ledger.kept(adapters.ledger.months()[0])
        assert {capture.key: adapters.store.read_kept(capture) for capture in kept} == bodies
    moved = pair(database, tmp_path, Lock.RETENTION, "retention", "--days", "30")
    assert sum("1 month with" in text for text in moved) == 1
    assert sum("0 months with 0 " in text for text in moved) == 1
    pair(database, tmp_path, None, "gold", "--local")
    monkeypatch.setenv("SUPABASE_URL", supabase.url)
    monkeypatch.setenv("SUPABASE_KEY", supabase.service_key)
    said = pair(database, tmp_path, Lock.PUBLICATION, "publish", "--other-source", "--local")
    assert all("Published " in text for text in said)
    assert stored(supabase)


def test_a_name_that_was_told_of_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    root = tmp_path / "new" / "bronze"
    LocalBlobs(root).append("diario/2025-02.jsonl", b"x")
    folders = {str(folder) for folder in (tmp_path, tmp_path / "new", root, root / "diario")}
    assert folders | {str(root / "diario" / "2025-02.jsonl")} == set(synced)
    synced.clear()
    LocalBlobs(root).append("diario/2025-02.jsonl", b"y")
    assert synced == [str(root / "diario" / "2025-02.jsonl")]
    synced.clear()
    blobs = LocalBlobs(root)
    blobs.put_new("hora/03/x.json.gz", b"z")
    blobs.flush()
    assert {str(root), str(root / "hora"), str(root / "hora" / "03")} < set(synced)


@pytest.mark.parametrize("words", [("doctor",), ("capture", "--month", "2025-02")], ids=lambda words: words[0])
def test_what_is_private_is_so_whichever_command_makes_it_first(
    commands: Settings, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEC_BASE_URL", "http://127.0.0.1:9")
    subprocess.run([*SEC, *words], umask=0, capture_output=True, check=False)
    made = [path for path in (commands.run_dir, commands.logs_dir, commands.prefect_dir) if path.exists()]
    assert [oct(path.stat().st_mode & 0o777) for path in made] == ["0o700"] * len(made)
    inside = [file for folder in made for file in folder.iterdir() if file.is_file()]
    assert {oct(file.stat().st_mode & 0o777) for file in inside} <= {"0o600"}
    assert made or words == ("doctor",)
