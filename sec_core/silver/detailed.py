"""Detailed events: all observations of one comuna, company and start date. Pure.

From the contract: `inicio` is the start date's first instant in Chile; `fin` is the hour after the last observation, or
null while it is in the newest captured hour. Since an event is all its observations, whatever lies between them, the
stretches of a key in different months merge by maximum, sum and union, in any order.
"""

from datetime import date

import polars as pl

from sec_core.silver.columns import conform
from sec_core.silver.stretches import KEY, MERGED_SCHEMA, as_stretches, first_of_maximum, no_stretches
from sec_core.source.shapes import Shape


def stretches(observations: pl.DataFrame, month: date) -> pl.DataFrame:
    """Stretches of a month (its first day): one row for each comuna, company and start date, by `STRETCH_SCHEMA`."""
    if observations.is_empty():
        return no_stretches()
    value = pl.col("clientes_afectados")
    found = (
        observations.sort("hora")
        .group_by(KEY, maintain_order=True)
        .agg(
            primera_hora=pl.col("hora").first(),
            ultima_hora=pl.col("hora").last(),
            hora_maximo=first_of_maximum("hora", "clientes_afectados"),
            maximo=value.max(),
            cliente_horas=value.sum(),
            n_observaciones=pl.len(),
            imputaciones=pl.col("imputaciones").bitwise_or(),
        )
    )
    return as_stretches(found.with_columns(mes=pl.lit(month), forma=pl.lit(Shape.DETAILED.value)))


def events(tramos: pl.DataFrame) -> pl.DataFrame:
    """Events of keys by `MERGED_SCHEMA`, from all their stretches of any months, in any order."""
    merged = (
        tramos.sort("hora_maximo")
        .group_by(KEY)
        .agg(
            pl.col("forma").first(),
            pl.col("primera_hora").min(),
            pl.col("ultima_hora").max(),
            first_of_maximum("hora_maximo", "maximo"),
            pl.col("maximo").max(),
            pl.col("cliente_horas", "n_observaciones").sum(),
            pl.col("imputaciones").bitwise_or(),
        )
    )
    return conform(merged, MERGED_SCHEMA)
