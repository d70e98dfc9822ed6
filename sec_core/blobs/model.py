"""What a place for bytes under names must do.

The promises that everything rests on: `put_new` leaves the whole blob or nothing, whatever kills the process, and
never replaces a blob; a reader of a name that is replaced sees the old bytes or the new ones; what `append` has added
to a log is never lost, whoever else adds to it.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Protocol

from sec_core.blobs.place import Place
from sec_core.errors import StorageError


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
    """

    place: Place

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
