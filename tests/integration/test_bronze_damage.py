"""What was kept is checked when it is read: damaged bodies, bad journal lines, stray files, other time zones."""

import random
import shutil
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.fixtures import MakeSettings, on_disk
from support.silver_world import export

from sec_core.blobs.place import StoreUrl
from sec_core.bronze import journal
from sec_core.bronze.ledger import Finding, Ledger
from sec_core.bronze.ledger_rules import DAMAGED, Capture, HourState, Origin, Outcome, Result, hours_to_ask
from sec_core.bronze.seal import seal_month
from sec_core.bronze.store import BodyDamaged, BodyName, BronzeStore
from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.errors import IncompleteError
from sec_core.hours import HOUR, Month
from sec_core.silver.load import LoadReport, load_month
from sec_core.source.shapes import classify

MONTH = Month(2024, 8)
NOW = datetime(2026, 9, 30, tzinfo=UTC)
NAMES = ("Talca", "Curico", "Linares", "Cauquenes")


def body_of(number: int) -> bytes:
    rows = [
        {"NOMBRE_REGION": "Maule", "NOMBRE_COMUNA": name, "CLIENTES_AFECTADOS": 100 + number + i}
        for i, name in enumerate(NAMES)
    ]
    return orjson.dumps(rows)


class World:
    """A small month in Bronze."""

    def __init__(self, database: Database, settings: Settings, *, hours: int = 60) -> None:
        self.database, self.settings = database, settings
        self.store = BronzeStore(settings.bronze)
        self.ledger = Ledger(database, self.store)
        self.hours = MONTH.hours()[:hours]
        self.keep(self.hours, NOW)

    def keep(self, hours: Iterable[datetime], at: datetime) -> None:
        bodies = {hour: body_of(MONTH.hours().index(hour)) for hour in hours}
        self.ledger.record([Finding(hour, at, body, classify(body)) for hour, body in bodies.items()])

    def path(self, hour: datetime) -> Path:
        return on_disk(self.settings.bronze) / self.value(hour).key

    def value(self, hour: datetime) -> Capture:
        (value,) = self.ledger.values(hour, hour + HOUR)
        return value

    def fill(self) -> None:
        """Keep the rest of the month too."""
        self.keep(MONTH.hours()[len(self.hours) :], NOW)
        self.hours = MONTH.hours()

    def fresh(self) -> Ledger:
        """The ledger of a process that has read nothing yet."""
        return Ledger(self.database, BronzeStore(self.settings.bronze))

    def load(self, *, force: bool = False) -> LoadReport:
        fresh, values = BronzeStore(self.settings.bronze), self.fresh()
        return load_month(self.database, fresh.read_kept, MONTH, self.settings, values=values, force=force)

    def to_ask(self) -> list[datetime]:
        return hours_to_ask(self.hours, self.ledger.rows(self.hours), NOW + timedelta(hours=1))


@pytest.fixture
def world(database: Database, make_settings: MakeSettings) -> World:
    return World(database, make_settings())


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def replace_by(path: Path, other: Path) -> None:
    path.unlink()
    shutil.copy(other, path)


def link_to(path: Path, other: Path) -> None:
    path.unlink()
    path.symlink_to(other)


@pytest.mark.parametrize(
    "damage",
    [lambda a, _: flip(a), replace_by, link_to, lambda a, _: a.write_bytes(b""), lambda a, _: a.write_bytes(b"x" * 99)],
    ids=["flipped bit", "another body", "symlink to another hour", "empty", "garbage"],
)
def test_a_damaged_body_is_set_aside_and_asked_for_again(world: World, damage: Callable[[Path, Path], None]) -> None:
    world.load()
    before = export(world.database)
    hurt, other = world.hours[10], world.hours[20]
    damage(world.path(hurt), world.path(other))
    report = world.load(force=True)
    assert (report.damaged, report.hours_loaded, report.hours_removed) == ((hurt,), 59, 1)
    row = world.ledger.rows([hurt])[hurt]
    assert (row.state, row.code, row.value) == (HourState.QUARANTINED, DAMAGED, None)
    assert (row.error or "").startswith(DAMAGED)
    assert world.ledger.damaged() == world.to_ask() == [hurt]
    assert world.ledger.month_summary([MONTH], NOW)[0].damaged == 1
    assert world.load(force=True).damaged == ()
    # The journal says so too, whatever becomes of the tables.
    rows = world.ledger.rows(world.hours)
    world.ledger.rebuild()
    assert world.ledger.rows(world.hours) == rows
    # The source gives the same answer again: it is kept again, under a name of its own, and counts.
    world.keep([hurt], NOW + timedelta(minutes=30))
    assert world.ledger.damaged() == world.to_ask() == []
    assert world.load().hours_loaded == 1
    after = export(world.database)
    assert {name: rows for name, rows in after.items() if name != "cargas"} == {
        name: rows for name, rows in before.items() if name != "cargas"
    }


