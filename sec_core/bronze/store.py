"""Bodies byte for byte: how they are named, compressed and read back, loose or sealed."""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock, local
from typing import Final, Self

import zstandard
from loguru import logger

from sec_core.blobs.place import BlobMissing, Blobs, Place, StoreUrl, at_once, open_blobs
from sec_core.bronze.ledger_rules import Capture, Origin
from sec_core.errors import StorageError
from sec_core.hours import CHILE, Month, from_wall
from sec_core.source.shapes import NOT_KEPT, AnsweredBy

# Of zstd: 3.7% of a detailed body in 0.15 ms. The next level takes ten times the time for 3.0%.
LEVEL: Final = 3

MAX_CONTENT_BYTES: Final = 64 * 1024 * 1024

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
# Folder of sealed months.
SEALED: Final = "sellado/"
_SEALED_NAME: Final = re.compile(rf"{SEALED}(?P<month>2[0-9]{{3}}-(0[1-9]|1[0-2]))\.(?P<number>[0-9]+)\.parquet")
_ANSWERED_BY: Final = ("anfitrion", "fuente")
_OPEN_MONTHS: Final = 4
# Of a sealed file, 8 MB each: readers side by side are not far apart, but borders lie between them.
_OPEN_GROUPS: Final = 4
# Threads that read bodies of this machine, and how many bodies in a row: decompressing and digesting use both cores,
# and handing over each body by itself would take as long as reading it.
_LOCAL_RUNS: Final = (2, 16)


class BodyDamaged(StorageError):
    """A kept body, or the sealed file with it, is not what was kept."""

    default_next_step = (
        "Run `sec sync` for its month, which asks the source again, or restore the file from a backup and run "
        "`sec reprocess`."
    )


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


def seal_key(month: Month, number: int) -> str:
    """Name of a sealed file; a higher number replaces those below."""
    return f"{SEALED}{month}.{number}.parquet"


def parse_seal_key(key: str) -> tuple[Month, int] | None:
    """Month and number of a sealed file's name; None for any other name."""
    found = _SEALED_NAME.fullmatch(key)
    return None if found is None else (Month.parse(found["month"]), int(found["number"]))


def digest(body: bytes) -> str:
    """Hex SHA-256 of a body as received."""
    return hashlib.sha256(body).hexdigest()


class SealedMonth:
    """Reads the bodies of a sealed file, of which few are unpacked at a time.

    Raises:
        BodyDamaged: It is damaged.
    """

    def __init__(self, data: bytes, name: str) -> None:
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        self._name = name
        self._errors = (pa.ArrowException, OSError, UnicodeDecodeError)
        self._lock = Lock()
        self._groups: dict[int, list[bytes]] = {}
        self._rows: dict[str, tuple[int, int, AnsweredBy]] = {}
        try:
            self._file = pq.ParquetFile(pa.BufferReader(data))
            for group in range(self._file.num_row_groups):
                rows = self._file.read_row_group(group, columns=["clave", *_ANSWERED_BY]).to_pylist()
                for row, each in enumerate(rows):
                    # Files from before it was kept lack who answered.
                    self._rows[each["clave"]] = (group, row, AnsweredBy(*map(each.get, _ANSWERED_BY)))
        except self._errors as error:
            raise self._damaged(error) from error

    def names(self) -> list[str]:
        """Names of all bodies, in order."""
        return list(self._rows)

    def answered_by(self, key: str) -> AnsweredBy:
        """Who gave an answer."""
        return self._rows[key][2]

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def read(self, key: str) -> bytes:
        """The bytes of a body; raises BodyDamaged where the file does not give it back."""
        if key not in self._rows:
            raise BodyDamaged(f"{self._name} does not hold {key}.")
        group, row, _ = self._rows[key]
        with self._lock:
            if group not in self._groups:
                try:
                    column = self._file.read_row_group(group, columns=["cuerpo"]).column("cuerpo")
                except self._errors as error:
                    raise self._damaged(error) from error
                self._groups[group] = column.to_pylist()
                if len(self._groups) > _OPEN_GROUPS:
                    del self._groups[next(iter(self._groups))]
            return self._groups[group][row]

    def _damaged(self, error: Exception) -> BodyDamaged:
        return BodyDamaged(f"{self._name} is damaged: {' '.join(str(error).split())}.")


