"""`gold/observaciones/`: all observations, hive-partitioned by year and month; only what changed is written again."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from sec_core.gold import parquet
from sec_core.gold.frames import UTC_TIME, query
from sec_core.hours import Month

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from adbc_driver_postgresql.dbapi import Connection

    ObservationReader = Callable[[Month], pl.DataFrame]

FORMAT = "1"
"""Raise it when the columns or their meaning change: all months are then written again."""

TITLE = "Customers without supply in Chile, by hour, comuna, company and start date"


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export did.

    Attributes:
        written: Months whose file was written.
        kept: Months whose file was current.
        removed: Month folders that Silver no longer has.
    """

    written: tuple[Month, ...]
    kept: int
    removed: int


def month_path(root: Path, month: Month) -> Path:
    """The file of a month."""
    return root / f"anho={month.year:04d}" / f"mes={month.month:02d}" / "observaciones.parquet"


def digests(loads: pl.DataFrame, names: pl.DataFrame) -> dict[Month, str]:
    """What each month's file is made of, as a digest that is kept in the file itself.

    Args:
        loads: `cargas` with mes and version, ordered by hour: see `frames.read_loads`.
        names: Every name that the file spells out.
    """
    base = hashlib.sha256(FORMAT.encode() + names.write_csv().encode()).hexdigest()
    found: dict[Month, str] = {}
    for (day,), hours in loads.partition_by("mes", as_dict=True, include_key=False).items():
        content = hours.sort("hora").write_csv().encode()
        found[Month(day.year, day.month)] = hashlib.sha256(base.encode() + content).hexdigest()
    return found


def export(root: Path, wanted: dict[Month, str], read: ObservationReader) -> ExportReport:
    """Bring the folder up to date.

    Args:
        root: `gold/observaciones`.
        wanted: Digest of each month that Silver has.
        read: Gives a month's observations with names.

    Raises:
        StorageError: The disk refused a file; months written before it stay.
    """
    written = []
    for month in sorted(wanted):
        path = month_path(root, month)
        if parquet.metadata(path).get("digest") != wanted[month]:
            parquet.write(read(month), path, parquet.OBSERVATIONS, f"{TITLE}, {month}", {"digest": wanted[month]})
            written.append(month)
    current = {month_path(root, month).parent for month in wanted}
    stale = [folder for folder in root.glob("anho=*/mes=*") if folder not in current]
    for folder in stale:
        shutil.rmtree(folder)
    return ExportReport(written=tuple(written), kept=len(wanted) - len(written), removed=len(stale))


def database_reader(connection: Connection) -> ObservationReader:
    """Read months from `fact_observaciones`."""

    def read(month: Month) -> pl.DataFrame:
        return query(
            connection,
            "SELECT o.hora, c.forma, g.codigo_region, g.nombre_region, g.codigo_comuna, g.nombre_comuna,"
            " e.nombre_empresa, o.fecha_inicio, o.clientes_afectados, o.n_filas, o.imputaciones"
            " FROM fact_observaciones o JOIN cargas c USING (hora)"
            " JOIN dim_geografia g USING (id_geografia) JOIN dim_empresa e USING (id_empresa)"
            f" WHERE o.hora >= '{month.start:%Y-%m-%d %H:%M:%S}+00' AND o.hora < '{month.end:%Y-%m-%d %H:%M:%S}+00'",
        ).sort("hora", "codigo_comuna", "nombre_empresa", "fecha_inicio")

    return read


def names(connection: Connection) -> pl.DataFrame:
    """Every name that the files spell out."""
    return query(
        connection,
        "SELECT id_geografia AS id, codigo_comuna, nombre_comuna, codigo_region, nombre_region"
        " FROM dim_geografia UNION ALL SELECT id_empresa, '', '', '', nombre_empresa FROM dim_empresa ORDER BY 1, 2, 5",
    )


def hourly(root: Path, months: list[Month]) -> pl.LazyFrame:
    """Customers out by hour and region, lazily, from the exported files of these months.

    Returns:
        hora, nombre_region, clientes.
    """
    if not months:
        return pl.LazyFrame(schema={"hora": UTC_TIME, "nombre_region": pl.String, "clientes": pl.Int64})
    return (
        pl.scan_parquet([month_path(root, month) for month in months], hive_partitioning=False)
        .group_by("hora", "nombre_region")
        .agg(pl.col("clientes_afectados").sum().alias("clientes"))
    )
