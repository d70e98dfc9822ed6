"""A log where nothing can be appended to: each addition is a part of its own, and many parts are packed into one blob.

Part `00000012.<mark>.jsonl` is the twelfth addition; writers that number alike at the same instant differ in the random
mark. Pack `pack-00000012.<mark>.jsonl` holds parts up to the twelfth, named in its first line, so that it does not
matter whether a part is found by itself, in a pack, or in several: each counts once. So additions, packing and reading
need no lock, and a kill at any instant loses and doubles nothing.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Final

import orjson

from sec_core.errors import StorageError

_NAME: Final = re.compile(r"(?P<pack>pack-)?(?P<number>[0-9]{8})\.[0-9a-f]{16}\.jsonl")
_HEAD: Final = "partes"


def folder_of(key: str) -> str:
    """Folder of a log's parts: `journal/2024-08/` for `journal/2024-08.jsonl`."""
    return f"{key.rpartition('.')[0]}/"


def parse(name: str) -> re.Match[str] | None:
    """The `pack` (if it is one) and `number` of the name of a part or pack; None for any other name."""
    return _NAME.fullmatch(name)


def next_part(names: Iterable[str]) -> str:
    """A new part's name, which sorts behind all parts there are.

    Args:
        names: Names in the folder, parts and packs.
    """
    last = max((int(found["number"]) for found in map(parse, names) if found), default=0)
    return f"{last + 1:08d}.{secrets.token_hex(8)}.jsonl"


def first_part(data: bytes) -> str:
    """The name under which a whole log, kept as one file before, becomes a part: before all others."""
    return f"{0:08d}.{_mark(data)}.jsonl"


def pack(parts: Mapping[str, bytes]) -> tuple[str, bytes]:
    """Make a pack.

    Args:
        parts: Parts by name, one at least.

    Returns:
        Its name and its bytes; the same parts always give the same.
    """
    ordered = sorted(parts.items())
    head = orjson.dumps({_HEAD: [[name, len(data)] for name, data in ordered]})
    body = b"\n".join([head, b"".join(data for _, data in ordered)])
    return f"pack-{ordered[-1][0][:8]}.{_mark(body)}.jsonl", body


def unpack(name: str, data: bytes) -> dict[str, bytes]:
    """Parts of a pack by name.

    Raises:
        StorageError: It is damaged.
    """
    head, _, body = data.partition(b"\n")
    parts: dict[str, bytes] = {}
    at = 0
    try:
        for part, size in orjson.loads(head)[_HEAD]:
            parts[part] = body[at : at + size]
            at += size
    except (ValueError, KeyError, TypeError):
        at = -1
    if at != len(body):
        raise StorageError(f"The pack {name} is damaged.", next_step="Restore it from a backup of Bronze.")
    return parts


def of_blobs(blobs: Mapping[str, bytes]) -> dict[str, bytes]:
    """All parts of some blobs, by themselves and in packs; other blobs are passed over. Raises as `unpack` does."""
    found: dict[str, bytes] = {}
    for key, data in blobs.items():
        if named := parse(name := key.rpartition("/")[2]):
            found |= unpack(key, data) if named["pack"] else {name: data}
    return found


def joined(parts: Mapping[str, bytes]) -> bytes:
    """What was added, in the order of adding."""
    return b"".join(data for _, data in sorted(parts.items()))


def _mark(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
