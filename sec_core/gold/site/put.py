"""Put the site somewhere: only what changed is written, shared files first, old files removed last.

`sitio.json` beside the pages holds what each file is. What is about to change is struck from it before, so that a
run that was killed is made good by the next one. Files that it does not name are not the site's, and stay.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from sec_core.blobs.at_once import at_once
from sec_core.blobs.model import BlobMissing
from sec_core.blobs.place import StoreUrl, width

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sec_core.blobs.model import Blobs

MANIFEST: Final = "sitio.json"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".svg": "image/svg+xml",
    ".xml": "application/xml",
    ".png": "image/png",
}
_PACKED: Final = {".html", ".css", ".js", ".json", ".csv", ".svg", ".xml"}
_PROBE: Final = "prueba.txt"


@dataclass(frozen=True, slots=True)
class PutReport:
    """What was done: files written, left as they were, and removed."""

    written: tuple[str, ...]
    kept: int
    removed: tuple[str, ...]


def put(site: Mapping[str, bytes], target: Blobs, prefix: str = "") -> PutReport:
    """Bring a place up to the site.

    Args:
        site: Files by path.
        target: Where they go; in an object store with their content type, and compressed if it serves that properly.
        prefix: Folder below it, with a slash at its end.

    Raises:
        StorageError: The place refused something; readers still have all that they had.
    """
    packed = isinstance(target.place, StoreUrl) and serves_packed(target, prefix)
    wanted = {path: f"{hashlib.sha256(body).hexdigest()}{' gzip' if packed else ''}" for path, body in site.items()}
    there = {key.removeprefix(prefix) for key in target.list(prefix)}
    held = {path: digest for path, digest in _held(target, prefix).items() if path in there}
    changed = sorted(path for path, digest in wanted.items() if held.get(path) != digest)
    old = sorted(held.keys() - wanted.keys())
    if not changed and not old:
        return PutReport((), len(site), ())
    _note(target, prefix, {path: "" if path in changed else digest for path, digest in held.items()})

    def write(path: str) -> None:
        body, kind = site[path], f".{path.rpartition('.')[2]}"
        headers = {"Content-Type": _TYPES.get(kind) or mimetypes.guess_type(path)[0] or "application/octet-stream"}
        if packed and kind in _PACKED:
            body = gzip.compress(body, mtime=0)
            headers["Content-Encoding"] = "gzip"
        target.replace(prefix + path, body, durable=False, headers=headers)

    # A page meets the scripts that it names: these have a name of their own for each content.
    shared = [path for path in changed if path.startswith("assets/")]
    for group in (shared, [path for path in changed if path not in shared]):
        list(at_once(width(target.place), write, group))
    _note(target, prefix, wanted | dict.fromkeys(old, ""))
    list(at_once(width(target.place), lambda path: target.delete(prefix + path), old))
    _note(target, prefix, wanted)
    return PutReport(tuple(changed), len(site) - len(changed), tuple(old))


def whole(target: Blobs, prefix: str) -> bool:
    """Whether all files of the site that was put there last are there."""
    held = _held(target, prefix)
    return bool(held) and held.keys() <= {key.removeprefix(prefix) for key in target.list(prefix)}


def read_site(place: Blobs, prefix: str = "") -> dict[str, bytes]:
    """The files of a site that was put there; empty if there is none.

    Raises:
        BlobMissing: A file of it is gone.
    """
    paths = list(_held(place, prefix))
    return dict(zip(paths, at_once(width(place.place), lambda path: place.read(prefix + path), paths), strict=True))


def serves_packed(target: Blobs, prefix: str) -> bool:
    """Whether a store keeps the encoding that it is told of, so that browsers unpack what it serves."""
    target.replace(prefix + _PROBE, gzip.compress(b"x", mtime=0), headers={"Content-Encoding": "gzip"})
    kept = target.headers(prefix + _PROBE).get("Content-Encoding") == "gzip"
    target.delete(prefix + _PROBE)
    return kept


def _held(target: Blobs, prefix: str) -> dict[str, str]:
    try:
        found = orjson.loads(target.read(prefix + MANIFEST))
    except (BlobMissing, orjson.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _note(target: Blobs, prefix: str, held: dict[str, str]) -> None:
    target.replace(prefix + MANIFEST, orjson.dumps(held, option=orjson.OPT_SORT_KEYS), durable=False)
