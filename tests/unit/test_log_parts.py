"""Logs in parts and packs, and several operations at a time."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sec_core.blobs import parts
from sec_core.blobs.place import at_once
from sec_core.errors import StorageError

datas = st.lists(st.binary(max_size=40), min_size=1, max_size=12)


def numbered(additions: list[bytes]) -> dict[str, bytes]:
    held: dict[str, bytes] = {}
    for data in additions:
        held[parts.next_part(held)] = data
    return held


@given(datas)
def test_what_was_added_comes_back_in_order_from_parts_and_from_a_pack(additions: list[bytes]) -> None:
    held = numbered(additions)
    name, body = parts.pack(held)
    found = parts.parse(name)
    assert found
    assert found["pack"]
    assert parts.unpack(name, body) == held
    assert parts.joined(parts.unpack(name, body)) == b"".join(additions)
    assert parts.pack(dict(reversed(held.items()))) == (name, body)


@given(datas, datas)
def test_parts_after_a_pack_sort_behind_it(packed: list[bytes], later: list[bytes]) -> None:
    held = numbered(packed)
    name, body = parts.pack(held)
    names = [name]
    new: dict[str, bytes] = {}
    for data in later:
        new[parts.next_part(names)] = data
        names = [name, *new]
    assert parts.joined(parts.unpack(name, body) | new) == b"".join(packed + later)


def test_a_log_that_was_one_file_comes_before_all_parts() -> None:
    held = numbered([b"second", b"third"])
    held[parts.first_part(b"first ")] = b"first "
    assert parts.joined(held) == b"first secondthird"


@pytest.mark.parametrize("damage", [slice(0, 5), slice(0, -1), slice(3, None)])
def test_a_damaged_pack_is_no_pack(damage: slice) -> None:
    name, body = parts.pack(numbered([b"one", b"two"]))
    with pytest.raises(StorageError, match="damaged"):
        parts.unpack(name, body[damage])


def test_other_files_in_the_folder_are_neither() -> None:
    assert not any(parts.parse(name) for name in ("x.jsonl", "00000001.jsonl", ".DS_Store"))
    assert parts.next_part(["x.jsonl", "99.jsonl"]).startswith("00000001.")


@pytest.mark.parametrize("width", [1, 4])
def test_results_keep_the_order_of_the_items(width: int) -> None:
    assert list(at_once(width, lambda n: n * n, range(50))) == [n * n for n in range(50)]


def test_several_are_done_at_a_time() -> None:
    together = threading.Barrier(4, timeout=30)
    assert len(list(at_once(4, lambda _: together.wait(), range(8)))) == 8


@pytest.mark.parametrize("width", [1, 4])
def test_the_first_error_ends_it(width: int) -> None:
    seen: list[int] = []
    begun: list[int] = []

    def fail(number: int) -> int:
        begun.append(number)
        if number == 5:
            raise StorageError("five")
        return number

    with pytest.raises(StorageError, match="five"):
        seen.extend(at_once(width, fail, range(1000)))
    assert seen == [0, 1, 2, 3, 4]
    assert len(begun) < 20
