"""Where bytes are kept under names: a small interface, and the local file system behind it.

Another place (an object store) needs only these six operations. The one promise that everything rests on:
`put_new` leaves the whole blob or nothing, whatever kills the process, and never replaces a blob.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sec_core.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PARTIAL = ".partial-"


class BlobMissing(StorageError):
    """There is no blob of this name."""


class Blobs(Protocol):
    """Bytes under names such as `por_fecha/2024/08/x.zst`."""

    def put_new(self, key: str, data: bytes) -> bool:
        """Keep a blob, whole or not at all; False (and nothing changed) if the name is taken."""
        ...

    def read(self, key: str) -> bytes:
        """The bytes of a blob; raises BlobMissing if there is none."""
        ...

    def exists(self, key: str) -> bool:
        """Whether there is a blob of this name."""
        ...

    def list(self, prefix: str) -> Iterator[str]:
        """Names below a folder-like prefix, sorted."""
        ...

    def delete(self, key: str) -> None:
        """Forget a blob; no error if there is none."""
        ...

    def append(self, key: str, data: bytes) -> None:
        """Add to the end of a blob in one write, making it if needed; flushes what was put before."""
        ...

    def flush(self) -> None:
        """Make all that was put survive a power cut."""
        ...


class LocalBlobs:
    """Blobs as files below a folder.

    Args:
        root: The folder; it and what lies below is made when first written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._made: set[str] = set()
        self._unsynced: set[str] = set()

    def put_new(self, key: str, data: bytes) -> bool:
        """Keep a blob, whole or not at all; False (and nothing changed) if the name is taken.

        Raises:
            StorageError: The disk refused it.
        """
        # This is done for every hour: plain texts and calls take half the time of paths.
        path = self._name(key)
        folder = path.rpartition("/")[0]
        partial = f"{folder}/{_PARTIAL}{uuid.uuid4().hex}"
        try:
            self._folder(folder)
            _write_synced(partial, data)
            try:
                # A hard link fails if the name is taken, which a rename does not.
                os.link(partial, path)
            except FileExistsError:
                return False
            finally:
                os.unlink(partial)  # noqa: PTH108
            self._unsynced.add(folder)
        except OSError as error:
            Path(partial).unlink(missing_ok=True)
            raise StorageError(f"{path} can't be written: {error}.") from error
        return True

    def read(self, key: str) -> bytes:
        """The bytes of a blob.

        Raises:
            BlobMissing: There is none.
            StorageError: It can't be read.
        """
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError as error:
            raise BlobMissing(f"{self._path(key)} is missing.") from error
        except OSError as error:
            raise StorageError(f"{self._path(key)} can't be read: {error}.") from error

    def exists(self, key: str) -> bool:
        """Whether there is a blob of this name."""
        return self._path(key).is_file()

    def list(self, prefix: str) -> Iterator[str]:
        """Names below a folder, sorted; partial files of killed writers are not among them."""
        for folder, folders, names in os.walk(self._path(prefix)):
            folders.sort()
            for name in sorted(names):
                if not name.startswith(_PARTIAL):
                    yield (Path(folder) / name).relative_to(self.root).as_posix()

    def delete(self, key: str) -> None:
        """Forget a blob; no error if there is none.

        Raises:
            StorageError: The disk refused it.
        """
        try:
            self._path(key).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{self._path(key)} can't be deleted: {error}.") from error

    def append(self, key: str, data: bytes) -> None:
        """Add to the end of a blob in one write, making it if needed; flushes what was put before.

        Raises:
            StorageError: The disk refused it, or took only a part (the next reader passes over a torn line).
        """
        path = self._path(key)
        self.flush()
        try:
            self._folder(str(path.parent))
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                written = os.write(descriptor, data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StorageError(f"{path} can't be written: {error}.") from error
        if written != len(data):
            raise StorageError(f"{path} took {written} of {len(data)} bytes.")

    def flush(self) -> None:
        """Make the names of all that was put survive a power cut; their bytes do already.

        Raises:
            StorageError: The disk refused it.
        """
        while self._unsynced:
            folder = self._unsynced.pop()
            try:
                _sync_folder(folder)
            except OSError as error:
                raise StorageError(f"{folder} can't be written: {error}.") from error

    def sweep(self, prefix: str) -> int:
        """Delete partial files that killed writers left below a folder; call it when nobody writes there."""
        count = 0
        for folder, _, names in os.walk(self._path(prefix)):
            for name in names:
                if name.startswith(_PARTIAL):
                    (Path(folder) / name).unlink(missing_ok=True)
                    count += 1
        return count

    def _path(self, key: str) -> Path:
        return Path(self._name(key))

    def _name(self, key: str) -> str:
        if ".." in key.split("/") or key.startswith("/"):
            raise StorageError(f"{key!r} is not a name for a blob.", next_step="Report this as a defect.")
        return f"{self.root}/{key}"

    def _folder(self, folder: str) -> None:
        if folder not in self._made:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._made.add(folder)


def _write_synced(path: str, data: bytes) -> None:
    """Write a new file that survives a power cut (its name not yet)."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o644)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: str) -> None:
    """Make a new name survive a power cut; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
