"""Blobs as files below a folder of this machine."""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock
from typing_extensions import override

from sec_core.blobs import parts
from sec_core.blobs.place import BlobMissing, Blobs, checked
from sec_core.errors import StorageError

_PARTIAL = ".partial-"
_NAMES_LOCK = ".names.lock"
# What file systems without hard links answer: exFAT, FAT, some network drives and some of FUSE.
_NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.EXDEV}


class LocalBlobs(Blobs):
    """Blobs as files below a folder.

    Args:
        root: The folder; it and what lies below is made when first written to.
    """

    def __init__(self, root: Path) -> None:
        self.place: Path = Path(root)
        self._made: set[str] = set()
        self._unsynced: set[str] = set()

    @override
    def put_new(self, key: str, data: bytes) -> bool:
        path = self._name(key)
        with self._written(path, data) as partial:
            free = self._take_name(partial, path)
        if free:
            self._unsynced.add(path.rpartition("/")[0])
        return free

    @override
    def replace(
        self, key: str, data: bytes | memoryview, *, durable: bool = True, headers: Mapping[str, str] | None = None
    ) -> None:
        path = self._name(key)
        with self._written(path, data, sync=durable) as partial:
            os.replace(partial, path)  # noqa: PTH105
        if durable:
            self._unsynced.add(path.rpartition("/")[0])
            self.flush()

    @override
    def read(self, key: str) -> bytes:
        name = self._name(key)
        # As with writing: a path object costs as much as reading a body.
        with in_our_words(name, "read"), open(name, "rb") as file:  # noqa: PTH123
            return file.read()

    @override
    def tail(self, key: str, size: int) -> bytes:
        path = self._path(key)
        with in_our_words(path, "read"), path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - size))
            return file.read()

    @override
    def source(self, key: str) -> Path:
        self.size(key)
        return self._path(key)

    @override
    def size(self, key: str) -> int:
        path = self._path(key)
        with in_our_words(path, "read"):
            return path.stat().st_size

    @override
    def list(self, prefix: str) -> Iterator[str]:
        found = (
            (Path(folder) / name).relative_to(self.place).as_posix()
            for folder, _, names in os.walk(self._path(prefix))
            for name in names
            if not name.startswith((_PARTIAL, _NAMES_LOCK))
        )
        yield from sorted(found)

    @override
    def delete(self, key: str) -> None:
        path = self._path(key)
        with in_our_words(path, "deleted"):
            path.unlink(missing_ok=True)

    @override
    def delete_below(self, prefix: str) -> None:
        path = self._path(prefix)
        self._made.clear()
        with suppress(BlobMissing), in_our_words(path, "deleted"):
            shutil.rmtree(path)

    @override
    def append(self, key: str, data: bytes) -> None:
        path = self._path(key)
        self.flush()
        with in_our_words(path, "written"):
            self._folder(str(path.parent))
            if not path.exists():
                self._unsynced.add(str(path.parent))
            with path.open("ab", buffering=0) as file:
                written = file.write(data)
                os.fsync(file.fileno())
        # The names of a new log and of its folders.
        self.flush()
        if written != len(data):
            # The next reader passes over the torn line.
            raise StorageError(f"{path} took {written} of {len(data)} bytes.")

    @override
    def read_log(self, key: str) -> bytes:
        # A log that came from an object store is in parts; what is added here goes on in a file.
        blobs = {name: self.read(name) for name in self.list(parts.folder_of(key))}
        return parts.joined(parts.of_blobs(blobs)) + (self.read(key) if self.exists(key) else b"")

    @override
    def flush(self) -> None:
        while self._unsynced:
            folder = self._unsynced.pop()
            with in_our_words(folder, "written"):
                sync_to_disk(folder)

    @contextmanager
    def _written(self, path: str, data: bytes | memoryview, *, sync: bool = True) -> Iterator[str]:
        """A new file beside `path` that survives a power cut (its name not yet); gone unless the block names it."""
        # This is done for every hour: plain texts and calls take half the time of paths.
        folder = path.rpartition("/")[0]
        partial = f"{folder}/{_PARTIAL}{uuid.uuid4().hex}"
        with in_our_words(path, "written"):
            self._folder(folder)
            try:
                with open(partial, "xb", buffering=0) as file:  # noqa: PTH123
                    left = memoryview(data)
                    while left:
                        left = left[file.write(left) :]
                    if sync:
                        os.fsync(file.fileno())
                yield partial
            finally:
                with suppress(OSError):
                    os.unlink(partial)  # noqa: PTH108

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
        with FileLock(self.place / _NAMES_LOCK):
            if os.path.lexists(path):
                return False
            os.rename(partial, path)  # noqa: PTH104
            return True

    def _path(self, key: str) -> Path:
        return Path(self._name(key))

    def _name(self, key: str) -> str:
        return f"{self.place}/{checked(key)}"

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


@contextmanager
def in_our_words(what: Path | str, done: str) -> Iterator[None]:
    """Errors of the system as the project's: what can't be done with what, and why."""
    try:
        yield
    except FileNotFoundError as error:
        raise BlobMissing(f"{what} is missing.") from error
    except OSError as error:
        raise StorageError(f"{what} can't be {done}: {error.strerror or error}.") from error


def sync_to_disk(path: str | Path) -> None:
    """Make a closed file, or new names in a folder, survive a power cut; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
