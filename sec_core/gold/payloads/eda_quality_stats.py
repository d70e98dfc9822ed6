"""`eda_quality_stats`: how often each imputation rule was needed. Zero is the ideal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from sec_core.gold.model import Count, PayloadRow, Share

if TYPE_CHECKING:
    from collections.abc import Mapping

CATEGORIES: Mapping[str, str] = {
    "clientes": "Affected = 0 (Imputed)",
    "geografia": "Geography = UNKNOWN (Imputed)",
    "empresa": "Company = UNKNOWN (Imputed)",
    "fecha": "Start date = server time (Imputed)",
}
"""Rule in `calidad_imputacion` to the dashboard's category, in the dashboard's order."""

CAPPED = "Affected capped at regional total"


class QualityRow(PayloadRow):
    """One imputation rule."""

    category: str
    """The rule, in the dashboard's words."""
    count: Count
    """Source rows that it touched (for the cap: events)."""
    percentage: Share
    """Their share, 0.0 to 1.0, of all source rows loaded (for the cap: of all events)."""


def eda_quality_stats(imputation: pl.DataFrame, events: pl.DataFrame) -> list[QualityRow]:
    """The five rules in the contract's order; nothing at all as long as no source row was loaded.

    Args:
        imputation: `calidad_imputacion`: mes, regla, filas, total.
        events: topado.
    """
    sums = {row["regla"]: row for row in imputation.group_by("regla").agg(pl.col("filas", "total").sum()).to_dicts()}
    loaded = max((sums[rule]["total"] for rule in CATEGORIES if rule in sums), default=0)
    if loaded == 0:
        return []
    counts = [(category, sums[rule]["filas"] if rule in sums else 0, loaded) for rule, category in CATEGORIES.items()]
    counts.append((CAPPED, int(events["topado"].sum()), events.height))
    return [QualityRow(category=name, count=n, percentage=n / total if total else 0.0) for name, n, total in counts]
