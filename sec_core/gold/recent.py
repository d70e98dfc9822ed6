"""The events of the last 30 days, as the Supabase table `interrupciones_recientes` holds them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from sec_core.blobs.place import BlobMissing, Blobs
from sec_core.errors import PublicationError

TABLE = "interrupciones_recientes"
WINDOW = timedelta(days=30)
INSTANT = "%Y-%m-%dT%H:%M:%SZ"

COLUMNS = (
    "hash_id", "forma", "codigo_region", "nombre_region", "codigo_comuna", "nombre_comuna", "nombre_empresa", "inicio",
    "fin", "clientes_afectados", "cliente_horas", "hora_maximo", "primera_hora", "ultima_hora", "n_observaciones",
    "imputaciones", "topado",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RecentPlan:
    """What has to change in the table.

    Attributes:
        write: Rows that are new or differ.
        delete: hash_id of rows that slid out of the window and are in the archive, or that a revision replaced.
        unarchived: Rows that slid out of the window but are not in the archive: they stay.
        rows: Rows that the window has.
    """

    write: list[dict[str, Any]]
    delete: list[str]
    unarchived: int
    rows: int


def plan(gold: Blobs, archive: str, newest: datetime, published: Sequence[dict[str, Any]]) -> RecentPlan:
    """Compare the window with what is published.

    Args:
        gold: Gold's place.
        archive: `golden_interrupciones.parquet`, as it was written: an event is archived if it is in there, with the
            same last hour or a later one.
        newest: Newest loaded hour; the window ends with it.
        published: All rows of the table, with `COLUMNS`.

    Raises:
        PublicationError: The archive can't be read.
        StorageUnavailable: The place did not answer.
    """
    try:
        events = pl.read_parquet(gold.source(archive), columns=list(COLUMNS))
    except (BlobMissing, OSError, pl.exceptions.PolarsError):
        raise PublicationError(f"{archive} can't be read.", next_step="Run `sec gold`, then `sec publish`.") from None
    start = newest - WINDOW + timedelta(hours=1)
    window = events.filter(pl.col("fin").is_null() | (pl.col("fin") > start))
    held = _held(published, events.schema)
    gone = held.join(window, on="hash_id", how="anti").join(
        events.select("hash_id", archivada="ultima_hora"), on="hash_id", how="left"
    )
    archived = pl.col("archivada") >= pl.col("ultima_hora")
    replaced = pl.col("archivada").is_null() & (pl.col("ultima_hora") >= start)
    doomed = gone.filter((archived | replaced).fill_null(value=False))
    differing = window.join(held, on=window.columns, how="anti", nulls_equal=True)
    return RecentPlan(
        write=differing.with_columns(pl.col(pl.Datetime).dt.strftime(INSTANT)).to_dicts(),
        delete=sorted(doomed["hash_id"]),
        unarchived=gone.height - doomed.height,
        rows=window.height,
    )


def losses(published: Sequence[dict[str, Any]], newest: str | None) -> dict[str, str]:
    """What of the published events comes after the newest loaded hour, in words by table; empty if nothing does."""
    last = max((datetime.fromisoformat(row["ultima_hora"]) for row in published), default=None)
    if last is None or (newest and last <= datetime.fromisoformat(newest)):
        return {}
    reaches = last.astimezone(UTC).strftime(INSTANT)
    return {TABLE: f"{TABLE} reaches {reaches}, but the newest loaded hour is {newest or 'none'}."}


def _held(published: Sequence[dict[str, Any]], schema: pl.Schema) -> pl.DataFrame:
    """Rows as the REST API gives them, with the archive's types."""
    instants = [name for name, kind in schema.items() if isinstance(kind, pl.Datetime)]
    rows = pl.DataFrame(published, schema | dict.fromkeys(instants, pl.String))
    return rows.with_columns(pl.col(instants).str.to_datetime("%Y-%m-%dT%H:%M:%S%z", time_unit="us"))
