"""Cold storage: packing a closed, complete month into one file, and letting loose files go once it is proven good."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Final

from loguru import logger

from sec_core.blobs.place import at_once
from sec_core.bronze.journal import Journal
from sec_core.bronze.ledger import Ledger
from sec_core.bronze.ledger_rules import Capture, hours_to_ask
from sec_core.bronze.store import BronzeStore, digest, seal_key
from sec_core.errors import IncompleteError, StorageError
from sec_core.hours import CHILE, Month, closed_hours
from sec_core.source.shapes import AnsweredBy
from sec_core.text import counted

_GROUP_BYTES: Final = 8 * 1024 * 1024
_LEVEL: Final = 12


@dataclass(frozen=True, slots=True)
class SealReport:
    """What sealing a month came to: bytes of its bodies as received, of their loose files, of the sealed file."""

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
    hours_are = counted(len(unsettled), f"hour of {month} is", f"hours of {month} are")
    return f"{hours_are} not settled yet." if unsettled else None


def seal_month(month: Month, *, store: BronzeStore, ledger: Ledger, now: datetime) -> SealReport | None:
    """Pack a month; a kill at any instant leaves each body loose, sealed, or both. None if there was nothing to do.

    A month sealed before that has got new bodies is packed anew, with all of them.

    Raises:
        IncompleteError: The month is not closed, has hours to be asked for, or damaged bodies.
        StorageError: What was read back is not what was packed; nothing was deleted.
    """
    ledger.repair(month)
    if (reason := may_seal(month, ledger, now)) is not None:
        raise IncompleteError(reason, next_step=f"Run `sec sync --month {month}`, then seal it.")
    kept = ledger.kept(month)
    keys = {capture.key for capture in kept}
    # What is known to be damaged stays where it is: it may be restored from a backup.
    loose = [name.key for name in store.loose(month) if name.key in keys]
    if not loose:
        return None
    numbered = {number: key for at, number, key in store.sealed.files() if at == month}
    newest = max(numbered, default=0)
    key = before = numbered.get(newest, "")
    if not before or not store.sealed.names(before).issuperset(loose):
        key = seal_key(month, newest + 1)
        store.blobs.put_new(key, pack(_sound(store, ledger, kept)))
        store.blobs.flush()
    raw_bytes = _verify(store, key, kept)
    # Only now that every body was read back do the other copies go.
    loose_bytes = sum(at_once(store.blobs.place, store.blobs.size, loose))
    list(at_once(store.blobs.place, store.blobs.delete, loose))
    Journal(store.blobs).compact(month, most=1)
    if before not in {"", key} and store.sealed.names(before) <= keys:
        store.blobs.delete(before)
    report = SealReport(month, key, len(kept), raw_bytes, loose_bytes, store.blobs.size(key))
    logger.bind(stage="seal", month=str(month)).info(
        "Sealed {}: {:,} loose bytes became {:,}",
        counted(report.bodies, "body", "bodies"),
        report.loose_bytes,
        report.sealed_bytes,
    )
    return report


def _sound(store: BronzeStore, ledger: Ledger, kept: list[Capture]) -> Iterator[tuple[str, str, AnsweredBy, bytes]]:
    """What `pack` takes of the month's bodies, if all are what was kept; else the damaged ones are set aside."""
    damaged: dict[Capture, str] = {}
    for capture, body in zip(kept, store.try_all(kept), strict=True):
        if isinstance(body, StorageError):
            damaged[capture] = body.message
        else:
            yield capture.key, capture.sha256, capture.answered_by, body
    if damaged:
        month = Month.of(kept[0].hour)
        ledger.set_aside(damaged)
        hours = sorted({f"{capture.hour.astimezone(CHILE):%Y-%m-%d %Hh}" for capture in damaged})
        raise IncompleteError(
            f"{month} has {len(damaged)} damaged bodies ({', '.join(hours[:5])}); nothing was packed.",
            next_step=f"Run `sec sync --month {month}`, which asks for these hours again, then seal it.",
        )


def _verify(store: BronzeStore, key: str, kept: list[Capture]) -> int:
    """Read a sealed file back and compare every body's hash; the bytes of all bodies together."""
    sealed = store.sealed.open(key)
    if not {capture.key for capture in kept} <= set(sealed.names()):
        raise StorageError(f"{key} does not hold the month's bodies; the loose files stay.")
    total = 0
    for capture in kept:
        body = sealed.read(capture.key)
        if digest(body) != capture.sha256:
            raise StorageError(f"{key} gives {capture.key} back otherwise; the loose files stay.")
        total += len(body)
    return total


def pack(bodies: Iterable[tuple[str, str, AnsweredBy, bytes]]) -> bytes:
    """Make a sealed file, in Parquet, of key, hex SHA-256, who answered, and bytes of each body.

    Bodies of neighbouring hours are compressed together, which the loose files can't be.
    """
    import pyarrow as pa  # noqa: PLC0415  (heavy, and only old months need it)
    import pyarrow.parquet as pq  # noqa: PLC0415

    texts = [(name, pa.string()) for name in ("clave", "sha256", "anfitrion", "fuente")]
    schema = pa.schema([*texts, ("cuerpo", pa.large_binary())])
    out = BytesIO()
    with pq.ParquetWriter(
        out,
        schema,
        compression="zstd",
        compression_level=_LEVEL,
        use_dictionary=False,
        write_statistics=["clave"],
        data_page_size=2 * _GROUP_BYTES,
        write_batch_size=64,
    ) as writer:
        group: list[dict[str, str | bytes | None]] = []
        size = 0
        for key, sha256, by, body in bodies:
            group.append({"clave": key, "sha256": sha256, "anfitrion": by.host, "fuente": by.source, "cuerpo": body})
            size += len(body)
            if size >= _GROUP_BYTES:
                writer.write_table(pa.Table.from_pylist(group, schema))
                group, size = [], 0
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema))
    return out.getvalue()
