"""Customers by comuna: an estimate, since the source has none.

One method for all comunas of a region and year, scaled so that they sum to the region's denominator:

- `facturacion`: the counts of CNE's billing file nearest to the month within its year. They are of regulated customers.
- `viviendas`, where no file says: the comuna's share of the region's counted dwellings (INE, Censo 2024, CC BY 4.0;
  all dwellings and not only those lived in: holiday homes have meters too).
"""

from typing import Final

import polars as pl

from sec_core.gold.universe import COUNTRY, denominators
from sec_core.reference.tables import comunas, read_rows

# Columns of `clientes_comunales`.
COMUNA_CUSTOMERS_SCHEMA: Final = {
    "mes": pl.Date,
    "codigo_comuna": pl.String,
    "clientes": pl.Int64,
    "metodo": pl.String,
    "fuente": pl.String,
}

# A file counts for a region and year if its comunas hold so much of the region's dwellings.
COUNTED_SHARE: Final = 0.95

CENSUS: Final = "INE, Censo 2024, viviendas censadas (CC BY 4.0)"


def dwellings() -> pl.DataFrame:
    """Counted dwellings: codigo_comuna, codigo_region, nombre_region, viviendas; all 346 comunas in order."""
    counted = pl.DataFrame(read_rows("viviendas.csv")).select(
        codigo_comuna="codigo", viviendas=pl.col("viviendas_censadas").cast(pl.Int64)
    )
    places = [(comuna.codigo, comuna.codigo_region, comuna.nombre_region) for comuna in comunas()]
    named = pl.DataFrame(places, schema=["codigo_comuna", "codigo_region", "nombre_region"], orient="row")
    return named.join(counted, on="codigo_comuna", validate="1:1", maintain_order="left")


def comuna_customers(regional: pl.DataFrame, billing: pl.DataFrame) -> pl.DataFrame:
    """Customers of each comuna in each month for which its region has a denominator.

    Args:
        regional: `clientes_regionales` with names, see `universe.CUSTOMERS_SCHEMA`.
        billing: mes (Date), codigo_comuna, clientes, fuente: what billing files hold, all months.

    Returns:
        `COMUNA_CUSTOMERS_SCHEMA`, ordered by month and comuna; the comunas of a region sum to its denominator. A
        comuna that the region's file does not list has no row.
    """
    months = denominators(regional).filter(pl.col("nombre_region") != COUNTRY)
    grid = months.select("mes", "nombre_region", "universo").join(dwellings(), on="nombre_region")
    counted = _nearest_billing(grid.select("mes").unique(), billing)
    group = ["mes", "nombre_region"]
    covered = pl.col("viviendas").filter(pl.col("facturados").is_not_null()).sum() / pl.col("viviendas").sum()
    both = grid.join(counted, on=["mes", "codigo_comuna"], how="left").with_columns(cubierto=covered.over(group))
    billed = (pl.col("cubierto") >= COUNTED_SHARE).all().over(pl.col("mes").dt.year(), "nombre_region")
    weighted = both.with_columns(
        peso=pl.when(billed).then("facturados").otherwise("viviendas"),
        metodo=pl.when(billed).then(pl.lit("facturacion")).otherwise(pl.lit("viviendas")),
        fuente=pl.when(billed).then("fuente").otherwise(pl.lit(CENSUS)),
    ).filter(pl.col("peso").is_not_null(), pl.col("peso").sum().over(group) > 0)
    exact = pl.col("universo") * pl.col("peso") / pl.col("peso").sum().over(group)
    # Largest remainders: the comunas sum to the region to the customer.
    missing = pl.col("universo") - pl.col("clientes").sum().over(group)
    place = pl.col("resto").rank("ordinal", descending=True).over(group)
    return (
        weighted.sort("mes", "codigo_comuna")
        .with_columns(clientes=exact.floor().cast(pl.Int64), resto=exact - exact.floor())
        .with_columns(clientes=pl.col("clientes") + (place <= missing).cast(pl.Int64))
        .select(*COMUNA_CUSTOMERS_SCHEMA)
        .cast(pl.Schema(COMUNA_CUSTOMERS_SCHEMA))
    )


def _nearest_billing(months: pl.DataFrame, billing: pl.DataFrame) -> pl.DataFrame:
    """For each month the file month of its year that is nearest, the earlier of two: mes, codigo_comuna, facturados."""
    files = billing.select(archivo="mes").unique()
    month, own = pl.col("mes").dt, pl.col("archivo").dt
    nearest = (
        months.join(files, how="cross")
        .filter(month.year() == own.year())
        .sort("mes", (month.month() - own.month()).abs(), "archivo")
        .unique("mes", keep="first", maintain_order=True)
    )
    return nearest.join(billing.rename({"mes": "archivo", "clientes": "facturados"}), on="archivo").select(
        "mes", "codigo_comuna", "facturados", "fuente"
    )
