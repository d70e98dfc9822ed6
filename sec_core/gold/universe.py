"""The customer universe: which denominator belongs to a region and a month, and how old it is.

Indices divide by the estimate scaled to the national total where one is known (`clientes_estimados`), else by the
figure of the SEC itself (`clientes`). The cap of events is another matter and uses `clientes` alone (Silver).
"""

import polars as pl

from sec_core.reference.tables import COUNTRY_CODE
from sec_core.silver.columns import typed
from sec_core.silver.events import nearest_month

COUNTRY = "CHILE"

CUSTOMERS_SCHEMA = pl.Schema(typed("mes codigo_region nombre_region clientes clientes_estimados periodo_star"))


def denominators(customers: pl.DataFrame) -> pl.DataFrame:
    """The denominator of every month and region that has one, the whole country included.

    The country's is the SEC's national figure of the month; where that is unknown, the sum of the regions, provided
    that the month has all regions known to the table.

    Args:
        customers: `clientes_regionales` with names, see `CUSTOMERS_SCHEMA`.

    Returns:
        mes, nombre_region, universo (customers, at least 1), periodo_star; ordered by month and region.
    """
    figures = customers.with_columns(universo=pl.coalesce("clientes_estimados", "clientes")).filter(
        pl.col("universo") > 0
    )
    country = pl.lit(COUNTRY).alias("nombre_region")
    regions = figures.filter(pl.col("codigo_region") != COUNTRY_CODE)
    national = figures.filter(pl.col("codigo_region") == COUNTRY_CODE).with_columns(country)
    complete = (
        regions.group_by("mes")
        .agg(pl.col("universo").sum(), pl.col("periodo_star").min(), n=pl.col("codigo_region").n_unique())
        .filter(pl.col("n") == regions["codigo_region"].n_unique())
        .join(national, on="mes", how="anti")
        .with_columns(country)
    )
    columns = ["mes", "nombre_region", "universo", "periodo_star"]
    return pl.concat(each.select(columns) for each in (regions, national, complete)).sort("mes", "nombre_region")


def with_country(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of `serie`, a region, and once more as rows of the country; UNKNOWN belongs to it too."""
    return pl.concat([rows, rows.with_columns(serie=pl.lit(COUNTRY))])


def newest(customers: pl.DataFrame) -> pl.DataFrame:
    """Each region's newest denominator.

    Returns:
        nombre_region, universo, mes_denominador, periodo_star; one row a region.
    """
    latest = denominators(customers).sort("mes").group_by("nombre_region").last().sort("nombre_region")
    return latest.select("nombre_region", "universo", pl.col("mes").alias("mes_denominador"), "periodo_star")


def nearest(pairs: pl.DataFrame, customers: pl.DataFrame) -> pl.DataFrame:
    """The denominator nearest to each month; of two equally near, the earlier.

    Args:
        pairs: mes (Date), nombre_region, and any other columns.
        customers: see `CUSTOMERS_SCHEMA`.

    Returns:
        `pairs` in their order with universo (null where the region has no figure at all) and meses_denominador (how
        many months lie between).
    """
    figures = denominators(customers).select("mes", "nombre_region", "universo")
    found = nearest_month(pairs, figures, "nombre_region").select(
        "mes", "nombre_region", "universo", pl.col("meses_denominador").abs()
    )
    return pairs.join(found, on=["mes", "nombre_region"], how="left", maintain_order="left")
