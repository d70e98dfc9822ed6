"""Cold storage: packing a closed, complete month into one file, and letting loose files go once it is proven good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loguru import logger

from sec_core.bronze.plan import hours_to_ask
from sec_core.bronze.sealed import pack, parse_seal_key, seal_key
from sec_core.bronze.store import digest
from sec_core.errors import IncompleteError, StorageError
from sec_core.hours import closed_hours

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sec_core.bronze.ledger import Ledger
    from sec_core.bronze.store import BodyName, BronzeStore
    from sec_core.hours import Month


@dataclass(frozen=True, slots=True)
class SealReport:
    """What sealing a month came to.

    Attributes:
        month: The month.
        key: Name of the sealed file.
        bodies: Bodies in it.
        raw_bytes: Their size as received.
        loose_bytes: Size of the loose files that were let go.
        sealed_bytes: Size of the sealed file.
    """

    month: Month
    key: str
    bodies: int
    raw_bytes: int
    loose_bytes: int
    sealed_bytes: int


def may_seal(month: Month, ledger: Ledger, now: datetime) -> str | None:
    """Why a month can't be sealed yet; None if it can."""
    hours = month.hours()
    if len(closed_hours(month, now)) < len(hours):
        return f"{month} has not ended."
    unsettled = hours_to_ask(hours, ledger.rows(hours), now)
    return f"{len(unsettled)} hours of {month} are not settled yet." if unsettled else None


def seal_month(month: Month, *, store: BronzeStore, ledger: Ledger, now: datetime) -> SealReport | None:
    """Pack a month; a kill at any instant leaves each body loose, sealed, or both.

    A month sealed before that has got new bodies (an import) is packed anew, with all of them.

    Args:
        month: The month; it must be closed and settled.
        store: The bodies.
        ledger: Tells whether the month is settled, and each body's hash.
        now: The present instant.

    Returns:
        What it came to; None if there was nothing to do.

    Raises:
        IncompleteError: The month is not closed, or has hours to be asked for.
        StorageError: What was read back is not what was packed; nothing was deleted.
    """
    ledger.repair(month)
    if (reason := may_seal(month, ledger, now)) is not None:
        raise IncompleteError(reason, next_step=f"Run `sec sync --month {month}`, then seal it.")
    loose = list(store.loose(month))
    sealed_before = store.sealed.newest(month)
    if not loose:
        return None
    key = sealed_before
    names = list(store.bodies(month))
    hashes = ledger.hashes(month)
    if sealed_before is None or any(name.key not in store.sealed.open(sealed_before) for name in loose):
        number = (parse_seal_key(sealed_before) or (month, 0))[1] + 1 if sealed_before else 1
        key = seal_key(month, number)
        store.blobs.put_new(key, pack(_bodies(store, names, hashes)))
        store.blobs.flush()
    assert key is not None  # noqa: S101  (set above if it was not before)
    raw_bytes = _verify(store, key, names, hashes)
    # Only now that every body was read back do the other copies go.
    loose_bytes = sum(store.sizes([name.key for name in loose]))
    store.delete_all([name.key for name in loose])
    ledger.compact(month)
    if sealed_before is not None and sealed_before != key:
        store.blobs.delete(sealed_before)
    report = SealReport(month, key, len(names), raw_bytes, loose_bytes, store.stored_size(key))
    logger.bind(stage="seal", month=str(month)).info(
        "{bodies} bodies sealed: {loose} loose bytes became {sealed}",
        bodies=report.bodies, loose=report.loose_bytes, sealed=report.sealed_bytes,
    )  # fmt: skip
    return report


def _bodies(store: BronzeStore, names: list[BodyName], hashes: dict[str, str]) -> Iterator[tuple[str, str, bytes]]:
    for name, body in zip(names, store.read_all([name.key for name in names]), strict=True):
        if digest(body) != hashes.get(name.key):
            raise StorageError(f"{name.key} is not what the ledger says it is.", next_step="Run `sec ledger rebuild`.")
        yield name.key, hashes[name.key], body


def _verify(store: BronzeStore, key: str, names: list[BodyName], hashes: dict[str, str]) -> int:
    """Read a sealed file back and compare every body's hash; the bytes of all bodies together."""
    sealed = store.sealed.open(key)
    if sorted(sealed.names()) != sorted(name.key for name in names):
        raise StorageError(f"{key} does not hold the month's bodies; the loose files stay.")
    total = 0
    for name in names:
        body = sealed.read(name.key)
        if digest(body) != hashes.get(name.key):
            raise StorageError(f"{key} gives {name.key} back otherwise; the loose files stay.")
        total += len(body)
    return total
