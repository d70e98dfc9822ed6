"""Cold storage of months, and the team's older dataset."""

import json
import time
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from support.fuzz_bodies import DETAILED

from sec_core.bronze.ledger import Finding, Ledger
from sec_core.bronze.ledger_rules import HourState, Origin
from sec_core.bronze.legacy import _Tolerant, hour_of, import_legacy, scraped_at
from sec_core.bronze.seal import pack, seal_month
from sec_core.bronze.store import BronzeStore, digest
from sec_core.db.database import Database
from sec_core.errors import IncompleteError, InputError, StorageError
from sec_core.hours import CHILE, HOUR, Month, from_wall
from sec_core.source.shapes import NOT_KEPT, AnsweredBy, Shape, classify

MONTH = Month(2024, 8)
LATER = datetime(2026, 9, 30, tzinfo=UTC)
SEALED = LATER + timedelta(days=9)
MICROSECOND = timedelta(microseconds=1)


def aggregated(customers: int, rows: int = 40) -> bytes:
    row = {"NOMBRE_REGION": "Maule", "NOMBRE_COMUNA": "Talca", "CLIENTES_AFECTADOS": customers}
    return json.dumps([row] * rows).encode()


def detailed_rows(customers: int, rows: int = 3) -> list[dict[str, Any]]:
    row = DETAILED | {"DIA_INT": 1, "MES_INT": 8, "ANHO_INT": 2024, "FECHA_INT_STR": "1/8/2024"}
    row["CLIENTES_AFECTADOS"] = customers
    return [row] * rows


def fill(ledger: Ledger, at: datetime = LATER) -> None:
    findings = []
    for i, hour in enumerate(MONTH.hours()):
        body = b"[]" if i == 7 else aggregated(i)
        answered_by = AnsweredBy("apps.sec.cl") if i % 2 else NOT_KEPT
        findings.append(Finding(hour, at + i * MICROSECOND, body, classify(body), answered_by=answered_by))
    ledger.record(findings)


@pytest.fixture
def store(tmp_path: Path) -> BronzeStore:
    return BronzeStore(tmp_path / "bronze")


@pytest.fixture
def ledger(database: Database, store: BronzeStore) -> Ledger:
    return Ledger(database, store)


def bodies_of(ledger: Ledger, store: BronzeStore) -> dict[str, bytes]:
    return {key: store.read(key) for key in (each.key for each in ledger.kept(MONTH))}


def settle(ledger: Ledger) -> None:
    """Let the empty hour stay empty for more than a week."""
    hour = MONTH.hours()[7]
    ledger.record([Finding(hour, LATER + timedelta(days=8), b"[]", classify(b"[]"))])


