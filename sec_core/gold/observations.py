"""`gold/observaciones/`: all observations, hive-partitioned by year and month; only what changed is written again."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from sec_core.blobs.at_once import at_once
from sec_core.blobs.place import width
from sec_core.errors import DatabaseUnavailable
from sec_core.gold import parquet
from sec_core.gold.frames import UTC_TIME
from sec_core.hours import Month
from sec_core.silver.tables import SilverTables

if TYPE_CHECKING:
    from collections.abc import Callable

    from adbc_driver_postgresql.dbapi import Connection

    from sec_core.blobs.model import Blobs
    from sec_core.gold.frames import Names
    from sec_core.silver.archive import Archive

    ObservationReader = Callable[[Month], pl.DataFrame]

FORMAT = "1"
"""Raise it when the columns or their meaning change: all months are then written again."""

TITLE = "Customers without supply in Chile, by hour, comuna, company and start date"


@dataclass(frozen=True, slots=True)
class ExportReport:
    """Months whose file was written, how many were current, and folders removed since Silver lacks them."""

    written: tuple[Month, ...]
    kept: int
    removed: int


FOLDER = "observaciones/"


def month_folder(month: Month) -> str:
    """The folder of a month, below Gold's place."""
    return f"{FOLDER}anho={month.year:04d}/mes={month.month:02d}/"


def month_key(month: Month) -> str:
    """The file of a month, below Gold's place."""
    return f"{month_folder(month)}observaciones.parquet"


def digests(loads: pl.DataFrame, names: Names) -> dict[Month, str]:
    """What each month's file is made of, as a digest that is kept in the file itself.

    Args:
        loads: `cargas` with mes and version, ordered by hour: see `frames.read_loads`.
        names: Every name that the file spells out.
    """
    base = hashlib.sha256(FORMAT.encode())
    for frame in (names.places, names.companies):
        base.update(frame.write_csv().encode())
    found: dict[Month, str] = {}
    for (day,), hours in loads.partition_by("mes", as_dict=True, include_key=False).items():
        content = base.copy()
        content.update(hours.sort("hora").write_csv().encode())
        found[Month(day.year, day.month)] = content.hexdigest()
    return found


def export(gold: Blobs, wanted: dict[Month, str], read: ObservationReader) -> ExportReport:
    """Bring the folder up to date.

    Args:
        gold: Gold's place.
        wanted: Digest of each month that Silver has.
        read: Gives a month's observations with names.

    Raises:
        StorageError: The place refused a file; months written before it stay.
    """
    months = sorted(wanted)
    found = at_once(width(gold.place), lambda month: parquet.metadata(gold, month_key(month)).get("digest"), months)
    written = [month for month, digest in zip(months, found, strict=True) if digest != wanted[month]]
    with ThreadPoolExecutor(max_workers=1) as writer:
        # A month is written while the next one is read; at most one waits, so that memory stays bounded.
        waiting: Future[int] | None = None
        for month in written:
            frame = read(month)
            if waiting is not None:
                waiting.result()
            waiting = writer.submit(_write, frame, gold, month, wanted[month])
        if waiting is not None:
            waiting.result()
    current = {month_folder(month) for month in wanted}
    stale = {folder for key in gold.list(FOLDER) if (folder := f"{key.rpartition('/')[0]}/") not in current}
    for folder in sorted(stale):
        gold.delete_below(folder)
    return ExportReport(written=tuple(written), kept=len(wanted) - len(written), removed=len(stale))


def silver_reader(connection: Connection, archive: Archive, loads: pl.DataFrame, names: Names) -> ObservationReader:
    """Read months from Silver, wherever they are: in the database or in the archive.

    `connection` is the snapshot from which `loads` was read.
    """
    store = SilverTables(connection, archive)
    shapes = loads.lazy().select("hora", "forma")
    expected = dict(loads.group_by("mes").agg(pl.col("n_observaciones").sum()).iter_rows())

    def read(month: Month) -> pl.DataFrame:
        rows = store.observations(month)
        if rows.height != expected.get(month.first_day, 0):
            raise DatabaseUnavailable(
                f"The observations of {month} were moved while they were read.", next_step="Run `sec gold` again."
            )
        ordered = rows.sort("hora", "id_geografia", "id_empresa", "fecha_inicio").lazy()
        return names.add(ordered.join(shapes, on="hora", how="left", maintain_order="left")).collect()

    return read


def _write(frame: pl.DataFrame, gold: Blobs, month: Month, digest: str) -> int:
    key, title = month_key(month), f"{TITLE}, {month}"
    return parquet.write(frame, gold, key, parquet.OBSERVATIONS, title, {"digest": digest})


def hourly(gold: Blobs, months: list[Month]) -> pl.LazyFrame:
    """Customers out by hour and region, lazily, from the exported files of these months.

    Files of an object store are fetched at once, since Polars does not know how to ask for them.

    Returns:
        hora, nombre_region, clientes.
    """
    if not months:
        return pl.LazyFrame(schema={"hora": UTC_TIME, "nombre_region": pl.String, "clientes": pl.Int64})
    files = list(at_once(width(gold.place), gold.source, map(month_key, months)))
    return (
        pl.scan_parquet(files, hive_partitioning=False)  # type: ignore[arg-type]
        .group_by("hora", "nombre_region")
        .agg(pl.col("clientes_afectados").sum().alias("clientes"))
    )
