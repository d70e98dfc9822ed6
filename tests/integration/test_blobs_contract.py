"""What every place for blobs promises, held against a folder and against a real object store."""

import errno
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest
from support.log_writers import LOG, lines_of

from sec_core.blobs.place import BlobMissing, Blobs, Place, open_blobs, try_out
from sec_core.bronze.journal import Journal
from sec_core.errors import StorageError
from sec_core.hours import Month

TESTS = Path(__file__).parents[1]
WRITERS, LINES = 3, 40


@pytest.fixture(params=["folder", "folder without hard links", "object store"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A place that holds nothing."""
    if request.param == "folder without hard links":

        def refuse(*_: object) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr("os.link", refuse)
    if request.param != "object store":
        return tmp_path / "data"
    found: Place = request.getfixturevalue("bucket") / "some" / "prefix"
    return found


@pytest.fixture
def blobs(place: Place) -> Blobs:
    return open_blobs(place)


def test_a_new_blob_is_kept_and_never_replaced(blobs: Blobs, place: Place) -> None:
    key = "por_fecha/2024/08/2024-08-01T00.x.json.zst"
    assert blobs.put_new(key, b"first") is True
    assert blobs.put_new(key, b"second") is False
    assert (blobs.read(key), blobs.size(key), blobs.exists(key)) == (b"first", 5, True)
    assert open_blobs(place).read(key) == b"first"
    assert blobs.place == place


def test_of_many_that_put_the_same_name_one_wins(place: Place) -> None:
    writers = [open_blobs(place) for _ in range(8)]
    for number in range(5):
        start = threading.Barrier(len(writers), timeout=30)

        def put(writer: int, key: str = f"race/{number}", start: threading.Barrier = start) -> bool:
            start.wait()
            return writers[writer].put_new(key, bytes([writer]) * 50_000)

        with ThreadPoolExecutor(len(writers)) as pool:
            won = list(pool.map(put, range(len(writers))))
        assert won.count(True) == 1
        assert writers[0].read(f"race/{number}") == bytes([won.index(True)]) * 50_000


@pytest.mark.parametrize("durable", [True, False])
def test_a_replaced_blob_is_the_old_or_the_new_one(blobs: Blobs, durable: bool) -> None:
    sizes = (10, 200_000)
    contents = [letter * size for letter, size in zip((b"a", b"b"), sizes, strict=True)]
    blobs.replace("gold/x.json", contents[0], durable=durable)
    seen: set[bytes] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            seen.add(blobs.read("gold/x.json"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for turn in range(30):
        blobs.replace("gold/x.json", memoryview(contents[turn % 2]), durable=durable)
    over.set()
    watcher.join(30)
    assert seen <= set(contents)
    assert blobs.read("gold/x.json") == contents[1]
    assert list(blobs.list("gold/")) == ["gold/x.json"]


def test_names_are_listed_sorted_and_by_folder(blobs: Blobs) -> None:
    names = ["a/b/z.txt", "a/x.txt", "a/b/c/d=1/y.txt", "ab/x.txt", "a/b.txt", "b/x.txt"]
    for name in names:
        blobs.put_new(name, b"")
    assert list(blobs.list("a/")) == sorted(name for name in names if name.startswith("a/"))
    assert list(blobs.list("a/b/")) == ["a/b/c/d=1/y.txt", "a/b/z.txt"]
    assert list(blobs.list("none/")) == []


def test_what_is_deleted_is_gone_and_may_be_deleted_again(blobs: Blobs) -> None:
    for name in ("a/1", "a/b/2", "ab/3"):
        blobs.put_new(name, b"x")
    for _ in range(2):
        blobs.delete("a/1")
        assert not blobs.exists("a/1")
        blobs.delete_below("a/")
        assert [list(blobs.list(folder)) for folder in ("a/", "ab/")] == [[], ["ab/3"]]
    assert blobs.put_new("a/1", b"again") is True
    assert blobs.read("a/1") == b"again"


def test_a_missing_blob_is_named_with_what_to_do(blobs: Blobs, place: Place) -> None:
    assert not blobs.exists("a/none")
    for ask in (blobs.read, blobs.size, blobs.source, lambda key: blobs.tail(key, 4)):
        with pytest.raises(BlobMissing) as caught:
            ask("a/none")
        assert f"{place}/a/none is missing" in str(caught.value)
        assert "SEC_DATA_DIR" in caught.value.next_step


def test_names_that_lead_elsewhere_are_refused(blobs: Blobs) -> None:
    for name in ("../x", "a/../../x", "/etc/passwd"):
        with pytest.raises(StorageError, match="not a name"):
            blobs.put_new(name, b"")
        with pytest.raises(StorageError, match="not a name"):
            blobs.read(name)


def test_parts_of_files_can_be_read(blobs: Blobs) -> None:
    blobs.put_new("x", bytes(range(100)))
    assert [blobs.tail("x", size) for size in (1, 3, 100, 500)] == [
        bytes(range(99, 100)), bytes(range(97, 100)), bytes(range(100)), bytes(range(100)),
    ]  # fmt: skip
    frame, file = pl.DataFrame({"a": [1, 2, 3]}), BytesIO()
    frame.write_parquet(file)
    blobs.replace("gold/x.parquet", file.getbuffer())
    assert pl.read_parquet(blobs.source("gold/x.parquet")).equals(frame)


def test_a_log_keeps_all_in_the_order_of_adding(blobs: Blobs, place: Place) -> None:
    assert blobs.read_log(LOG) == b""
    lines = lines_of("me", 70)
    for number, line in enumerate(lines):
        (blobs if number % 3 else open_blobs(place)).append(LOG, b"\n" + line)
        if number in (10, 40):
            blobs.compact(LOG, most=number % 20)
    wanted = b"".join(b"\n" + line for line in lines)
    assert blobs.read_log(LOG) == wanted
    for most in (64, 1, 0):
        blobs.compact(LOG, most)
        assert blobs.read_log(LOG) == wanted
    assert len(list(blobs.list("journal/"))) == 1
    assert Journal(blobs).months() == [Month(2024, 8)]


def test_a_place_that_keeps_its_promises_is_left_as_it_was(blobs: Blobs) -> None:
    try_out(blobs)
    assert list(blobs.list("")) == []


def test_processes_that_add_while_others_pack_and_read_lose_nothing(place: Place) -> None:
    command = [sys.executable, "-m", "support.log_writers", str(place)]
    writers = [subprocess.Popen([*command, f"w{number}", str(LINES)], cwd=TESTS) for number in range(WRITERS)]
    blobs = open_blobs(place)
    most_seen = 0
    try:
        while any(writer.poll() is None for writer in writers):
            blobs.compact(LOG, most=3)
            seen = blobs.read_log(LOG).split(b"\n")[1:]
            assert len(seen) == len(set(seen)) >= most_seen
            most_seen = len(seen)
    finally:
        codes = [writer.wait(60) for writer in writers]
    assert codes == [0] * WRITERS
    blobs.compact(LOG, most=0)
    found = open_blobs(place).read_log(LOG).split(b"\n")[1:]
    for number in range(WRITERS):
        name = f"w{number}"
        assert [line for line in found if line.startswith(name.encode())] == lines_of(name, LINES)
    assert len(found) == WRITERS * LINES
