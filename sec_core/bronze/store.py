"""Bodies byte for byte: how they are named, compressed and read back, loose or sealed."""

import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, Self

import zstandard

from sec_core.blobs.place import BlobMissing, Blobs, Place, StoreUrl, at_once, open_blobs
from sec_core.bronze.ledger_rules import Capture, Origin
from sec_core.bronze.sealed import FOLDER as SEALED
from sec_core.bronze.sealed import BodyDamaged, SealedMonths, parse_seal_key
from sec_core.errors import StorageError
from sec_core.hours import CHILE, Month, from_wall
from sec_core.source.shapes import NOT_KEPT, AnsweredBy

# Of zstd: 3.7% of a detailed body in 0.15 ms. The next level takes ten times the time for 3.0%.
LEVEL: Final = 3

MAX_CONTENT_BYTES: Final = 64 * 1024 * 1024
# Holds this thread's compressor and decompressor: neither must be used by two threads at once.
_here = threading.local()

_HOUR = "%Y-%m-%dT%H"
_INSTANT = "%Y%m%dT%H%M%S%fZ"
_NAME = re.compile(
    r"por_fecha/(?P<year>2[0-9]{3})/(?P<month>[0-9]{2})/(?P=year)-(?P=month)-(?P<day>[0-9]{2})T(?P<hour>[0-9]{2})"
    r"\.(?P<at>[0-9]{8}T[0-9]{12}Z)\.(?P<origin>sec|legacy)\.json\.zst"
)
_ANSWER = re.compile(
    r"respuestas/\w+/[0-9/]+/(?P<at>[0-9]{8}T[0-9]{12}Z)(?:\.(?P<subject>\w+))?"
    r"(?:~(?P<host>[\w.-]+))?(?:~(?P<source>[\w.-]+))?\.json\.zst"
)
_NOT_IN_NAMES = re.compile(r"[^\w.-]")


@dataclass(frozen=True, slots=True, order=True)
class AnswerName:
    """What the name of an answer of another endpoint says; `subject` is what was asked about, as a region's code."""

    received_at: datetime
    subject: str
    key: str
    answered_by: AnsweredBy = field(default=NOT_KEPT, compare=False)

    @classmethod
    def parse(cls, key: str) -> Self | None:
        """Read a name; None for anything that is not the name of an answer."""
        if (found := _ANSWER.fullmatch(key)) is None:
            return None
        with suppress(ValueError):
            by = AnsweredBy(found["host"], found["source"])
            return cls(_received_at(found["at"]), found["subject"] or "", key, by)
        return None


@dataclass(frozen=True, slots=True, order=True)
class BodyName:
    """What the name of a body says: its hour and the time of its receipt (to the microsecond), UTC, and its origin."""

    hour: datetime
    captured_at: datetime
    origin: Origin

    @property
    def key(self) -> str:
        """Name in the store: the hour by the Chile wall clock, the capture by UTC."""
        return _key(self)

    @classmethod
    def parse(cls, key: str) -> Self | None:
        """Read a name; None for anything that is not the name of a body."""
        if (found := _NAME.fullmatch(key)) is None:
            return None
        with suppress(ValueError):
            hour = from_wall(date(*(int(found[part]) for part in ("year", "month", "day"))), int(found["hour"]))
            return None if hour is None else cls(hour, _received_at(found["at"]), Origin(found["origin"]))
        return None


@lru_cache(maxsize=1024)
def _key(name: BodyName) -> str:
    # Asked for several times while a body is kept, and dates take long to spell.
    wall = name.hour.astimezone(CHILE)
    at = name.captured_at.astimezone(UTC)
    return f"{month_prefix(Month.of(name.hour))}{wall:{_HOUR}}.{at:{_INSTANT}}.{name.origin}.json.zst"


def _received_at(text: str) -> datetime:
    # `strptime` takes ten times as long, and a month has thousands of names.
    return datetime.fromisoformat(f"{text[:15]}.{text[15:21]}+00:00")


def month_prefix(month: Month) -> str:
    """Folder of a month's bodies."""
    return f"por_fecha/{month.year:04d}/{month.month:02d}/"


def digest(body: bytes) -> str:
    """Hex SHA-256 of a body as received."""
    return hashlib.sha256(body).hexdigest()


