"""`market_map`: where outages hit, by comuna and company, against the customers of the region."""

from __future__ import annotations

import polars as pl

from sec_core.gold.model import Count, PayloadRow, Percent
from sec_core.gold.universe import newest


class MarketMapRow(PayloadRow):
    """One comuna and company."""

    nombre_region: str
    """Region, `UNKNOWN` where the source's names did not resolve."""
    nombre_comuna: str
    """Comuna, or `UNKNOWN`."""
    nombre_empresa: str
    """Company, `UNKNOWN`, or `NO INFORMADA` where the source names none."""
    total_afectados: Count
    """Sum of the events' customers (high-water marks)."""
    frecuencia: Count
    """Number of events."""
    instability_index: Percent | None
    """`total_afectados` over the region's customers in percent, at most 100; null where the region's customers are
    not known."""


def market_map(events: pl.DataFrame, customers: pl.DataFrame) -> list[MarketMapRow]:
    """All comunas and companies that had events, in the order of their names.

    Args:
        events: nombre_region, nombre_comuna, nombre_empresa, clientes_afectados.
        customers: see `universe.CUSTOMERS_SCHEMA`; the newest figure of each region is used.
    """
    index = (pl.col("total_afectados") * 100.0 / pl.col("universo")).clip(upper_bound=100.0).round(6)
    table = (
        events.lazy()
        .group_by("nombre_region", "nombre_comuna", "nombre_empresa")
        .agg(pl.col("clientes_afectados").sum().alias("total_afectados"), pl.len().alias("frecuencia"))
        .with_columns(pl.col("^nombre_.*$").cast(pl.String))
        .join(newest(customers).lazy().select("nombre_region", "universo"), on="nombre_region", how="left")
        .with_columns(instability_index=index)
        .drop("universo")
        .sort("nombre_region", "nombre_comuna", "nombre_empresa")
        .collect()
    )
    return [MarketMapRow.model_validate(row) for row in table.to_dicts()]
