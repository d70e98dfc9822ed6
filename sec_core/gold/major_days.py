"""Major event days by the 2.5 beta method of IEEE 1366-2012, section 3.5 and annex B.

A day is a major event day if its SAIDI exceeds exp(alpha + 2.5 beta), where alpha and beta are the mean and the
standard deviation of the natural logarithms of daily SAIDI over the five years before the reporting year. Days without
any interruption don't enter. Where the five years hold too little, the standard takes all that is available: the
reporting year itself then joins.
"""

from __future__ import annotations

import polars as pl

FULL_BASE_DAYS = 365
"""Days with interruptions from which the years before suffice by themselves."""

LEAST_BASE_DAYS = 10
"""Days with interruptions below which no threshold is computed at all."""


def thresholds(daily: pl.DataFrame) -> pl.DataFrame:
    """The threshold of every region and reporting year.

    Args:
        daily: nombre_region, dia (Date), saidi (hours per customer), cubierto (whether the day has captured hours);
            one row a region and day.

    Returns:
        nombre_region, anho, umbral_med (hours per customer; null where the base is too small), dias_base.
    """
    usable = daily.filter(pl.col("cubierto") & (pl.col("saidi") > 0)).select(
        "nombre_region", pl.col("dia").dt.year().alias("anho"), pl.col("saidi").log().alias("ln")
    )
    wanted = daily.select("nombre_region", pl.col("dia").dt.year().alias("anho")).unique()
    pairs = wanted.lazy().join(usable.lazy(), on="nombre_region", how="left", suffix="_base")
    before = pl.col("anho_base").is_between(pl.col("anho") - 5, pl.col("anho") - 1)
    own = pl.col("anho_base").is_between(pl.col("anho") - 5, pl.col("anho"))
    table = (
        pairs.group_by("nombre_region", "anho")
        .agg(
            before.sum().alias("n_before"),
            *_moments(before, "before"),
            own.sum().alias("n_own"),
            *_moments(own, "own"),
        )
        .with_columns(full=pl.col("n_before") >= FULL_BASE_DAYS)
        .with_columns(
            dias_base=_either("n").cast(pl.Int64),
            umbral_med=(_either("alpha") + 2.5 * _either("beta")).exp(),
        )
        .with_columns(umbral_med=pl.when(pl.col("dias_base") >= LEAST_BASE_DAYS).then(pl.col("umbral_med")))
        .select("nombre_region", "anho", "umbral_med", "dias_base")
        .sort("nombre_region", "anho")
    )
    return table.collect()


def _moments(condition: pl.Expr, name: str) -> list[pl.Expr]:
    chosen = pl.col("ln").filter(condition)
    return [chosen.mean().alias(f"alpha_{name}"), chosen.std(ddof=1).alias(f"beta_{name}")]


def _either(name: str) -> pl.Expr:
    return pl.when(pl.col("full")).then(pl.col(f"{name}_before")).otherwise(pl.col(f"{name}_own"))