def test_readers_side_by_side_do_not_unpack_a_sealed_month_again_and_again(
    ledger: Ledger, store: BronzeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(ledger)
    settle(ledger)
    monkeypatch.setattr("sec_core.bronze.seal._GROUP_BYTES", 30 * len(aggregated(100)))
    report = seal_month(MONTH, store=store, ledger=ledger, now=SEALED)
    assert report is not None
    file = store.sealed.open(report.key)._file
    unpacked: list[int] = []

    class Counting:
        def read_row_group(self, group: int, columns: list[str]) -> object:
            unpacked.append(group)
            time.sleep(0.001)  # so that the other reader gets its turn
            return file.read_row_group(group, columns=columns)

    monkeypatch.setattr(store.sealed.open(report.key), "_file", Counting())
    kept = ledger.kept(MONTH)
    assert [digest(body) for body in store.try_all(kept) if isinstance(body, bytes)] == [each.sha256 for each in kept]
    assert set(unpacked) == set(range(file.num_row_groups))
    # A few may be unpacked twice, where one reader overtakes the other.
    assert file.num_row_groups > 20
    assert len(unpacked) <= file.num_row_groups + 3


def test_a_sealed_month_reads_the_same(ledger: Ledger, store: BronzeStore, database: Database) -> None:
    fill(ledger)
    with pytest.raises(IncompleteError, match="1 hour of 2024-08 is not settled"):
        seal_month(MONTH, store=store, ledger=ledger, now=SEALED)
    settle(ledger)
    before = bodies_of(ledger, store)
    names = list(store.bodies(MONTH))
    rows = ledger.rows(MONTH.hours())
    report = seal_month(MONTH, store=store, ledger=ledger, now=SEALED)
    assert report is not None
    assert (report.bodies, list(store.loose(MONTH))) == (744, [])
    assert report.sealed_bytes < report.loose_bytes
    assert bodies_of(ledger, store) == before
    assert bodies_of(Ledger(database, BronzeStore(store.blobs)), BronzeStore(store.blobs)) == before
    assert list(store.bodies(MONTH)) == names
    assert store.months() == [MONTH]
    ledger.rebuild()
    assert ledger.rows(MONTH.hours()) == rows
    assert seal_month(MONTH, store=store, ledger=ledger, now=SEALED) is None
    answered = {each.key: each.answered_by for each in ledger.kept(MONTH)}
    assert set(answered.values()) == {NOT_KEPT, AnsweredBy("apps.sec.cl")}
    store.blobs.delete_below("journal/")
    ledger.rebuild()
    assert {each.key: each.answered_by for each in ledger.kept(MONTH)} == answered


def test_a_sealed_month_that_gets_new_bodies_is_packed_anew(ledger: Ledger, store: BronzeStore) -> None:
    fill(ledger)
    settle(ledger)
    first = seal_month(MONTH, store=store, ledger=ledger, now=SEALED)
    body = json.dumps(detailed_rows(5)).encode()
    ledger.record([Finding(MONTH.hours()[3], LATER, body, classify(body), origin=Origin.LEGACY)])
    before = bodies_of(ledger, store)
    second = seal_month(MONTH, store=store, ledger=ledger, now=SEALED)
    assert first is not None
    assert second is not None
    assert (second.bodies, second.key > first.key) == (745, True)
    assert [key for _, _, key in store.sealed.files()] == [second.key]
    assert bodies_of(ledger, store) == before


def test_nothing_goes_before_every_body_was_read_back(
    ledger: Ledger, store: BronzeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sec_core.bronze import seal  # noqa: PLC0415

    fill(ledger)
    settle(ledger)
    loose = list(store.loose(MONTH))
    with monkeypatch.context() as patched:
        patched.setattr(seal, "pack", lambda bodies: pack(list(bodies)[:-1]))
        with pytest.raises(StorageError, match="does not hold"):
            seal_month(MONTH, store=store, ledger=ledger, now=SEALED)
    assert list(store.loose(MONTH)) == loose
    # The bad file does not stand in the way: it lacks a body, so another one is made.
    report = seal_month(MONTH, store=store, ledger=ledger, now=SEALED)
    assert report is not None
    assert list(store.loose(MONTH)) == []


def test_a_kill_while_loose_files_go_is_taken_up(
    ledger: Ledger, store: BronzeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(ledger)
    settle(ledger)
    before = bodies_of(ledger, store)
    delete, left = store.blobs.delete, [300]

    def dying(key: str) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        delete(key)

    with monkeypatch.context() as patched:
        patched.setattr(store.blobs, "delete", dying)
        with pytest.raises(KeyboardInterrupt):
            seal_month(MONTH, store=store, ledger=ledger, now=SEALED)
    assert 0 < len(list(store.loose(MONTH))) < 744
    assert bodies_of(ledger, store) == before
    assert seal_month(MONTH, store=store, ledger=ledger, now=SEALED) is not None
    assert list(store.loose(MONTH)) == []
    assert bodies_of(ledger, store) == before


def point(hour: str, rows: object, **more: object) -> dict[str, object]:
    return {"success": True, "data": rows, "hora_server_scraping": "2025-03-01 10:00", "fecha_consultada": hour, **more}


def dataset(path: Path, *points: dict[str, object]) -> Path:
    years = {"2023": {"metadata": {}, "data": []}, "2024": {"metadata": {"data": {"item": {}}}, "data": points}}
    path.write_text(json.dumps({"data_by_year": years}))
    return path


def test_import(ledger: Ledger, store: BronzeStore, tmp_path: Path) -> None:
    fill(ledger)
    path = dataset(
        tmp_path / "all.json",
        point("2024-08-01 06:00", detailed_rows(7)),
        point("2024-08-01 12:00", detailed_rows(4)),
        point("2024-08-01 07:00", detailed_rows(9), success=False),
        point("2024-08-01 18:00", []),
        point("2024-08-02 00:00", [{"otra": 1}]),
        point("2024-09-08 00:00", detailed_rows(1)),
        point("nonsense", detailed_rows(1)),
        {"success": True, "data": detailed_rows(2), "year": 2024, "month": 8, "day": 2, "hour": "6"},
        point("2024-08-01 06:00", detailed_rows(7)),
    )
    report = import_legacy(path, ledger)
    assert (report.points, report.imported, report.held, report.quarantined) == (9, 3, 1, 1)
    assert (report.unsuccessful, report.empty, report.without_hour, report.without_time) == (1, 1, 2, 1)
    assert report.rows == 9
    assert any("nonsense" in example for example in report.examples)
    six = from_wall(MONTH.first_day, 6)
    assert six is not None
    value = ledger.values(six, six + HOUR)[0]
    assert (value.shape, value.origin, value.customers) == (Shape.DETAILED, Origin.LEGACY, 21)
    assert value.captured_at == datetime(2025, 3, 1, 10, tzinfo=CHILE)
    assert json.loads(store.read(value.key)) == detailed_rows(7)
    assert len(ledger.revisions(six)) == 2, "both shapes are kept"
    assert report.both_shapes == 3
    assert report.differing[six] == (21, 6 * 40)
    states = ledger.states(MONTH)
    assert {states[hour] for hour in MONTH.hours() if hour != MONTH.hours()[7]} == {HourState.CAPTURED}

    again = import_legacy(path, ledger)
    assert (again.imported, again.quarantined, again.held) == (0, 0, 5)
    rows = ledger.rows(MONTH.hours())
    ledger.rebuild()
    assert ledger.rows(MONTH.hours()) == rows


def test_import_of_a_checkpoint_that_ends_in_the_middle(ledger: Ledger, tmp_path: Path) -> None:
    points = [point(f"2024-08-{day:02d} 06:00", detailed_rows(day)) for day in range(1, 31)]
    whole = json.dumps({"metadata": {"year": 2024}, "data": points})
    path = tmp_path / "checkpoint_2024.json"
    path.write_text(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not whole JSON"):
        import_legacy(path, ledger)
    first = len(ledger.values(MONTH.start, MONTH.end))
    assert 10 < first < 20
    path.write_text(whole)
    report = import_legacy(path, ledger)
    assert (report.imported, report.held) == (30 - first, first)
    path.write_text("{}")
    with pytest.raises(InputError, match="no points"):
        import_legacy(path, ledger)
    with pytest.raises(InputError, match="can't be read"):
        import_legacy(tmp_path / "missing.json", ledger)


def test_a_file_as_python_writes_it(ledger: Ledger, store: BronzeStore, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [dict(row) for row in detailed_rows(3)]
    rows[0]["CLIENTES_AFECTADOS"] = float("nan")
    rows[1]["CLIENTES_AFECTADOS"] = 10**30
    rows[2]["NOMBRE_COMUNA"] = 'NaN, "Infinity" \\ -Infinity'
    path = tmp_path / "bom.json"
    points = [point("2024-08-01 06:00", rows), point("0500-01-01 00:00", rows)]
    path.write_text(json.dumps({"data": points}), "utf-8-sig")
    report = import_legacy(path, ledger)
    assert (report.points, report.imported, report.without_hour) == (2, 1, 1)
    (kept,) = ledger.values(MONTH.start, MONTH.end)
    back = json.loads(store.read_kept(kept))
    assert [row["CLIENTES_AFECTADOS"] for row in back] == [None, 10**30, rows[2]["CLIENTES_AFECTADOS"]]
    assert back[2]["NOMBRE_COMUNA"] == rows[2]["NOMBRE_COMUNA"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 5000])
def test_what_json_has_no_word_for_is_null_wherever_a_chunk_ends(size: int) -> None:
    odd = [float("nan"), [float("inf"), -float("inf")], "NaN", '\\"NaN', "x: -Infinity,", {"NaN": "\\"}, "ñ"]
    file = _Tolerant(BytesIO(b"\xef\xbb\xbf" + json.dumps(odd, ensure_ascii=False).encode()))
    read = b"".join(iter(lambda: file.read(size), b""))
    assert json.loads(read) == [None, [None, None], *odd[2:]]


@pytest.mark.parametrize(
    "text",
    [
        '{"data": [' + "[" * 200_000,
        '{"data": [{"data": ' + '{"a":' * 2_000,
        '{"data": [{"a": "' + "x" * 3_000_000,
        "[NaN, Infinit",
        '{"data": [{"a": "\udced ',
        '{"data": [{"data": [], "fecha_consultada": "9999-12-31 23:00"},',
    ],
)
def test_hostile_files_end_in_one_line(ledger: Ledger, tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.json"
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(InputError, match="not whole JSON") as caught:
        import_legacy(path, ledger)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="not a regular file"):
        import_legacy(tmp_path, ledger)


def test_hours_and_times_of_points() -> None:
    assert hour_of({"fecha_consultada": "2017-01-01T06:00:00"}) == datetime(2017, 1, 1, 9, tzinfo=UTC)
    assert hour_of({"year": "2017", "month": 1, "day": 1, "hour": 6}) == datetime(2017, 1, 1, 9, tzinfo=UTC)
    for odd in (
        {},
        {"fecha_consultada": "2017-13-01 06:00"},
        {"year": 2017, "month": 1, "day": 1},
        {"hour": None},
        {"fecha_consultada": "9999-12-31 23:00"},
    ):
        assert hour_of(odd) is None
    assert scraped_at("22/01/2026 12:00") == datetime(2026, 1, 22, 15, tzinfo=UTC)
    assert scraped_at("2026-01-22T12:00:00Z") == datetime(2026, 1, 22, 12, tzinfo=UTC)
    assert scraped_at("soon") is None
    assert scraped_at("9999-12-31T23:00:00-05:00") is None
    assert scraped_at(None) is None
    assert digest(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
