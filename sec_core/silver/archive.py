"""The archive: observations of old months as verified Parquet files, in place of their partitions.

A month's observations are either in the database or in the archive, and table `archivo` says which: it is written in
the same transaction that drops the partition, or that fills it again. A file without a row there means nothing.
"""

import hashlib
from dataclasses import dataclass
from io import BytesIO

import polars as pl

from sec_core.blobs.place import Place, open_blobs
from sec_core.errors import StorageError
from sec_core.hours import Month
from sec_core.silver.observations import OBSERVATION_KEY, OBSERVATION_SCHEMA


@dataclass(frozen=True, slots=True)
class ArchivedMonth:
    """A file of the archive as table `archivo` describes it: path, observations, sums, and hex SHA-256."""

    key: str
    rows: int
    customers: int
    source_rows: int
    sha256: str


class Archive:
    """Files at one place, hive-partitioned by year and month."""

    def __init__(self, root: Place) -> None:
        self._blobs = open_blobs(root)

    def write(self, month: Month, observations: pl.DataFrame) -> ArchivedMonth:
        """Write all observations of a month, and read them back; gives the file's description.

        Raises:
            StorageError: The place refused it, or what was read back is not what was written.
            StorageUnavailable: The place did not answer.
        """
        ordered = observations.sort(OBSERVATION_KEY, nulls_last=True)
        key = f"observaciones/anho={month.year:04d}/mes={month.month:02d}/observaciones.parquet"
        file = BytesIO()
        ordered.write_parquet(file, compression="zstd", compression_level=9, statistics=True)
        self._blobs.replace(key, file.getbuffer())
        described = _describe(key, ordered, hashlib.sha256(file.getbuffer()).hexdigest())
        back = self.read(described)
        if not back.equals(ordered):
            raise StorageError(f"The archive's file {key} is not what was written.")
        return described

    def read(self, described: ArchivedMonth) -> pl.DataFrame:
        """A month's observations by `OBSERVATION_SCHEMA`, sorted by key, checked against what `archivo` says.

        Raises:
            StorageError: The file is missing, unreadable or not the one described.
            StorageUnavailable: The place did not answer.
        """
        body = self._blobs.read(described.key)
        try:
            frame = pl.read_parquet(body).cast(dict(OBSERVATION_SCHEMA))  # type: ignore[arg-type]
        except pl.exceptions.PolarsError as error:
            raise StorageError(f"The archive's file {described.key} can't be read: {error}.") from error
        if _describe(described.key, frame, hashlib.sha256(body).hexdigest()) != described:
            raise StorageError(
                f"The archive's file {described.key} is not the one that was verified.",
                next_step="Restore it from a backup, or run `sec reprocess` for the month.",
            )
        return frame


def _describe(key: str, frame: pl.DataFrame, sha256: str) -> ArchivedMonth:
    sums = frame.select(pl.col("clientes_afectados", "n_filas").cast(pl.Int64).sum()).row(0)
    return ArchivedMonth(key, frame.height, sums[0], sums[1], sha256)
