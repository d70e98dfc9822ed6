"""Bodies on disk: whole or not at all, byte for byte, loose or sealed."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import examples

from sec_core.blobs.local import LocalBlobs
from sec_core.bronze.journal import Journal
from sec_core.bronze.ledger_rules import Origin, Outcome, Result
from sec_core.bronze.store import BodyName, BronzeStore
from sec_core.errors import StorageError
from sec_core.hours import Month

NAME = BodyName(datetime(2024, 8, 6, 22, tzinfo=UTC), datetime(2024, 8, 7, 2, 15, 30, 123456, tzinfo=UTC), Origin.SEC)
AUGUST = Month(2024, 8)


def test_names_say_hour_capture_and_origin() -> None:
    assert NAME.key == "por_fecha/2024/08/2024-08-06T18.20240807T021530123456Z.sec.json.zst"
    assert BodyName.parse(NAME.key) == NAME
    for other in ("por_fecha/2024/08/x.json.zst", NAME.key.replace("sec", "who"), NAME.key.replace("T18", "T24")):
        assert BodyName.parse(other) is None
    repeated = BodyName(datetime(2024, 4, 7, 2, tzinfo=UTC), NAME.captured_at, Origin.SEC)
    assert BodyName.parse(repeated.key) == repeated


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=5000))
def test_any_bytes_come_back(tmp_path: Path, body: bytes) -> None:
    store = BronzeStore(tmp_path)
    at = NAME.captured_at + timedelta(microseconds=len(list(store.loose(AUGUST))))
    name = replace(NAME, captured_at=at)
    store.put(name, body)
    assert store.read(name.key) == body


def test_bodies_are_never_overwritten(tmp_path: Path) -> None:
    store = BronzeStore(tmp_path)
    store.put(NAME, b"[]")
    store.put(NAME, b"[]")
    with pytest.raises(StorageError, match="held already"):
        store.put(NAME, b"[1]")
    assert store.read(NAME.key) == b"[]"


def test_a_killed_writer_leaves_nothing_that_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BronzeStore(tmp_path)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", die)
        with pytest.raises(KeyboardInterrupt):
            store.put(NAME, b"[]")
    assert list(store.bodies(AUGUST)) == []
    store.put(NAME, b"[]")
    assert list(store.bodies(AUGUST)) == [NAME]
    assert store.read(NAME.key) == b"[]"


def test_damage_is_noticed(tmp_path: Path) -> None:
    store = BronzeStore(tmp_path)
    store.put(NAME, b"[" + b"1," * 500 + b"1]")
    path = tmp_path / NAME.key
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(StorageError, match="damaged"):
        store.read(NAME.key)
    with pytest.raises(StorageError, match="missing"):
        store.read(replace(NAME, origin=Origin.LEGACY).key)


def test_a_torn_journal_line_costs_only_itself(tmp_path: Path) -> None:
    journal = Journal(LocalBlobs(tmp_path))
    lines = [Outcome(NAME.hour, NAME.captured_at + timedelta(seconds=i), Result.EMPTY) for i in range(3)]
    journal.append(AUGUST, lines[:2])
    path = tmp_path / "journal" / "2024-08.jsonl"
    path.write_bytes(path.read_bytes()[:-7])
    assert journal.read(AUGUST).outcomes == lines[:1]
    journal.append(AUGUST, lines[2:])
    assert journal.read(AUGUST).outcomes == [lines[0], lines[2]]
    assert journal.months() == [AUGUST]


def test_real_captures_take_little_room(tmp_path: Path, captures_dir: Path) -> None:
    store = BronzeStore(tmp_path)
    raw = kept = 0
    for i, path in enumerate(sorted((captures_dir / "por_fecha" / "detailed").glob("*.json"))):
        name = replace(NAME, captured_at=NAME.captured_at + timedelta(seconds=i))
        store.put(name, path.read_bytes())
        raw += path.stat().st_size
        kept += store.blobs.size(name.key)
    assert raw > 0
    assert kept / raw < 0.04
