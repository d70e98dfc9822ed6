"""How the SEC's answers changed: every body held of an hour, by region where there are several. Kept between builds.

The country's rows are the ledger's own sums, those of regions are counted from the bodies again, as a load counts them.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Final

import polars as pl
from loguru import logger

from sec_core.blobs.at_once import at_once
from sec_core.blobs.model import BlobMissing
from sec_core.blobs.place import width
from sec_core.bronze.ledger_table import to_capture
from sec_core.bronze.sealed import BodyDamaged
from sec_core.gold.frames import UTC_TIME, with_month
from sec_core.gold.monthly import read_kept, write_kept
from sec_core.gold.universe import COUNTRY
from sec_core.reference.names import default_names
from sec_core.silver.observations import Snapshot, observe

if TYPE_CHECKING:
    from sec_core.blobs.model import Blobs
    from sec_core.bronze.ledger_rules import Capture
    from sec_core.bronze.store import BronzeStore
    from sec_core.gold.frames import Names

HELD: Final = "SELECT * FROM revisiones WHERE resultado = 'captured' ORDER BY hora, capturado_en, origen"
_FORMAT: Final = "1"
"""Raise it when a body would be counted differently."""
_SCHEMA: Final = pl.Schema(
    {
        "mes": pl.Date(), "hora": UTC_TIME, "revision": pl.Int32(), "recibida": UTC_TIME, "forma": pl.String(),
        "codigo_region": pl.String(), "nombre_region": pl.String(), "clientes_afectados": pl.Int64(),
        "n_filas": pl.Int64(),
    }
)  # fmt: skip


def revisions(gold: Blobs, held: pl.DataFrame, store: BronzeStore, names: Names) -> pl.DataFrame:
    """The columns of `revisiones.parquet` and mes, ordered by hour, revision and region.

    Args:
        gold: Where the months that are kept lie.
        held: The rows of `HELD`.
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
    several = numbered.filter(pl.col("de") > 1)
    base = hashlib.sha256(_FORMAT.encode() + names.places.write_csv().encode())
    months = several.partition_by("mes", as_dict=True)
    wanted = {}
    for (day,), rows in months.items():
        digest = base.copy()
        digest.update(rows.select("hora", "capturado_en", "sha256").write_csv().encode())
        wanted[str(day)] = digest.hexdigest()
    kept, known = read_kept(gold, "revisions", _SCHEMA)
    stay = [day for (day,) in months if known.get(str(day)) == wanted[str(day)]]
    parts = [kept.filter(pl.col("mes").is_in(stay))]
    parts += [_by_region(rows, store, names) for (day,), rows in months.items() if day not in stay]
    regions = pl.concat(parts).sort("hora", "revision", "nombre_region")
    if known != wanted:
        write_kept(gold, "revisions", regions, wanted)
    return pl.concat([country, regions]).sort("hora", "revision", "codigo_region", nulls_last=True)


def _by_region(rows: pl.DataFrame, store: BronzeStore, names: Names) -> pl.DataFrame:
    """The rows of a month's bodies by region, counted revision by revision: a snapshot is one of an hour."""
    places = names.places.select("id_geografia", "codigo_region", "nombre_region")
    found = [pl.DataFrame(schema=_SCHEMA)]
    for (number,), part in rows.partition_by("revision", as_dict=True).items():
        captures = [to_capture(row) for row in part.iter_rows(named=True)]
        bodies = at_once(width(store.blobs.place), partial(_body, store), captures)
        whole = [
            Snapshot(capture.hour, capture.shape, body)
            for capture, body in zip(captures, bodies, strict=True)
            if body is not None and capture.shape is not None
        ]
        about = part.select("hora", "mes", "forma", recibida="capturado_en", revision=pl.lit(number, pl.Int32))
        found.append(
            observe(whole, default_names())
            .observations.join(places, on="id_geografia", how="left")
            .group_by("hora", "codigo_region", "nombre_region")
            .agg(pl.col("clientes_afectados", "n_filas").sum())
            .join(about, on="hora")
            .select(_SCHEMA.names())
            .cast(_SCHEMA)
        )
    return pl.concat(found)


def _body(store: BronzeStore, capture: Capture) -> bytes | None:
    """The bytes of a body; None where they are gone or damaged, which `sec doctor` tells what to do about."""
    try:
        return store.read_kept(capture)
    except (BlobMissing, BodyDamaged) as error:
        logger.bind(stage="gold", code=error.code).warning("An answer is not counted by region: {error}", error=error)
        return None
