"""Blobs as files below a folder of this machine."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock
from typing_extensions import override

from sec_core.blobs import parts
from sec_core.blobs.model import BlobMissing, Blobs
from sec_core.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PARTIAL = ".partial-"
_NAMES_LOCK = ".names.lock"
_NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.EXDEV}
"""What file systems without hard links answer: exFAT, FAT, some network drives and some of FUSE."""


class LocalBlobs(Blobs):
    """Blobs as files below a folder.

    Args:
        root: The folder; it and what lies below is made when first written to.

    Attributes:
        has_links: Whether the file system is known to have hard links; without, names are taken under a lock.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.has_links = True
        self._made: set[str] = set()
        self._unsynced: set[str] = set()

    @property
    @override
    def place(self) -> Path:
        return self.root

    @override
    def put_new(self, key: str, data: bytes) -> bool:
        # This is done for every hour: plain texts and calls take half the time of paths.
        path = self._name(key)
        folder = path.rpartition("/")[0]
        partial = f"{folder}/{_PARTIAL}{uuid.uuid4().hex}"
        try:
            self._folder(folder)
            _write_synced(partial, data)
            if not self._take_name(partial, path):
                return False
            self._unsynced.add(folder)
        except OSError as error:
            raise StorageError(f"{path} can't be written: {error}.") from error
        finally:
            with suppress(OSError):
                os.unlink(partial)  # noqa: PTH108
        return True

    @override
    def replace(
        self, key: str, data: bytes | memoryview, *, durable: bool = True, headers: Mapping[str, str] | None = None
    ) -> None:
        path = self._path(key)
        partial = path.with_name(f"{_PARTIAL}{uuid.uuid4().hex}")
        try:
            self._folder(str(path.parent))
            try:
                _write_synced(str(partial), data, sync=durable)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
            if durable:
                self._unsynced.add(str(path.parent))
                self.flush()
        except OSError as error:
            raise StorageError(f"{path} could not be written: {error.strerror or error}.") from error

    @override
    def headers(self, key: str) -> Mapping[str, str]:
        return {}

    @override
    def read(self, key: str) -> bytes:
        try:
            # As with writing: a path object costs as much as reading a body.
            with open(self._name(key), "rb") as file:  # noqa: PTH123
                return file.read()
        except OSError as error:
            raise self._unreadable(key, error) from error

    @override
    def tail(self, key: str, size: int) -> bytes:
        try:
            with self._path(key).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - size))
                return file.read()
        except OSError as error:
            raise self._unreadable(key, error) from error

    @override
    def source(self, key: str) -> Path:
        if not self.exists(key):
            raise BlobMissing(f"{self._path(key)} is missing.")
        return self._path(key)

    @override
    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    @override
    def size(self, key: str) -> int:
        try:
            return self._path(key).stat().st_size
        except OSError as error:
            raise self._unreadable(key, error) from error

    @override
    def list(self, prefix: str) -> Iterator[str]:
        found = (
            (Path(folder) / name).relative_to(self.root).as_posix()
            for folder, _, names in os.walk(self._path(prefix))
            for name in names
            if not name.startswith((_PARTIAL, _NAMES_LOCK))
        )
        yield from sorted(found)

    @override
    def delete(self, key: str) -> None:
        try:
            self._path(key).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{self._path(key)} can't be deleted: {error}.") from error

    @override
    def delete_below(self, prefix: str) -> None:
        try:
            shutil.rmtree(self._path(prefix))
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(f"{self._path(prefix)} can't be deleted: {error}.") from error
        finally:
            self._made.clear()

    @override
    def append(self, key: str, data: bytes) -> None:
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

    @override
    def read_log(self, key: str) -> bytes:
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

    @override
    def compact(self, key: str, most: int = 64) -> None:
        pass  # a log is one file

    @override
    def flush(self) -> None:
        while self._unsynced:
            folder = self._unsynced.pop()
            try:
                _sync_folder(folder)
            except OSError as error:
                raise StorageError(f"{folder} can't be written: {error}.") from error

    def _take_name(self, partial: str, path: str) -> bool:
        """Give a finished file its name, unless that is taken; says whether it was free."""
        if self.has_links:
            try:
                # A hard link fails if the name is taken, which a rename does not.
                os.link(partial, path)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                self.has_links = False
            else:
                return True
        with FileLock(self.root / _NAMES_LOCK):
            if os.path.lexists(path):
                return False
            os.rename(partial, path)  # noqa: PTH104
            return True

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
        """Make a folder with its parents; their names survive a power cut from the next `flush` on."""
        if folder in self._made:
            return
        missing = []
        path = Path(folder)
        while not path.is_dir():
            missing.append(path)
            path = path.parent
        for each in reversed(missing):
            each.mkdir(exist_ok=True)
            self._unsynced.add(str(each.parent))
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
