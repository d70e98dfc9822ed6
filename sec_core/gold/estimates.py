"""Customer-hours of series by month, year and day, from what was seen of them. See `panel.py` for what a series is.

customer-hours = sum over observed and interpolated hours x ended hours / (observed + interpolated).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from sec_core.gold.estimated_hours import MINIMUM_COVERED, Method

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from sec_core.gold.estimated_hours import Pattern


def parts(series: pl.DataFrame, pattern: Pattern, names: Iterable[str], months: Iterable[date]) -> pl.DataFrame:
    """What estimates of some months are made of, one row for each series and month.

    Args:
        series: hora, serie, clientes: all that the loaded hours of these months list, and of the hours before and
            after that a line over the month's border needs (`SEC_ESTIMATE_MAX_GAP_HOURS`). More does no harm.
        pattern: What was seen when.
        names: All series that get a row, listed or not.
        months: First days of months; those without a loaded hour get no row.

    Returns:
        mes, serie, observado (customer-hours of observed hours), suma (of observed and interpolated ones).
        Rows of all months together are what `months` and `years` take.
    """
    wanted = pattern.months.join(pl.DataFrame({"mes": list(months)}, schema={"mes": pl.Date}), on="mes", how="semi")
    grid = wanted.select("mes").join(pl.DataFrame({"serie": sorted(set(names))}), how="cross")
    weighted = series.join(pattern.weights.join(wanted, on="mes", how="semi"), on="hora")
    sums = weighted.group_by("mes", "serie").agg(suma=(pl.col("peso") * pl.col("clientes")).sum())
    seen = pattern.hours.filter(pl.col("visto") == "observada").select("hora", "mes").join(wanted, on="mes", how="semi")
    own = series.join(seen, on="hora").group_by("mes", "serie").agg(observado=pl.col("clientes").sum())
    return (
        grid.join(own, on=["mes", "serie"], how="left")
        .join(sums, on=["mes", "serie"], how="left")
        .with_columns(pl.col("observado", "suma").fill_null(0))
        .sort("mes", "serie")
    )


def months(parts: pl.DataFrame, pattern: Pattern) -> pl.DataFrame:
    """Customer-hours by series and month.

    Args:
        parts: see `parts`: of all months and of one kind of series, since they share what is known of peaks.
        pattern: What was seen when.

    Returns:
        mes, serie, metodo, observado, cliente_horas, inferior, superior (95%; all three null where metodo is
        `insuficiente`), horas, observadas, interpoladas; ordered by month and series.
    """
    covered = pl.col("observadas") + pl.col("interpoladas")
    known = pl.col("metodo") != Method.INSUFFICIENT.value
    return (
        parts.join(pattern.months.drop("racha"), on="mes")
        .with_columns(cliente_horas=pl.when(known).then(pl.col("suma") * pl.col("horas") / covered))
        .sort("mes", "serie")
    )


def days(series: pl.DataFrame, pattern: Pattern) -> pl.DataFrame:
    """Customer-hours by series and day; days of which less than half is observed or interpolated are left out.

    Args:
        series: hora, serie, clientes.
        pattern: What was seen when.

    Returns:
        dia, mes, serie, cliente_horas; a series without customers out on a day has no row.
    """
    covered = pl.col("observadas") + pl.col("interpoladas")
    usable = pattern.days.filter(covered >= MINIMUM_COVERED * pl.col("horas"))
    return (
        series.join(pattern.weights, on="hora")
        .group_by("dia", "serie")
        .agg(suma=(pl.col("peso") * pl.col("clientes")).sum())
        .join(usable, on="dia")
        .select("dia", "mes", "serie", cliente_horas=pl.col("suma") * pl.col("horas") / covered)
        .sort("dia", "serie")
    )
