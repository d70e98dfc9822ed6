"""Customers newly out, and values that stand still, hour by hour as snapshots show them. Pure.

A series of observations is a comuna, company and start date; aggregated it is the comuna alone (the others are
constant there). What a loaded hour does not list is 0. Suspect hours are passed over.
"""

from collections.abc import Collection
from datetime import date

import polars as pl

from sec_core.gold.estimated_hours import Pattern
from sec_core.gold.frames import with_month
from sec_core.gold.panel import by_region
from sec_core.silver.timeline import source_index

# Hours over which a value that never changes counts as stale.
STANDING_HOURS = 168

# Source hours up to which two observed hours show that a value stood still between them.
NEIGHBOURS_APART = 24

_KEY = ["id_geografia", "id_empresa", "fecha_inicio"]


def rises(
    observations: pl.DataFrame, places: pl.DataFrame, loads: pl.DataFrame, pattern: Pattern, months: Collection[date]
) -> pl.DataFrame:
    """Customers newly out: each series' first value and every rise between neighbouring observed hours.

    Where the form changes between two hours, comunas are compared, since nothing else is the same in both.

    Args:
        observations: hora, id_geografia, id_empresa, fecha_inicio, clientes_afectados: the month's, and those of the
            observed hour before the month's first one, however far back. More does no harm.
        places: id_geografia, nombre_region.
        loads: hora, forma of loaded hours.
        pattern: What was seen when.
        months: First days of the months.

    Returns:
        dia, serie (regions, UNKNOWN, `CHILE`), subidas (customers); days and regions with none have no row.
    """
    hours = (
        pattern.hours.filter(pl.col("visto") == "observada")
        .select("hora", "mes", "dia")
        .join(loads.select("hora", "forma"), on="hora", how="left", maintain_order="left")
        .with_columns(previa=pl.col("hora").shift(1), cambio=pl.col("forma").ne_missing(pl.col("forma").shift(1)))
        .filter(pl.col("mes").is_in(list(months)))
    )
    values = observations.select("hora", *_KEY, "clientes_afectados")
    by_comuna = values.group_by("hora", "id_geografia").agg(pl.col("clientes_afectados").sum())
    risen = pl.concat(
        [
            _risen(values, hours.filter(~pl.col("cambio")), _KEY),
            _risen(by_comuna, hours.filter("cambio"), ["id_geografia"]),
        ]
    )
    return by_region(risen.filter(pl.col("subidas") > 0), places, "id_geografia")


def _risen(values: pl.DataFrame, hours: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    before = values.select(*key, previa="hora", antes="clientes_afectados")
    return (
        values.join(hours, on="hora")
        .join(before, on=["previa", *key], how="left", nulls_equal=True)
        .select("dia", "id_geografia", subidas=pl.col("clientes_afectados") - pl.col("antes").fill_null(0))
    )


def standing(
    observations: pl.DataFrame, places: pl.DataFrame, pattern: Pattern, months: Collection[date]
) -> pl.DataFrame:
    """Customer-hours of a month that come from values which stood still for `STANDING_HOURS` or more.

    Args:
        observations: As `rises` takes them, of the month and of `STANDING_HOURS` before and after it.
        places: id_geografia, nombre_region.
        pattern: What was seen when.
        months: First days of the months.

    Returns:
        mes, serie (regions, UNKNOWN, `CHILE`), quietas (customer-hours of observed hours); those with none have no row.
    """
    observed = pattern.hours.filter(pl.col("visto") == "observada")["hora"]
    hours = pl.DataFrame({"hora": observed, "orden": range(observed.len()), "indice": source_index(observed)})
    same = [pl.col(name).eq_missing(pl.col(name).shift(1)) for name in [*_KEY, "clientes_afectados"]]
    follows = (pl.col("orden").diff() == 1) & (pl.col("indice").diff() <= NEIGHBOURS_APART)
    rows = observations.select("hora", *_KEY, "clientes_afectados").join(hours, on="hora")
    long = rows.group_by(_KEY).agg(pl.col("indice").max() - pl.col("indice").min())
    runs = (
        rows.join(long.filter(pl.col("indice") >= STANDING_HOURS - 1), on=_KEY, how="semi", nulls_equal=True)
        .sort(*_KEY, "hora")
        .with_columns(tramo=(~pl.all_horizontal(*same, follows).fill_null(value=False)).cum_sum())
    )
    length = (pl.col("indice").max() - pl.col("indice").min() + 1).over("tramo")
    still = with_month(runs.filter(length >= STANDING_HOURS)).filter(pl.col("mes").is_in(list(months)))
    return by_region(still.select("mes", "id_geografia", quietas="clientes_afectados"), places, "id_geografia")


def imputed(observations: pl.DataFrame, places: pl.DataFrame, months: Collection[date]) -> pl.DataFrame:
    """Source rows of a month, and those in observations that an imputation rule touched (an upper bound).

    Args:
        observations: hora, id_geografia, n_filas, imputaciones; other months are passed over.
        places: id_geografia, nombre_region.
        months: First days of the months.

    Returns:
        mes, serie (regions, UNKNOWN, `CHILE`), filas, imputadas.
    """
    own = with_month(observations).filter(pl.col("mes").is_in(list(months)))
    touched = pl.when(pl.col("imputaciones") != 0).then("n_filas").otherwise(0)
    return by_region(own.select("mes", "id_geografia", filas="n_filas", imputadas=touched), places, "id_geografia")