class BronzeStore:
    """Bodies in a place for blobs."""

    def __init__(self, root: Place | Blobs) -> None:
        self.blobs: Blobs = open_blobs(root) if isinstance(root, Path | StoreUrl) else root
        self.sealed = SealedMonths(self.blobs)

    def put(self, name: BodyName | Capture, body: bytes) -> str:
        """Keep a body; it survives a power cut after the next `flush` or `append` of the blobs. Gives its name.

        Raises:
            StorageError: Another body is held under this name, or the place refused it.
        """
        key = name.key
        if not self.blobs.put_new(key, compress(body)) and self.read(key) != body:
            raise StorageError(f"{key} is held already, with other bytes.", next_step="Check the machine's clock.")
        return key

    def put_all(self, bodies: Iterable[tuple[BodyName | Capture, bytes]]) -> None:
        """Keep several bodies, as `put` does."""
        for _ in at_once(self.blobs.place, lambda item: self.put(*item), bodies):
            pass

    def put_answer(
        self,
        endpoint: str,
        received_at: datetime,
        body: bytes,
        *,
        subject: str = "",
        answered_by: AnsweredBy = NOT_KEPT,
    ) -> str:
        """Keep the raw answer of another endpoint (`Get`, `GetClientesRegional`, ...); gives its name in the store."""
        at = received_at.astimezone(UTC)
        by = [_NOT_IN_NAMES.sub("_", each) for each in (answered_by.host, answered_by.source) if each]
        told = "~".join([f".{subject}" if subject else "", *by])
        key = f"respuestas/{endpoint}/{at:%Y/%m}/{at:{_INSTANT}}{told}.json.zst"
        self.blobs.put_new(key, compress(body))
        self.blobs.flush()
        return key

    def answers(self, endpoint: str) -> list[AnswerName]:
        """What `put_answer` has kept of an endpoint, in the order of receipt."""
        found = map(AnswerName.parse, self.blobs.list(f"respuestas/{endpoint}/"))
        return sorted(each for each in found if each is not None)

    def read(self, key: str) -> bytes:
        """The bytes of a body, loose or sealed; raises BodyDamaged, BlobMissing or StorageError."""
        packed = self.sealed.holding(key)
        if packed is not None:
            # A body never changes: what an open sealed file has is not looked for elsewhere.
            return packed.read(key)
        try:
            return decompress(self.blobs.read(key), key)
        except BlobMissing:
            name = BodyName.parse(key)
            files = self.sealed.of(Month.of(name.hour)) if name else []
            if not files:
                raise
            holding = next((file for file in files if key in self.sealed.names(file)), files[0])
            return self.sealed.open(holding).read(key)

    def read_kept(self, capture: Capture) -> bytes:
        """The bytes of a body, compared with its SHA-256 in the ledger; raises as `read` does."""
        body = self.read(capture.key)
        if digest(body) != capture.sha256:
            raise BodyDamaged(f"{capture.key} holds other bytes than were kept (its SHA-256 differs).")
        return body

    def try_all(self, captures: Sequence[Capture]) -> Iterator[bytes | BodyDamaged]:
        """The bytes of several bodies, in their order, or why they are not what was kept; raises as `read` does."""
        return at_once(self.blobs.place, partial(attempt, self.read_kept), captures)

    def delete_all(self, keys: Sequence[str]) -> None:
        """Forget several blobs."""
        for _ in at_once(self.blobs.place, self.blobs.delete, keys):
            pass

    def loose(self, month: Month) -> Iterator[BodyName]:
        """Names of a month's bodies that have a file of their own, in order."""
        for key in self.blobs.list(month_prefix(month)):
            name = BodyName.parse(key)
            if name is not None:
                yield name

    def bodies(self, month: Month) -> Iterator[BodyName]:
        """Names of a month's bodies, loose and sealed, in order."""
        names = set(self.loose(month))
        sealed = (key for file in self.sealed.of(month) for key in self.sealed.names(file))
        names.update(name for key in sealed if (name := BodyName.parse(key)))
        yield from sorted(names)

    def months(self) -> list[Month]:
        """Months that hold bodies, in order."""
        found = {Month.of(name.hour) for key in self.blobs.list("por_fecha/") if (name := BodyName.parse(key))}
        return sorted(found.union(month for month, _, _ in self.sealed.files()))

    def strays(self) -> list[str]:
        """Files beside bodies and sealed months that are none."""
        loose = (key for key in self.blobs.list("por_fecha/") if BodyName.parse(key) is None)
        return [*loose, *(key for key in self.blobs.list(SEALED) if parse_seal_key(key) is None)]

    def sizes(self, keys: Sequence[str]) -> Iterator[int]:
        """Bytes that each of several blobs takes in the store."""
        return at_once(self.blobs.place, self.blobs.size, keys)


def attempt(read: Callable[[Capture], bytes], capture: Capture) -> bytes | BodyDamaged:
    """The bytes of a body, or the error that says how it is damaged."""
    try:
        return read(capture)
    except BodyDamaged as error:
        return error


def compress(body: bytes) -> bytes:
    """One zstd frame with the content's size and a checksum; the same body always gives the same bytes."""
    if not hasattr(_here, "compressor"):
        # Making one takes as long as compressing a body.
        _here.compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, write_content_size=True)
    data: bytes = _here.compressor.compress(body)
    return data


def decompress(data: bytes, key: str) -> bytes:
    """Undo `compress`; raises BodyDamaged."""
    if not hasattr(_here, "decompressor"):
        _here.decompressor = zstandard.ZstdDecompressor()
    try:
        body: bytes = _here.decompressor.decompress(data, max_output_size=MAX_CONTENT_BYTES)
    except zstandard.ZstdError as error:
        raise BodyDamaged(f"{key} is damaged: {error}.") from error
    return body
