"""Files that are whole or not there."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sec_core.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to; what was written takes the file's place on a clean exit, and is gone on an error.

    Raises:
        StorageError: The disk refused it.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise StorageError(f"{path.name} could not be written: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def replace_bytes(path: Path, body: bytes) -> int:
    """Put a file in place whole or not at all.

    Returns:
        Its size in bytes.

    Raises:
        StorageError: The disk refused it.
    """
    with replacing(path) as partial:
        partial.write_bytes(body)
    return len(body)
