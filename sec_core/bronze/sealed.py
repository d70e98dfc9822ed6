"""Sealed months: all bodies of a month in one Parquet file, and how they are read back."""

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from io import BytesIO
from threading import Lock
from typing import Final

from loguru import logger

from sec_core.blobs.place import Blobs
from sec_core.errors import StorageError
from sec_core.hours import Month
from sec_core.source.shapes import NOT_KEPT, AnsweredBy

FOLDER: Final = "sellado/"
_NAME: Final = re.compile(rf"{FOLDER}(?P<month>2[0-9]{{3}}-(0[1-9]|1[0-2]))\.(?P<number>[0-9]+)\.parquet")
_ANSWERED_BY: Final = ("anfitrion", "fuente")
_GROUP_BYTES: Final = 8 * 1024 * 1024
_LEVEL: Final = 12
_OPEN_MONTHS: Final = 4


def seal_key(month: Month, number: int) -> str:
    """Name of a sealed file; a higher number replaces those below."""
    return f"{FOLDER}{month}.{number}.parquet"


def parse_seal_key(key: str) -> tuple[Month, int] | None:
    """Month and number of a sealed file's name; None for any other name."""
    found = _NAME.fullmatch(key)
    return None if found is None else (Month.parse(found["month"]), int(found["number"]))


def pack(bodies: Iterable[tuple[str, str, AnsweredBy, bytes]]) -> bytes:
    """Make a sealed file, in Parquet, of key, hex SHA-256, who answered, and bytes of each body.

    Bodies of neighbouring hours are compressed together, which the loose files can't be.
    """
    import pyarrow as pa  # noqa: PLC0415  (heavy, and only old months need it)
    import pyarrow.parquet as pq  # noqa: PLC0415

    texts = [(name, pa.string()) for name in ("clave", "sha256", *_ANSWERED_BY)]
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


class BodyDamaged(StorageError):
    """A kept body, or the sealed file with it, is not what was kept."""

    default_next_step = (
        "Run `sec sync` for its month, which asks the source again, or restore the file from a backup and run "
        "`sec reprocess`."
    )


class SealedMonth:
    """Reads the bodies of a sealed file; only one group of bodies is unpacked at a time.

    Raises:
        BodyDamaged: It is damaged.
    """

    def __init__(self, data: bytes, name: str) -> None:
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        self._name = name
        self._errors = (pa.ArrowException, OSError, UnicodeDecodeError)
        self._lock = Lock()
        self._group: tuple[int, list[bytes]] = (-1, [])
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
            if self._group[0] != group:
                try:
                    column = self._file.read_row_group(group, columns=["cuerpo"]).column("cuerpo")
                except self._errors as error:
                    raise self._damaged(error) from error
                self._group = (group, column.to_pylist())
            return self._group[1][row]

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
        for key in self._blobs.list(FOLDER):
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

    def answered_by(self, key: str) -> AnsweredBy:
        """Who gave the answer that an open sealed file holds; unknown for other bodies."""
        held = self.holding(key)
        return held.answered_by(key) if held else NOT_KEPT

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
