"""`coverage`, `eda_quality_stats`: what figures rest on, and how often an imputation rule was needed (0 is the ideal).

What is missing is shown as missing, never as zero.
"""

from typing import Final

import polars as pl

from sec_core.gold.model import Count, MonthStart, PayloadRow, Share

STATES: Final = {
    "captured": "capturadas",
    "empty": "vacias",
    "failed": "fallidas",
    "quarantined": "en_cuarentena",
    "pending": "pendientes",
}
# A month below this share of captured hours is marked wherever it is shown.
MINIMUM_COVERAGE: Final = 0.95
# Rule in `calidad_imputacion` to the dashboard's category, in the dashboard's order.
CATEGORIES: Final = {
    "clientes": "Affected = 0 (Imputed)",
    "geografia": "Geography = UNKNOWN (Imputed)",
    "empresa": "Company = UNKNOWN (Imputed)",
    "fecha": "Start date = server time (Imputed)",
}
CAPPED: Final = "Affected capped at regional total"


class CoverageRow(PayloadRow):
    """One month, in hours that have ended; the columns of states add up to `horas_esperadas`."""

    mes: MonthStart
    """Month, `YYYY-MM-01`, Chile wall clock."""
    horas_esperadas: Count
    """Hours that the source can have and that have ended; the month of the September change has one less, since an
    hour is skipped (see `sec_core.hours`)."""
    capturadas: Count
    """Hours with data."""
    vacias: Count
    """Hours for which the source says that it has no data."""
    fallidas: Count
    """Hours that could not be had."""
    en_cuarentena: Count
    """Hours whose answer fits no known shape."""
    pendientes: Count
    """Hours not asked for yet."""
    cobertura: Share | None
    """`capturadas` over `horas_esperadas`; null while no hour has ended."""
    detalladas: Count
    """Captured hours in the detailed shape (with company and start date)."""
    agregadas: Count
    """Captured hours in the aggregated shape (by comuna only)."""
    cargadas: Count
    """Captured hours that are in Silver."""
    filas: Count
    """Source rows of the captured hours."""


class QualityRow(PayloadRow):
    """One imputation rule."""

    category: str
    """The rule, in the dashboard's words."""
    count: Count
    """Source rows that it touched (for the cap: events)."""
    percentage: Share
    """Their share, 0.0 to 1.0, of all source rows loaded (for the cap: of all events)."""


def coverage(calendar: pl.DataFrame) -> pl.DataFrame:
    """All months from the first to the newest that the ledger knows.

    Args:
        calendar: One row for each hour that is expected: mes, estado (`pending` where the ledger has no row), forma,
            cargada, n_filas; see `sec_core.gold.frames.hour_calendar`.
    """
    captured = pl.col("estado") == "captured"
    return (
        calendar.group_by("mes")
        .agg(
            pl.len().alias("horas_esperadas"),
            *((pl.col("estado") == state).sum().alias(name) for state, name in STATES.items()),
            detalladas=(captured & (pl.col("forma") == "detailed")).sum(),
            agregadas=(captured & (pl.col("forma") == "aggregated")).sum(),
            cargadas=(captured & pl.col("cargada")).sum(),
            filas=pl.col("n_filas").filter(captured).sum(),
        )
        .with_columns(cobertura=(pl.col("capturadas") / pl.col("horas_esperadas")).round(6))
        .sort("mes")
    )


def eda_quality_stats(imputation: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """The five rules in the contract's order; nothing at all as long as no source row was loaded.

    Args:
        imputation: `calidad_imputacion`: mes, regla, filas, total.
        events: topado.
    """
    rules = (
        imputation.filter(pl.col("regla").is_in(list(CATEGORIES))).group_by("regla").agg(pl.col("filas", "total").sum())
    )
    counts, loaded = dict(rules.select("regla", "filas").iter_rows()), rules["total"].max() or 0
    touched = {category: (counts.get(rule, 0), loaded) for rule, category in CATEGORIES.items()}
    touched[CAPPED] = (events["topado"].sum(), events.height)
    rows = [(name, count, count / total if total else 0.0) for name, (count, total) in touched.items() if loaded]
    return pl.DataFrame(rows, ["category", "count", "percentage"], orient="row")
