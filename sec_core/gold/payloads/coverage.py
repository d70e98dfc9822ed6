"""`coverage`: what the figures rest on, month by month. What is missing is shown as missing, never as zero."""

from __future__ import annotations

import polars as pl

from sec_core.gold.model import Count, MonthStart, PayloadRow, Share

STATES = {
    "captured": "capturadas",
    "empty": "vacias",
    "failed": "fallidas",
    "quarantined": "en_cuarentena",
}


MINIMUM_COVERAGE = 0.95
"""A month below this share of captured hours is marked wherever it is shown."""


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


def coverage(calendar: pl.DataFrame) -> list[CoverageRow]:
    """All months from the first to the newest that the ledger knows.

    Args:
        calendar: One row for each hour that is expected: mes, estado (`pending` where the ledger has no row), forma,
            cargada, n_filas; see `sec_core.gold.frames.hour_calendar`.
    """
    captured = pl.col("estado") == "captured"
    table = (
        calendar.lazy()
        .group_by("mes")
        .agg(
            pl.len().alias("horas_esperadas"),
            *(
                (pl.col("estado") == state).sum().alias(name)
                for state, name in {**STATES, "pending": "pendientes"}.items()
            ),
            (captured & (pl.col("forma") == "detailed")).sum().alias("detalladas"),
            (captured & (pl.col("forma") == "aggregated")).sum().alias("agregadas"),
            (captured & pl.col("cargada")).sum().alias("cargadas"),
            pl.col("n_filas").filter(captured).sum().alias("filas"),
        )
        .with_columns(cobertura=(pl.col("capturadas") / pl.col("horas_esperadas")).round(6))
        .sort("mes")
        .collect()
    )
    return [CoverageRow.model_validate(row) for row in table.to_dicts()]
