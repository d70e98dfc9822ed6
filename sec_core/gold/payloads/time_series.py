"""`time_series`: customers seen affected, by month and region. What hours without data hid is not in these sums."""

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


def time_series(events: pl.DataFrame, loads: pl.DataFrame) -> list[TimeSeriesRow]:
    """All regions that had events in the months with a loaded hour, by month.

    What began in other months (long outages do) is in `meta` as `fuera_de_ventana`. A pair without events has no row:
    `coverage` tells whether that means none, or no data.

    Args:
        events: mes, nombre_region, clientes_afectados.
        loads: mes of the loaded hours.
    """
    table = (
        events.lazy()
        .join(loads.lazy().select("mes").unique(), on="mes", how="semi")
        .group_by("mes", "nombre_region")
        .agg(pl.col("clientes_afectados").sum().alias("afectados"))
        .with_columns(pl.col("nombre_region").cast(pl.String))
        .sort("mes", "nombre_region")
        .collect()
    )
    return [TimeSeriesRow.model_validate(row) for row in table.to_dicts()]
