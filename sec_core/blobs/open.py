"""Opening the blobs at a place, and trying out whether it keeps the promises that Bronze rests on."""

import secrets

from sec_core.blobs.local import LocalBlobs
from sec_core.blobs.model import Blobs
from sec_core.blobs.place import Place, StoreUrl
from sec_core.errors import StorageError


def open_blobs(place: Place) -> Blobs:
    """The blobs at a place; nothing is sent yet."""
    if isinstance(place, StoreUrl):
        from sec_core.blobs.objects import ObjectBlobs  # noqa: PLC0415 - only where it is needed

        return ObjectBlobs(place)
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
        if isinstance(blobs, LocalBlobs):
            blobs.delete_below(folder)  # an object store has no folders