def test_a_restored_body_leaves_quarantine_and_another_value_stands_in_meanwhile(world: World) -> None:
    hurt = world.hours[10]
    first = world.value(hurt)
    newer = body_of(30)
    world.ledger.record([Finding(hurt, NOW + HOUR, newer, classify(newer))])
    world.load()
    before = export(world.database)
    path = world.path(hurt)
    good = path.read_bytes()
    flip(path)
    assert world.load(force=True).damaged == (hurt,)
    row = world.ledger.rows([hurt])[hurt]
    assert (row.state, row.value, row.code) == (HourState.CAPTURED, first, DAMAGED)
    assert world.to_ask() == [hurt]
    # A failure in between does not make anyone forget.
    world.ledger.record([Finding(hurt, NOW + 2 * HOUR, code="source_unavailable", error="503")])
    assert world.ledger.damaged() == [hurt]
    assert world.ledger.relearn(MONTH.start, MONTH.end) == 0
    path.write_bytes(good)
    assert world.ledger.relearn(MONTH.start, MONTH.end) == 1
    world.load()
    assert export(world.database) == before
    rows = world.ledger.rows(world.hours)
    world.ledger.rebuild()
    assert world.ledger.rows(world.hours) == rows


def test_no_bit_of_a_sealed_month_changes_a_body_unseen(world: World) -> None:
    world.fill()
    report = seal_month(MONTH, store=world.store, ledger=world.ledger, now=NOW + timedelta(days=9))
    assert report is not None
    kept = world.ledger.kept(MONTH)
    path = on_disk(world.settings.bronze) / report.key
    good, bodies = path.read_bytes(), [body_of(number) for number in range(744)]
    draw = random.Random(7)
    found = 0
    for _ in range(120):
        data = bytearray(good)
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
        read = list(BronzeStore(world.settings.bronze).try_all(kept))
        for body, whole in zip(read, bodies, strict=True):
            assert isinstance(body, BodyDamaged) or body == whole
        found += any(isinstance(body, BodyDamaged) for body in read)
    assert found > 5
    # The whole path with one that hits: named, asked for again, sealed again, and nothing of the old file goes.
    path.write_bytes(good[:-40])
    assert len(world.load().damaged) == 744
    rebuilt = world.fresh().rebuild()
    assert any(report.key in problem for problem in rebuilt.passed_over)
    assert len(world.ledger.damaged()) == len(world.to_ask()) == 744
    world.keep(MONTH.hours(), NOW + timedelta(days=10))
    again = seal_month(MONTH, store=world.store, ledger=world.ledger, now=NOW + timedelta(days=20))
    assert again is not None
    assert (again.bodies, path.exists()) == (744, True)
    assert world.load().damaged == ()
    path.write_bytes(good)
    assert world.fresh().relearn(MONTH.start, MONTH.end) == 744


def test_sealing_names_what_is_damaged_and_its_advice_mends_it(world: World) -> None:
    world.fill()
    hurt, other = MONTH.hours()[10], MONTH.hours()[20]
    replace_by(world.path(hurt), world.path(other))
    damaged = world.path(hurt)
    later = NOW + timedelta(days=9)
    with pytest.raises(IncompleteError, match=r"1 damaged bodies \(2024-08-01 10h\).*sec sync --month 2024-08"):
        seal_month(MONTH, store=world.store, ledger=world.ledger, now=later)
    with pytest.raises(IncompleteError, match="1 hour of 2024-08 is not settled"):
        seal_month(MONTH, store=world.store, ledger=world.ledger, now=later)
    world.keep(world.to_ask(), NOW + timedelta(hours=2))
    report = seal_month(MONTH, store=world.store, ledger=world.ledger, now=later)
    assert report is not None
    assert report.bodies == 744
    assert damaged.exists(), "the damaged file stays: it may be restored"
    assert seal_month(MONTH, store=world.store, ledger=world.ledger, now=later) is None


def test_a_damaged_object_is_noticed(database: Database, make_settings: MakeSettings, bucket: StoreUrl) -> None:
    world = World(database, make_settings(data_dir=bucket, state_dir=make_settings().data_dir), hours=5)
    hurt, other = world.hours[1], world.hours[2]
    world.store.blobs.replace(world.value(hurt).key, world.store.blobs.read(world.value(other).key))
    assert world.load().damaged == (hurt,)
    assert world.to_ask() == [hurt]


BAD: tuple[dict[str, object], ...] = (
    {"bytes": None}, {"n_filas": "12"}, {"clientes": 2**63}, {"clientes": -1}, {"sha256": "x"}, {"hora": 5},
    {"hora": "2024-08-01"}, {"resultado": "soso"}, {"consulta": "yes"}, {"clave": "../x"}, {"clave": 7},
    {"total_nacional": 2**63 + 5}, {"forma": "square"}, {"origen": "who"}, {"reloj": "2024-13-01T00"},
)  # fmt: skip


