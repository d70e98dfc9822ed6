"""Where blobs may lie, what such a place must do, opening it, and doing the same with many blobs.

A place is a folder of this machine, or a folder in an object store. The promises that everything rests on: `put_new`
leaves the whole blob or nothing, whatever kills the process, and never replaces a blob; a reader of a name that is
replaced sees the old bytes or the new ones; what `append` has added to a log is never lost, whoever else adds to it.
"""

import re
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Protocol, Self, TypeAlias, TypeVar

from sec_core.errors import StorageError

Item = TypeVar("Item")
Result = TypeVar("Result")

# How many blobs of an object store are asked for at a time.
_REMOTE_AT_ONCE: Final = 16
_URL: Final = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?P<prefix>(/[A-Za-z0-9._=-]+)*)/*")


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """A folder in an object store, written `s3://bucket/prefix`.

    Attributes:
        bucket: Name of the bucket.
        prefix: What all names begin with, without slashes at its ends; empty for the whole bucket.
    """

    bucket: str
    prefix: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address.

        Raises:
            ValueError: It is not of the form `s3://bucket/prefix`.
        """
        found = _URL.fullmatch(text)
        if found is None or {".", ".."} & set(found["prefix"].split("/")):
            raise ValueError("an address is written s3://bucket/prefix, its prefix of letters, digits and . _ - =")
        return cls(found["bucket"], found["prefix"].strip("/"))

    def __truediv__(self, name: str) -> Self:
        return type(self)(self.bucket, f"{self.prefix}/{name}".strip("/"))

    def as_uri(self) -> str:
        """The address, as a path has it too."""
        return str(self)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


Place: TypeAlias = Path | StoreUrl


def parse_place(value: object) -> object:
    """A folder or an address from a setting's text; what is no text stays as it is.

    Raises:
        ValueError: It looks like an address, but of another kind.
    """
    if isinstance(value, str) and "://" in value:
        return StoreUrl.parse(value)
    return value


class BlobMissing(StorageError):
    """There is no blob of this name."""

    default_next_step = (
        "Check SEC_DATA_DIR: all that work on one database need the same one. If it is right, restore the file from a "
        "backup."
    )


def checked(key: str) -> str:
    """The name itself; raises StorageError for one that leads out of the place."""
    if ".." in key.split("/") or key.startswith("/"):
        raise StorageError(f"{key!r} is not a name for a blob.", next_step="Report this as a defect.")
    return key


class Blobs(Protocol):
    """Bytes under names such as `por_fecha/2024/08/x.zst`, safe to use from several threads and processes.

    All operations raise StorageError where the place refuses them, and StorageUnavailable where it does not answer.

    Attributes:
        place: The folder or address below which the names are.
        has_links: Whether the place is known to take new names by itself; a folder without hard links needs a lock.
    """

    place: Place
    has_links: bool = True

    def put_new(self, key: str, data: bytes) -> bool:
        """Keep a blob, whole or not at all; False (and nothing changed) if the name is taken."""

    def replace(
        self, key: str, data: bytes | memoryview, *, durable: bool = True, headers: Mapping[str, str] | None = None
    ) -> None:
        """Put a blob in the place of another of this name, if there is one.

        Args:
            key: Its name.
            data: Its bytes.
            durable: Whether it survives a power cut at once; what can be made again need not.
            headers: `Content-Type` and the like, with which a store serves it; a folder has no use for them.
        """

    def headers(self, key: str) -> Mapping[str, str]:  # noqa: ARG002 - a store looks at it
        """The headers that a store kept with a blob; a folder keeps none."""
        return {}

    def read(self, key: str) -> bytes:
        """The bytes of a blob; raises BlobMissing if there is none."""

    def tail(self, key: str, size: int) -> bytes:
        """The last bytes of a blob, all of a shorter one; raises BlobMissing if there is none."""

    def source(self, key: str) -> Path | IO[bytes]:
        """What a reader of Parquet takes: the file itself where it is one; raises BlobMissing if there is none."""

    def exists(self, key: str) -> bool:
        """Whether there is a blob of this name."""
        try:
            self.size(key)
        except BlobMissing:
            return False
        return True

    def size(self, key: str) -> int:
        """Bytes of a blob; raises BlobMissing if there is none."""

    def list(self, prefix: str) -> Iterator[str]:
        """Names below a folder-like prefix, sorted."""

    def delete(self, key: str) -> None:
        """Forget a blob; no error if there is none."""

    def delete_below(self, prefix: str) -> None:
        """Forget all blobs below a folder-like prefix; call it when nobody writes there."""

    def append(self, key: str, data: bytes) -> None:
        """Add to the end of a log in one write, making it if needed; flushes what was put before."""

    def read_log(self, key: str) -> bytes:
        """All that was added to a log, in the order of adding; empty if nothing was."""

    def compact(self, key: str, most: int = 64) -> None:  # noqa: ARG002 - a store looks at them
        """Bring a log into few blobs, where it has more than `most`; others may add to it meanwhile."""
        return

    def flush(self) -> None:
        """Make all that was put survive a power cut, where it does not by itself."""
        return


def open_blobs(place: Place) -> Blobs:
    """The blobs at a place; nothing is sent yet."""
    if isinstance(place, StoreUrl):
        from sec_core.blobs.objects import ObjectBlobs  # noqa: PLC0415 - both are made of this module

        return ObjectBlobs(place)
    from sec_core.blobs.local import LocalBlobs  # noqa: PLC0415

    return LocalBlobs(place)


def try_out(blobs: Blobs) -> None:
    """Write, list, read back and delete a small blob, and see that a second one does not take its place.

    Raises:
        StorageError: The place refuses something, or replaces what it must not.
        StorageUnavailable: The place does not answer.
    """
    folder = f"prueba-{secrets.token_hex(8)}/"
    key = f"{folder}x"
    try:
        kept = blobs.put_new(key, b"first") and not blobs.put_new(key, b"second")
        if not kept or blobs.read(key) != b"first":
            raise StorageError(
                f"{blobs.place} lets one object take the place of another.",
                next_step="Use a store that honours `If-None-Match: *` on PUT.",
            )
        if key not in blobs.list(folder):
            raise StorageError(f"{blobs.place} does not list what was just written.", next_step="Use another store.")
    finally:
        blobs.delete(key)
        if isinstance(blobs.place, Path):
            blobs.delete_below(folder)  # an object store has no folders


def at_once(place: Place | int, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Results in the order of the items; memory holds twice as many as are done at a time.

    Args:
        place: Where it is done, or how many at a time: an object store answers late, but many at once.
        function: What is done, from other threads if it is more than one at a time.
        items: What it is done with.

    Raises:
        Exception: The first that the function raises, in the order of the items; later items are not begun.
    """
    width = place if isinstance(place, int) else _REMOTE_AT_ONCE if isinstance(place, StoreUrl) else 1
    if width == 1:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(width, thread_name_prefix="blobs")
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= 2 * width:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
