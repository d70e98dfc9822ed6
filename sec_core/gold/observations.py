"""`gold/observaciones/` and `gold/panel/`: all observations, and their sums by comuna, hive-partitioned by month.

Only months whose observations changed are read from Silver and written again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from sec_core.blobs.place import Blobs, at_once
from sec_core.db.arrow import ArrowConnection
from sec_core.errors import DatabaseUnavailable
from sec_core.gold import parquet
from sec_core.gold.frames import UTC_TIME, Names
from sec_core.gold.kept import digest
from sec_core.gold.panel import panel
from sec_core.hours import Month
from sec_core.silver.archive import Archive
from sec_core.silver.tables import SilverTables

if TYPE_CHECKING:
    ObservationReader = Callable[[Month], pl.DataFrame]

# Raise it when the columns or their meaning change: all months are then written again.
FORMAT = "2"

TITLE = "Customers without supply in Chile, by hour, comuna, company and start date"
PANEL_TITLE = "Customers without supply in Chile, by hour and comuna"


@dataclass(frozen=True, slots=True)
class ExportReport:
    """Months whose file was written, how many were current, and folders removed since Silver lacks them."""

    written: tuple[Month, ...]
    kept: int
    removed: int


FOLDERS = ("observaciones/", "panel/")


def month_folder(month: Month, folder: str = "observaciones/") -> str:
    """The folder of a month, below Gold's place."""
    return f"{folder}anho={month.year:04d}/mes={month.month:02d}/"


def month_key(month: Month) -> str:
    """The file of a month's observations, below Gold's place."""
    return f"{month_folder(month)}observaciones.parquet"


def panel_key(month: Month) -> str:
    """The file of a month's panel, below Gold's place."""
    return f"{month_folder(month, 'panel/')}panel.parquet"


def digests(loads: pl.DataFrame, names: Names) -> dict[Month, str]:
    """What each month's file is made of, as a digest that is kept in the file itself.

    Args:
        loads: `cargas` with mes and version, ordered by hour: see `frames.read_loads`.
        names: Every name that the file spells out.
    """
    base = digest(FORMAT, names.places, names.companies)
    months = loads.partition_by("mes", as_dict=True, include_key=False).items()
    return {Month(day.year, day.month): digest(base, hours.sort("hora")) for (day,), hours in months}


def export(
    gold: Blobs, wanted: dict[Month, str], read: ObservationReader, about: Mapping[Month, tuple[datetime, str]]
) -> ExportReport:
    """Bring both folders up to date.

    Args:
        gold: Gold's place.
        wanted: Digest of each month that Silver has.
        read: Gives a month's observations with names.
        about: When the newest capture of each month was received, and where its captures come from.

    Raises:
        StorageError: The place refused a file; months written before it stay.
    """
    months = sorted(wanted)
    files = [key(month) for month in months for key in (month_key, panel_key)]
    found = list(at_once(gold.place, lambda key: parquet.metadata(gold, key).get("digest"), files))
    written = [month for at, month in enumerate(months) if {wanted[month]} != set(found[2 * at : 2 * at + 2])]
    with ThreadPoolExecutor(max_workers=1) as writer:
        # A month is written while the next one is read; at most one waits, so that memory stays bounded.
        waiting: Future[None] | None = None
        for month in written:
            frame = read(month)
            if waiting is not None:
                waiting.result()
            waiting = writer.submit(_write, frame, gold, month, about[month], wanted[month])
        if waiting is not None:
            waiting.result()
    current = {month_folder(month, folder) for month in wanted for folder in FOLDERS}
    held = {f"{key.rpartition('/')[0]}/" for folder in FOLDERS for key in gold.list(folder)}
    for folder in sorted(held - current):
        gold.delete_below(folder)
    removed = len({folder.partition("/")[2] for folder in held - current})
    return ExportReport(written=tuple(written), kept=len(wanted) - len(written), removed=removed)


def silver_reader(
    connection: ArrowConnection, archive: Archive, loads: pl.DataFrame, names: Names
) -> ObservationReader:
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


def _write(frame: pl.DataFrame, gold: Blobs, month: Month, about: tuple[datetime, str], digest: str) -> None:
    made, origin = about
    places = frame.select("id_geografia", pl.col("codigo_comuna").cast(pl.String)).unique()
    listed = panel(frame, places, frame.select("hora", "forma").unique())
    for key, rows, columns, title in (
        (month_key(month), frame, parquet.OBSERVATIONS, TITLE),
        (panel_key(month), listed, parquet.PANEL, PANEL_TITLE),
    ):
        parquet.write(rows, gold, key, columns, f"{title}, {month}", made, {"digest": digest, "origin": origin})


def observations_of(gold: Blobs, month: Month) -> pl.LazyFrame:
    """A month's observations, lazily, from its file."""
    return pl.scan_parquet(gold.source(month_key(month)), hive_partitioning=False)


def panel_of(gold: Blobs, months: list[Month]) -> pl.LazyFrame:
    """The panel of these months, lazily, from its files.

    Files of an object store are fetched at once, since Polars does not know how to ask for them.
    """
    if not months:
        empty = {"hora": UTC_TIME, "codigo_comuna": pl.String(), "clientes_afectados": pl.Int64(), "forma": pl.String()}
        return pl.LazyFrame(schema=empty)
    files = list(at_once(gold.place, gold.source, map(panel_key, months)))
    return pl.scan_parquet(files, hive_partitioning=False)  # type: ignore[arg-type]
