"""`time_series`: customers affected by month and region."""

from __future__ import annotations

import polars as pl

from sec_core.gold.model import Count, MonthStart, PayloadRow


class TimeSeriesRow(PayloadRow):
    """One region in one month."""

    mes: MonthStart
    """Month of the events' beginning, `YYYY-MM-01`, Chile wall clock."""
    nombre_region: str
    """Region, or `UNKNOWN`."""
    afectados: Count
    """Sum of the events' customers (high-water marks)."""


def time_series(events: pl.DataFrame) -> list[TimeSeriesRow]:
    """All months and regions that had events, by month.

    A pair without events has no row: `coverage` tells whether that means none, or no data.

    Args:
        events: mes, nombre_region, clientes_afectados.
    """
    table = (
        events.lazy()
        .group_by("mes", "nombre_region")
        .agg(pl.col("clientes_afectados").sum().alias("afectados"))
        .with_columns(pl.col("nombre_region").cast(pl.String))
        .sort("mes", "nombre_region")
        .collect()
    )
    return [TimeSeriesRow.model_validate(row) for row in table.to_dicts()]
