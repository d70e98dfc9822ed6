"""Rule 4: a high-water mark is never above the customers of its region. Pure.

The figure is that of the month of `hora_maximo`, else that of the nearest month with one, the earlier on a tie;
without any figure, and for UNKNOWN places, nothing is capped. The reported mark stays in `clientes_afectados_crudo`.
"""

from functools import cache

import polars as pl

from sec_core.reference import tables
from sec_core.silver.columns import typed
from sec_core.silver.imputation import Imputacion
from sec_core.silver.timeline import chile_date

# What the cap needs of `clientes_regionales`.
UNIVERSE_SCHEMA = typed("mes codigo_region clientes")
# What the cap says of an event.
CAPPED = ("clientes_afectados", "imputaciones", "topado", "meses_denominador")


@cache
def regions() -> pl.DataFrame:
    """`id_geografia` and `codigo_region` of every comuna; UNKNOWN is not among them."""
    rows = [(comuna.id_geografia, comuna.codigo_region) for comuna in tables.comunas()]
    return pl.DataFrame(rows, schema={"id_geografia": pl.Int16, "codigo_region": pl.String}, orient="row")


def cap(events: pl.DataFrame, universe: pl.DataFrame) -> pl.DataFrame:
    """Cap events, which keep their order.

    Args:
        events: With `id_geografia`, `hora_maximo`, `clientes_afectados_crudo` and `imputaciones`.
        universe: By `UNIVERSE_SCHEMA`; a figure of 0 counts as none.

    Returns:
        The events with `clientes_afectados`, `topado`, the cap's bit in `imputaciones`, and `meses_denominador` (months
        from the figure's month to that of `hora_maximo`, null without a figure).
    """
    month = chile_date(pl.col("hora_maximo")).dt.month_start()
    peaks = events.join(regions(), on="id_geografia", how="left", maintain_order="left").with_columns(mes=month)
    figures = universe.filter(pl.col("clientes") > 0).select("codigo_region", "mes", limite="clientes")
    nearest = nearest_month(peaks.select("codigo_region", "mes"), figures, "codigo_region").select(
        "codigo_region", "mes", "limite", pl.col("meses_denominador").cast(pl.Int16)
    )
    reported = pl.col("clientes_afectados_crudo")
    bit = pl.lit(int(Imputacion.TOPE), pl.Int16)
    return (
        peaks.drop("meses_denominador", strict=False)
        .join(nearest, on=["codigo_region", "mes"], how="left", maintain_order="left")
        .with_columns(
            clientes_afectados=pl.min_horizontal(reported, "limite"),
            topado=(reported > pl.col("limite")).fill_null(value=False),
        )
        .with_columns(
            imputaciones=(pl.col("imputaciones") & ~bit) | pl.when("topado").then(bit).otherwise(pl.lit(0, pl.Int16))
        )
        .drop("codigo_region", "mes", "limite")
    )


def nearest_month(wanted: pl.DataFrame, figures: pl.DataFrame, by: str) -> pl.DataFrame:
    """For each month the figure of the nearest month that has one; of two equally near, the earlier.

    Args:
        wanted: `mes` (first day) and the column `by`.
        figures: The same columns and others.
        by: What a figure belongs to: a region's code or name.

    Returns:
        The different pairs of `wanted` that have any figure, with the other columns of `figures`, `mes_figura`, and
        `meses_denominador`: months from the figure's to the wanted one, negative if the figure is later.
    """
    months = (pl.col("mes").dt.year() - pl.col("mes_figura").dt.year()) * 12 + (
        pl.col("mes").dt.month().cast(pl.Int32) - pl.col("mes_figura").dt.month().cast(pl.Int32)
    )
    return (
        wanted.select("mes", by)
        .unique()
        .join(figures.rename({"mes": "mes_figura"}), on=by)
        .with_columns(meses_denominador=months)
        .sort(pl.col("meses_denominador").abs(), "mes_figura")
        .unique(["mes", by], keep="first", maintain_order=True)
    )
