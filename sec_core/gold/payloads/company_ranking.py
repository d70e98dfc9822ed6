"""`company_ranking`: the companies whose customers were affected most."""

from __future__ import annotations

from typing import Annotated

import polars as pl
from pydantic import Field

from sec_core.gold.model import Count, PayloadRow

UNNAMED = ("UNKNOWN", "NO INFORMADA")
TOP = 15


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


def company_ranking(events: pl.DataFrame) -> list[CompanyRankingRow]:
    """The 15 known companies with the most customers affected, descending; ties by events, then by name.

    Args:
        events: nombre_empresa, clientes_afectados.
    """
    affected = pl.col("clientes_afectados")
    table = (
        events.lazy()
        .group_by("nombre_empresa")
        .agg(
            pl.len().alias("total_eventos"),
            affected.sum().alias("total_clientes_afectados"),
            affected.mean().round(2).alias("promedio_afectados"),
        )
        .with_columns(pl.col("nombre_empresa").cast(pl.String))
        .filter(~pl.col("nombre_empresa").is_in(UNNAMED))
        .sort(
            "total_clientes_afectados",
            "total_eventos",
            "nombre_empresa",
            descending=[True, True, False],
        )
        .head(TOP)
        .collect()
    )
    return [CompanyRankingRow.model_validate(row) for row in table.to_dicts()]
