"""Put the site somewhere: only what changed is written, shared files first, old files removed last.

`sitio.json` beside the pages holds what each file is, and what it was made from. What is about to change is struck from
it before, so that a run that was killed is made good by the next one. Files that it does not name are not the site's,
and stay.
"""

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson

from sec_core.blobs.place import BlobMissing, Blobs, StoreUrl, at_once

Held = Mapping[str, tuple[str, str]]

MANIFEST: Final = "sitio.json"
_PROBE: Final = "prueba.txt"


@dataclass(frozen=True, slots=True)
class PutReport:
    """What was done: files written, left as they were, and removed."""

    written: tuple[str, ...]
    kept: int
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Site:
    """A site in the making.

    Attributes:
        held: Files of the last one that stand as they were written: digests of each and of what it was made from.
        files: Files that were made.
        inputs: A digest of what each file is made from, those that stand included.
    """

    held: Held = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)

    def stands(self, inputs: str, *paths: str) -> bool:
        """Note what files are made from; whether all of them were made from it already, and need not be made again."""
        self.inputs.update(dict.fromkeys(paths, inputs))
        return all(path in self.held and self.held[path][1] == inputs for path in paths)


def put(site: Site, target: Blobs, prefix: str = "") -> PutReport:
    """Bring a place up to the site.

    Args:
        site: Its files by path; those that stand are left.
        target: Where they go; in an object store with their content type, and compressed if it serves that properly.
        prefix: Folder below it, with a slash at its end.

    Raises:
        StorageError: The place refused something; readers still have all that they had.
    """
    packed = isinstance(target.place, StoreUrl) and serves_packed(target, prefix)
    held = dict(site.held) or standing(target, prefix)
    noted = _noted(target, prefix)
    wanted = {path: (site.held[path][0], inputs) for path, inputs in site.inputs.items() if path not in site.files}
    for path, body in site.files.items():
        digest = f"{hashlib.sha256(body).hexdigest()}{' gzip' if packed else ''}"
        wanted[path] = digest, site.inputs.get(path, "")
    changed = sorted(path for path in site.files if path not in held or held[path][0] != wanted[path][0])
    old = sorted(noted.keys() - wanted.keys())
    report = PutReport(tuple(changed), len(wanted) - len(changed), tuple(old))
    if noted == wanted and not changed:
        return report
    _note(target, prefix, {path: ("", "") if path in changed else entry for path, entry in noted.items()})

    def write(path: str) -> None:
        body, kind = site.files[path], mimetypes.guess_type(path)[0] or "application/octet-stream"
        # Older Pythons call scripts `application/javascript`.
        kind = "text/javascript" if path.endswith(".js") else kind
        headers = {"Content-Type": f"{kind}; charset=utf-8" if kind.startswith("text/") else kind}
        if packed and not path.endswith(".png"):
            body = gzip.compress(body, mtime=0)
            headers["Content-Encoding"] = "gzip"
        target.replace(prefix + path, body, durable=False, headers=headers)

    # Scripts before the pages that name them (these have a name of their own for each content), and new pages before
    # those that were there already, which may link to them.
    order = [(not path.startswith("assets/"), path in noted) for path in changed]
    for turn in sorted(set(order)):
        list(at_once(target.place, write, [path for path, of in zip(changed, order, strict=True) if of == turn]))
    _note(target, prefix, wanted | dict.fromkeys(old, ("", "")))
    list(at_once(target.place, lambda path: target.delete(prefix + path), old))
    _note(target, prefix, wanted)
    return report


def standing(target: Blobs, prefix: str = "") -> dict[str, tuple[str, str]]:
    """Files of the site that was put there last which are there; in a folder, as they were written."""
    noted = _noted(target, prefix)
    there = {key.removeprefix(prefix) for key in target.list(prefix)} if noted else set()
    found = {path: entry for path, entry in noted.items() if path in there and entry[0]}
    if not isinstance(target.place, Path):
        return found
    bodies = at_once(2, lambda path: hashlib.sha256(target.read(prefix + path)).hexdigest(), found)
    return {path: found[path] for path, digest in zip(list(found), bodies, strict=True) if digest == found[path][0]}


def whole(target: Blobs, prefix: str) -> bool:
    """Whether all files of the site that was put there last are there."""
    held = _noted(target, prefix)
    return bool(held) and held.keys() <= {key.removeprefix(prefix) for key in target.list(prefix)}


def read_site(place: Blobs, prefix: str = "") -> Site:
    """The files of a site that was put there; none if there is none.

    Raises:
        BlobMissing: A file of it is gone.
    """
    paths = list(_noted(place, prefix))
    bodies = at_once(place.place, lambda path: place.read(prefix + path), paths)
    return Site(files=dict(zip(paths, bodies, strict=True)))


def serves_packed(target: Blobs, prefix: str) -> bool:
    """Whether a store keeps the encoding that it is told of, so that browsers unpack what it serves."""
    target.replace(prefix + _PROBE, gzip.compress(b"x", mtime=0), headers={"Content-Encoding": "gzip"})
    kept = target.headers(prefix + _PROBE).get("Content-Encoding") == "gzip"
    target.delete(prefix + _PROBE)
    return kept


def _noted(target: Blobs, prefix: str) -> dict[str, tuple[str, str]]:
    try:
        found = orjson.loads(target.read(prefix + MANIFEST))
        return {path: (each, "") if isinstance(each, str) else (each[0], each[1]) for path, each in found.items()}
    except (BlobMissing, AttributeError, LookupError, TypeError, ValueError):
        return {}


def _note(target: Blobs, prefix: str, held: Held) -> None:
    target.replace(prefix + MANIFEST, orjson.dumps(held, option=orjson.OPT_SORT_KEYS), durable=False)
