"""Blobs as files below a folder of this machine."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from sec_core.blobs import parts
from sec_core.blobs.model import BlobMissing
from sec_core.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PARTIAL = ".partial-"


class LocalBlobs:
    """Blobs as files below a folder.

    Args:
        root: The folder; it and what lies below is made when first written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._made: set[str] = set()
        self._unsynced: set[str] = set()

    @property
    def place(self) -> Path:
        """The folder."""
        return self.root

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

    def replace(self, key: str, data: bytes | memoryview, *, durable: bool = True) -> None:
        """Put a blob in the place of another of this name, if there is one; a reader sees the old bytes or the new.

        Args:
            key: Its name.
            data: Its bytes.
            durable: Whether it survives a power cut at once; what can be made again need not.

        Raises:
            StorageError: The disk refused it.
        """
        path = self._path(key)
        partial = path.with_name(f"{_PARTIAL}{uuid.uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                _write_synced(str(partial), data, sync=durable)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
            if durable:
                _sync_folder(str(path.parent))
        except OSError as error:
            raise StorageError(f"{path} could not be written: {error.strerror or error}.") from error

    def read(self, key: str) -> bytes:
        """The bytes of a blob.

        Raises:
            BlobMissing: There is none.
            StorageError: It can't be read.
        """
        try:
            # As with writing: a path object costs as much as reading a body.
            with open(self._name(key), "rb") as file:  # noqa: PTH123
                return file.read()
        except OSError as error:
            raise self._unreadable(key, error) from error

    def tail(self, key: str, size: int) -> bytes:
        """The last bytes of a blob, all of a shorter one.

        Raises:
            BlobMissing: There is none.
            StorageError: It can't be read.
        """
        try:
            with self._path(key).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - size))
                return file.read()
        except OSError as error:
            raise self._unreadable(key, error) from error

    def source(self, key: str) -> Path:
        """The file.

        Raises:
            BlobMissing: There is none.
        """
        if not self.exists(key):
            raise BlobMissing(f"{self._path(key)} is missing.")
        return self._path(key)

    def exists(self, key: str) -> bool:
        """Whether there is a blob of this name."""
        return self._path(key).is_file()

    def size(self, key: str) -> int:
        """Bytes of a blob.

        Raises:
            BlobMissing: There is none.
            StorageError: It can't be looked at.
        """
        try:
            return self._path(key).stat().st_size
        except OSError as error:
            raise self._unreadable(key, error) from error

    def list(self, prefix: str) -> Iterator[str]:
        """Names below a folder, sorted; partial files of killed writers are not among them."""
        found = (
            (Path(folder) / name).relative_to(self.root).as_posix()
            for folder, _, names in os.walk(self._path(prefix))
            for name in names
            if not name.startswith(_PARTIAL)
        )
        yield from sorted(found)

    def delete(self, key: str) -> None:
        """Forget a blob; no error if there is none.

        Raises:
            StorageError: The disk refused it.
        """
        try:
            self._path(key).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{self._path(key)} can't be deleted: {error}.") from error

    def delete_below(self, prefix: str) -> None:
        """Forget a folder with all that is in it; call it when nobody writes there.

        Raises:
            StorageError: The disk refused it.
        """
        try:
            shutil.rmtree(self._path(prefix))
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(f"{self._path(prefix)} can't be deleted: {error}.") from error
        finally:
            self._made.clear()

    def append(self, key: str, data: bytes) -> None:
        """Add to the end of a log in one write, making it if needed; flushes what was put before.

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

    def read_log(self, key: str) -> bytes:
        """All that was added to a log, in the order of adding; empty if nothing was.

        A log that came from an object store, in parts, is read too; what is added here goes on in a file.

        Raises:
            StorageError: It can't be read.
        """
        held: dict[str, bytes] = {}
        folder = parts.folder_of(key)
        for name in self.list(folder):
            short = name.removeprefix(folder)
            if parts.is_pack(short):
                held |= parts.unpack(name, self.read(name))
            elif parts.is_part(short):
                held[short] = self.read(name)
        own = self.read(key) if self.exists(key) else b""
        return parts.joined(held) + own

    def compact(self, key: str, most: int = 64) -> None:
        """Nothing to do: a log is one file."""

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

    def _unreadable(self, key: str, error: OSError) -> StorageError:
        if isinstance(error, FileNotFoundError):
            return BlobMissing(f"{self._path(key)} is missing.")
        return StorageError(f"{self._path(key)} can't be read: {error}.")

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


def _write_synced(path: str, data: bytes | memoryview, *, sync: bool = True) -> None:
    """Write a new file that survives a power cut (its name not yet)."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o644)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        if sync:
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
