"""How the SEC's answers changed: every body held of an hour, by region where there are several. Kept between builds.

The country's rows are the ledger's own sums, those of regions are counted from the bodies again, as a load counts them.
"""

from collections.abc import Iterator
from typing import Final

import polars as pl
from loguru import logger

from sec_core.blobs.place import BlobMissing, Blobs
from sec_core.bronze.ledger_table import to_capture
from sec_core.bronze.store import BodyDamaged, BronzeStore
from sec_core.errors import StorageError
from sec_core.gold import kept
from sec_core.gold.customers import COUNTRY
from sec_core.gold.frames import UTC_TIME, Names, with_month
from sec_core.reference.tables import default_names
from sec_core.silver.observations import Snapshot, observe

# A body that is gone or damaged, of which `sec doctor` tells too.
UNREADABLE: Final = (BlobMissing, BodyDamaged)
# Raise it when a body would be counted differently.
_FORMAT: Final = "1"
_SCHEMA: Final = pl.Schema(
    {
        "hora": UTC_TIME, "revision": pl.Int32(), "nombre_region": pl.String(), "codigo_region": pl.String(),
        "mes": pl.Date(), "recibida": UTC_TIME, "forma": pl.String(), "clientes_afectados": pl.Int64(),
        "n_filas": pl.Int64(),
    }
)  # fmt: skip


def revisions(gold: Blobs, held: pl.DataFrame, store: BronzeStore, names: Names) -> pl.DataFrame:
    """The columns of `revisiones.parquet` and mes, ordered by hour, revision and region.

    Args:
        gold: Where the months that are kept lie.
        held: `answers` of `frames.sql`.
        store: The bodies; one that is damaged or gone has its country's row alone.
        names: The dimensions.

    Raises:
        StorageError: The place refused a file.
    """
    numbered = with_month(held).with_columns(
        revision=pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("hora"), de=pl.len().over("hora")
    )
    country = numbered.select(
        "mes", "hora", "revision", "forma", "n_filas", recibida="capturado_en", codigo_region=pl.lit(None, pl.String),
        nombre_region=pl.lit(COUNTRY), clientes_afectados="clientes",
    ).select(_SCHEMA.names()).cast(_SCHEMA)  # fmt: skip
    several = numbered.filter(pl.col("de") > 1).with_columns(parte=kept.MONTH)
    months = {str(month): rows for (month,), rows in several.partition_by("parte", as_dict=True).items()}
    bodies = ("hora", "capturado_en", "sha256")
    wanted = {month: kept.digest(_FORMAT, names.places, rows.select(bodies)) for month, rows in months.items()}

    def make(changed: list[str]) -> dict[str, list[pl.DataFrame]]:
        return {"revisions": [part for month in changed for part in _by_region(months[month], store, names)]}

    regions = kept.bring_up_to_date(gold, {"revisions": _SCHEMA}, kept.MONTH, wanted, make)[0]["revisions"]
    return pl.concat([country, regions]).sort("hora", "revision", "codigo_region", nulls_last=True)


def _by_region(rows: pl.DataFrame, store: BronzeStore, names: Names) -> Iterator[pl.DataFrame]:
    """The rows of a month's bodies by region, counted revision by revision: a snapshot is one of an hour."""
    places = names.places.select("id_geografia", "codigo_region", "nombre_region")
    for (number,), part in rows.partition_by("revision", as_dict=True).items():
        captures = [to_capture(row) for row in part.iter_rows(named=True)]
        snapshots = []
        for capture, body in zip(captures, store.try_all(captures, UNREADABLE), strict=True):
            if isinstance(body, StorageError):
                text = "An answer is not counted by region: {error}"
                logger.bind(stage="gold", code=body.code).warning(text, error=body)
            elif capture.shape is not None:
                snapshots.append(Snapshot(capture.hour, capture.shape, body))
        about = part.select("hora", "mes", "forma", recibida="capturado_en", revision=pl.lit(number, pl.Int32))
        yield (
            observe(snapshots, default_names())
            .observations.join(places, on="id_geografia", how="left")
            .group_by("hora", "codigo_region", "nombre_region")
            .agg(pl.col("clientes_afectados", "n_filas").sum())
            .join(about, on="hora")
        )