def test_bad_lines_and_stray_files_never_stop_a_rebuild(world: World) -> None:
    folder = on_disk(world.settings.bronze)
    rows = world.ledger.rows(world.hours)
    path = folder / "journal" / f"{MONTH}.jsonl"
    lines = path.read_bytes().split(b"\n")
    model = {name: value for name, value in orjson.loads(lines[1]).items() if name != "clave"}
    body = orjson.loads(lines[1])
    bad = [orjson.dumps(body | change) for change in BAD[:-1]] + [orjson.dumps(model | BAD[-1])]
    other_month = orjson.dumps(model | {"hora": "2024-09-05T00:00:00Z", "reloj": "2024-09-04T20"})
    newer = orjson.dumps(orjson.loads(lines[2]) | {"una_clave_nueva": [1]})
    torn = lines[3][:50]
    path.write_bytes(b"\n".join([*bad, b"\xff\xfe", b"null", b"[]", other_month, torn, lines[1], newer, *lines[3:]]))
    for stray in (".DS_Store", "Thumbs.db", f"{MONTH}.jsonl~", "2024-13.jsonl", "notas.txt"):
        for where in ("journal", "por_fecha/2024/08", "sellado"):
            (folder / where).mkdir(parents=True, exist_ok=True)
            (folder / where / stray).write_bytes(b"\x00\x01 stray")
    (folder / "sellado" / "2024-13.1.parquet").write_bytes(b"x")
    (folder / "por_fecha/2024/08/2024-08-40T00.20260930T000000000000Z.sec.json.zst").write_bytes(b"x")
    report = world.ledger.rebuild()
    assert world.ledger.rows(world.hours) == rows
    assert report.hours == {MONTH: 60}
    (unreadable,) = [problem for problem in report.passed_over if "unreadable lines" in problem]
    assert f"{len(BAD) + 5} unreadable lines" in unreadable
    assert sum("stray" in problem for problem in report.passed_over) == 17
    assert world.fresh().repair(MONTH) == 0
    world.fill()
    assert seal_month(MONTH, store=world.store, ledger=world.ledger, now=NOW + timedelta(days=9)) is not None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAME = BodyName(MONTH.hours()[3], NOW, Origin.SEC)
LINE = orjson.loads(journal.encode(Outcome(NAME.hour, NOW, Result.FAILED, code="a", error="b", national_total=3)))


@settings(max_examples=examples(100))
@given(st.dictionaries(st.sampled_from([*LINE, "clave", "sha256", "bytes", "forma", "origen"]), VALUES, max_size=4))
def test_no_line_is_an_error(change: dict[str, Any]) -> None:
    found = journal.decode(msgspec.json.encode(LINE | change))
    assert found is None or (journal.decode(journal.encode(found[0])) or [None])[0] == found[0]


@settings(max_examples=examples(100))
@given(st.binary(max_size=60))
def test_no_bytes_are_an_error(data: bytes) -> None:
    assert journal.decode(data) is None


def test_a_rebuild_follows_the_wall_clock_of_names(database: Database, make_settings: MakeSettings) -> None:
    """A time zone database of early 2022 let summer begin on 4 September; it was put off to the 11th."""
    month, store = Month(2022, 9), BronzeStore(make_settings().bronze)
    ledger = Ledger(database, store)
    hours = month.hours()
    at = [NOW + timedelta(seconds=i) for i in range(len(hours))]
    ledger.record([Finding(hour, at[i], body_of(i), classify(body_of(i))) for i, hour in enumerate(hours)])
    failed = hours[100]
    ledger.record([Finding(failed, NOW + HOUR, code="source_unavailable", error="503")])
    right = ledger.rows(hours)
    # The same files as the older version wrote them: without the wall hour, and a week of instants an hour early.
    path = on_disk(make_settings().bronze) / "journal" / "2022-09.jsonl"
    lines = [orjson.loads(line) for line in path.read_bytes().split(b"\n") if line]
    first, last = datetime(2022, 9, 4, 5, tzinfo=UTC), datetime(2022, 9, 11, 4, tzinfo=UTC)
    shifted = 0
    for line in lines:
        del line["reloj"]
        hour = datetime.fromisoformat(line["hora"])
        if first <= hour < last:
            line["hora"] = (hour - HOUR).isoformat()
            shifted += 1
    path.write_bytes(b"".join(b"\n" + orjson.dumps(line) for line in lines))
    report = ledger.rebuild()
    assert (report.moved, report.passed_over) == (shifted, [])
    assert shifted == 168
    assert ledger.rows(hours) == right
    # Without a rebuild, the next use of the month sets it right as well.
    with database.engine.begin() as connection:
        connection.exec_driver_sql("update revisiones set hora = hora - interval '1 hour' where hora = %s", (first,))
        connection.exec_driver_sql("delete from capturas where hora = %s", (first,))
    assert Ledger(database, store).repair(month) >= 1
    assert ledger.rows(hours) == right
