"""The events of the last 30 days, as the Supabase table `interrupciones_recientes` holds them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from sec_core.blobs.model import BlobMissing
from sec_core.errors import PublicationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sec_core.blobs.model import Blobs

TABLE = "interrupciones_recientes"
WINDOW = timedelta(days=30)
INSTANT = "%Y-%m-%dT%H:%M:%SZ"

COLUMNS = (
    "hash_id",
    "forma",
    "codigo_region",
    "nombre_region",
    "codigo_comuna",
    "nombre_comuna",
    "nombre_empresa",
    "inicio",
    "fin",
    "clientes_afectados",
    "cliente_horas",
    "hora_maximo",
    "primera_hora",
    "ultima_hora",
    "n_observaciones",
    "imputaciones",
    "topado",
)


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
    window = as_rows(events.filter(pl.col("fin").is_null() | (pl.col("fin") > start)))
    current = {row["hash_id"]: row for row in window}
    before = {row["hash_id"]: normal(row) for row in published}
    gone = pl.DataFrame(
        [(key, row["ultima_hora"]) for key, row in before.items() if key not in current],
        schema={"hash_id": pl.String, "visto": pl.String},
        orient="row",
    ).join(events.select("hash_id", pl.col("ultima_hora").dt.strftime(INSTANT)), on="hash_id", how="left")
    archived = pl.col("ultima_hora") >= pl.col("visto")
    replaced = pl.col("ultima_hora").is_null() & (pl.col("visto") >= start.strftime(INSTANT))
    doomed = gone.filter((archived | replaced).fill_null(value=False))
    return RecentPlan(
        write=[row for key, row in current.items() if before.get(key) != row],
        delete=sorted(doomed["hash_id"].to_list()),
        unarchived=gone.height - doomed.height,
        rows=len(current),
    )


def newest_published(published: Sequence[dict[str, Any]]) -> str:
    """Last hour of the newest published event, `YYYY-MM-DDTHH:MM:SSZ`; empty where there is none."""
    return max((normal(row)["ultima_hora"] for row in published), default="")


def as_rows(events: pl.DataFrame) -> list[dict[str, Any]]:
    """Events as JSON-ready rows, instants as `YYYY-MM-DDTHH:MM:SSZ`."""
    return events.with_columns(pl.col(pl.Datetime).dt.strftime(INSTANT)).to_dicts()


def normal(row: dict[str, Any]) -> dict[str, Any]:
    """A row as the REST API gives it, with instants spelled as ours."""
    return {key: _zulu(value) if isinstance(value, str) else value for key, value in row.items()}


def _zulu(value: str) -> str:
    return f"{value[:19]}Z" if value.endswith("+00:00") and len(value) == len("2024-01-01T00:00:00+00:00") else value