class SealedMonths:
    """The sealed files of a store, the last few of them open."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._open: OrderedDict[str, SealedMonth] = OrderedDict()
        self._lock = Lock()

    def files(self) -> Iterator[tuple[Month, int, str]]:
        """Month, number and name of every sealed file, in order."""
        for key in self._blobs.list(SEALED):
            parsed = parse_seal_key(key)
            if parsed is not None:
                yield (*parsed, key)

    def of(self, month: Month) -> list[str]:
        """Names of a month's sealed files, the newest first; older ones stay only where bodies in them are damaged."""
        found = [(number, key) for at, number, key in self.files() if at == month]
        return [key for _, key in sorted(found, reverse=True)]

    def names(self, key: str) -> set[str]:
        """Names of the bodies in a sealed file; none if it is damaged."""
        try:
            return set(self.open(key).names())
        except BodyDamaged as error:
            logger.bind(stage="seal", code="damaged").error("{}", error.message)
            return set()

    def holding(self, key: str) -> SealedMonth | None:
        """The sealed file with this body, if it is open already."""
        with self._lock:
            return next((sealed for sealed in self._open.values() if key in sealed), None)

    def open(self, key: str) -> SealedMonth:
        """A sealed file by its name, kept open for a while."""
        with self._lock:
            if key not in self._open:
                self._open[key] = SealedMonth(self._blobs.read(key), key)
                while len(self._open) > _OPEN_MONTHS:
                    self._open.popitem(last=False)
            self._open.move_to_end(key)
            return self._open[key]


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
        list(at_once(self.blobs.place, lambda item: self.put(*item), bodies))

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
        return sorted(filter(None, map(AnswerName.parse, self.blobs.list(f"respuestas/{endpoint}/"))))

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

    def try_all(
        self, captures: Sequence[Capture], but: tuple[type[StorageError], ...] = (BodyDamaged,)
    ) -> Iterator[bytes | StorageError]:
        """The bytes of several bodies, in their order, or the error in `but` instead; raises others as `read` does."""
        return try_each(self.read_kept, captures, self.blobs.place, but)

    def loose(self, month: Month) -> Iterator[BodyName]:
        """Names of a month's bodies that have a file of their own, in order."""
        return filter(None, map(BodyName.parse, self.blobs.list(month_prefix(month))))

    def bodies(self, month: Month) -> Iterator[BodyName]:
        """Names of a month's bodies, loose and sealed, in order."""
        sealed = (key for file in self.sealed.of(month) for key in self.sealed.names(file))
        yield from sorted({*self.loose(month), *filter(None, map(BodyName.parse, sealed))})

    def months(self) -> list[Month]:
        """Months that hold bodies, in order."""
        found = {Month.of(name.hour) for key in self.blobs.list("por_fecha/") if (name := BodyName.parse(key))}
        return sorted(found.union(month for month, _, _ in self.sealed.files()))

    def strays(self) -> list[str]:
        """Files beside bodies and sealed months that are none."""
        loose = (key for key in self.blobs.list("por_fecha/") if BodyName.parse(key) is None)
        return [*loose, *(key for key in self.blobs.list(SEALED) if parse_seal_key(key) is None)]


def try_each(
    read: Callable[[Capture], bytes],
    captures: Sequence[Capture],
    place: Place,
    but: tuple[type[StorageError], ...] = (BodyDamaged,),
) -> Iterator[bytes | StorageError]:
    """What `read` gives of several bodies that lie in `place`, in their order, or the error in `but` instead."""
    width, length = (place, 1) if isinstance(place, StoreUrl) else _LOCAL_RUNS
    runs = [captures[first : first + length] for first in range(0, len(captures), length)]
    for bodies in at_once(width, lambda run: [_attempt(read, capture, but) for capture in run], runs):
        yield from bodies


def _attempt(
    read: Callable[[Capture], bytes], capture: Capture, but: tuple[type[StorageError], ...]
) -> bytes | StorageError:
    try:
        return read(capture)
    except but as error:
        return error


class _Zstd(local):
    """Each thread's own: two must not use one at once, and making one takes as long as compressing a body."""

    @cached_property
    def compressor(self) -> zstandard.ZstdCompressor:
        return zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, write_content_size=True)

    @cached_property
    def decompressor(self) -> zstandard.ZstdDecompressor:
        return zstandard.ZstdDecompressor()


_here = _Zstd()


def compress(body: bytes) -> bytes:
    """One zstd frame with the content's size and a checksum; the same body always gives the same bytes."""
    return _here.compressor.compress(body)


def decompress(data: bytes, key: str) -> bytes:
    """Undo `compress`; raises BodyDamaged."""
    try:
        return _here.decompressor.decompress(data, max_output_size=MAX_CONTENT_BYTES)
    except zstandard.ZstdError as error:
        raise BodyDamaged(f"{key} is damaged: {error}.") from error
