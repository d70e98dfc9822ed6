"""`market_map`, `time_series`, `company_ranking`: sums of the events seen. What hours without data hid is not in them.

An event belongs to the month of its beginning; its customers are its high-water mark.
"""

from typing import Annotated, Final

import polars as pl
from pydantic import Field

from sec_core.gold.model import Count, MonthStart, PayloadRow, Percent
from sec_core.gold.universe import newest

UNNAMED: Final = ("UNKNOWN", "NO INFORMADA")
TOP: Final = 15


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


class TimeSeriesRow(PayloadRow):
    """One region in one month."""

    mes: MonthStart
    """Month of the events' beginning, `YYYY-MM-01`, Chile wall clock."""
    nombre_region: str
    """Region, or `UNKNOWN`."""
    afectados: Count
    """Sum of the events' customers (high-water marks)."""


class CompanyRankingRow(PayloadRow):
    """One company that the source named."""

    nombre_empresa: str
    """The company."""
    total_eventos: Count
    """Number of its events."""
    total_clientes_afectados: Count
    """Sum of their customers (high-water marks)."""
    promedio_afectados: Annotated[float, Field(ge=0)]
    """Mean of their customers, two decimals."""


def market_map(events: pl.DataFrame, customers: pl.DataFrame) -> pl.DataFrame:
    """All comunas and companies that had events, in the order of their names.

    Args:
        events: nombre_region, nombre_comuna, nombre_empresa, clientes_afectados.
        customers: see `universe.CUSTOMERS_SCHEMA`; the newest figure of each region is used.
    """
    names = ("nombre_region", "nombre_comuna", "nombre_empresa")
    index = (pl.col("clientes") * 100.0 / pl.col("universo")).clip(upper_bound=100.0).round(6)
    return (
        _sums(events, *names)
        .join(newest(customers), on="nombre_region", how="left")
        .sort(names)
        .select(*names, total_afectados="clientes", frecuencia="eventos", instability_index=index)
    )


def time_series(events: pl.DataFrame, loads: pl.DataFrame) -> pl.DataFrame:
    """All regions that had events in the months with a loaded hour, by month.

    What began in other months (long outages do) is in `meta` as `fuera_de_ventana`. A pair without events has no row:
    `coverage` tells whether that means none, or no data.

    Args:
        events: mes, nombre_region, clientes_afectados.
        loads: mes of the loaded hours.
    """
    within = events.join(loads, on="mes", how="semi")
    sums = _sums(within, "mes", "nombre_region").sort("mes", "nombre_region")
    return sums.select("mes", "nombre_region", afectados="clientes")


def company_ranking(events: pl.DataFrame) -> pl.DataFrame:
    """The 15 known companies with the most customers affected, descending; ties by events, then by name.

    Args:
        events: nombre_empresa, clientes_afectados.
    """
    return (
        _sums(events, "nombre_empresa")
        .filter(~pl.col("nombre_empresa").is_in(UNNAMED))
        .sort("clientes", "eventos", "nombre_empresa", descending=[True, True, False])
        .head(TOP)
        .select(
            "nombre_empresa",
            total_eventos="eventos",
            total_clientes_afectados="clientes",
            promedio_afectados=(pl.col("clientes") / pl.col("eventos")).round(2),
        )
    )


def _sums(events: pl.DataFrame, *keys: str) -> pl.DataFrame:
    """By these keys, as text: eventos, clientes."""
    sums = events.group_by(keys).agg(eventos=pl.len(), clientes=pl.col("clientes_afectados").sum())
    return sums.with_columns(pl.col(pl.Categorical).cast(pl.String))
