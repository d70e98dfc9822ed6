"""The customers that figures are divided by: of regions, and of comunas, which the source does not have.

*Regions.* Indices divide by the estimate scaled to the national total where one is known (`clientes_estimados`), else
by the figure of the SEC itself (`clientes`). The cap of events is another matter and uses `clientes` alone (Silver).

*Comunas.* An estimate, by one method for all comunas of a region and year, scaled so that they sum to the region's
denominator:

- `facturacion`: the counts of CNE's billing file nearest to the month within its year. They are of regulated customers.
- `viviendas`, where no file says: the comuna's share of the region's counted dwellings (INE, Censo 2024, CC BY 4.0;
  all dwellings and not only those lived in: holiday homes have meters too).

*Billing files*, "facturación de clientes regulados" of the Comisión Nacional de Energía, have one row for each month,
comuna, kind of customer and tariff; the customers of a comuna are the sum over kind and tariff. What a file says is
kept in `facturacion_comunal`.
"""

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

import polars as pl
from loguru import logger
from sqlalchemy import text

from sec_core.db.database import Database
from sec_core.errors import InputError
from sec_core.gold.sheets import BadRow, decimal_mark, number, read_sheet
from sec_core.hours import Month
from sec_core.reference.tables import COUNTRY_CODE, UNKNOWN_GEOGRAPHY, comunas, default_names, fold, read_rows
from sec_core.silver.columns import typed
from sec_core.silver.events import nearest_month

COUNTRY = "CHILE"
CUSTOMERS_SCHEMA = pl.Schema(typed("mes codigo_region nombre_region clientes clientes_estimados periodo_star"))

# What `clientes_comunales` is to hold; in the database the last two are `metodo` and `fuente`.
COMUNA_CUSTOMERS_SCHEMA: Final = pl.Schema(
    {"mes": pl.Date, "codigo_comuna": pl.String, "clientes": pl.Int64}
    | dict.fromkeys(("metodo_clientes", "fuente_clientes"), pl.String)
)

# A file counts for a region and year if its comunas hold so much of the region's dwellings.
COUNTED_SHARE: Final = 0.95

CENSUS: Final = "INE, Censo 2024, viviendas censadas (CC BY 4.0)"

# Our name of a billing file's column to its headings.
BILLING_HEADINGS: Final = {
    "anio": ("anio", "año", "anho"),
    "mes": ("mes",),
    "region": ("region", "región"),
    "comuna": ("comuna",),
    "clientes": ("clientes_facturados", "clientes facturados", "clientes"),
}
FIRST_YEAR: Final = 2010
# More than the whole country has: no comuna.
LARGEST_COUNT: Final = 10_000_000
# Bad rows that are listed one by one.
MOST_LISTED: Final = 100

BILLING_SCHEMA: Final = {"mes": pl.Date, "codigo_comuna": pl.String, "clientes": pl.Int64}
_REGIONS = text(
    "DELETE FROM facturacion_comunal WHERE mes = :mes AND left(codigo_comuna, 2) = :region"
    " AND codigo_comuna <> ALL(:codigos)"
)
_FIGURES = text(
    "INSERT INTO facturacion_comunal AS f VALUES (:mes, :codigo_comuna, :clientes, :archivo, :ahora)"
    " ON CONFLICT (mes, codigo_comuna) DO UPDATE SET clientes = excluded.clientes, archivo = excluded.archivo,"
    " importado_en = excluded.importado_en WHERE (f.clientes, f.archivo) <> (excluded.clientes, excluded.archivo)"
)


def denominators(customers: pl.DataFrame) -> pl.DataFrame:
    """The denominator of every month and region that has one, the whole country included.

    The country's is the SEC's national figure of the month; where that is unknown, the sum of the regions, provided
    that the month has all regions known to the table.

    Args:
        customers: `clientes_regionales` with names, see `CUSTOMERS_SCHEMA`.

    Returns:
        mes, nombre_region, universo (customers, at least 1), periodo_star; ordered by month and region.
    """
    country, national = pl.lit(COUNTRY), pl.col("codigo_region") == COUNTRY_CODE
    figures = customers.with_columns(
        universo=pl.coalesce("clientes_estimados", "clientes"),
        nombre_region=pl.when(national).then(country).otherwise("nombre_region"),
    ).filter(pl.col("universo") > 0)
    regions = figures.filter(~national)
    sums = (
        regions.group_by("mes", nombre_region=country)
        .agg(pl.col("universo").sum(), pl.col("periodo_star").min(), n=pl.col("codigo_region").n_unique())
        .filter(pl.col("n") == regions["codigo_region"].n_unique())
        .join(figures.filter(national), on="mes", how="anti")
    )
    columns = ["mes", "nombre_region", "universo", "periodo_star"]
    return pl.concat([figures.select(columns), sums.select(columns)]).sort("mes", "nombre_region")


def with_country(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of `serie`, a region, and once more as rows of the country; UNKNOWN belongs to it too."""
    return pl.concat([rows, rows.with_columns(serie=pl.lit(COUNTRY))])


def newest(customers: pl.DataFrame) -> pl.DataFrame:
    """Each region's newest denominator, by name: the columns of `denominators`, of which mes is that of the figure."""
    return denominators(customers).sort("mes").group_by("nombre_region").last().sort("nombre_region")


def nearest(pairs: pl.DataFrame, figures: pl.DataFrame, place: str) -> pl.DataFrame:
    """The figures nearest to each month; of two equally near, the earlier.

    Args:
        pairs: mes (Date), `place`, and any other columns.
        figures: `denominators` of regions, or `comuna_customers`.
        place: nombre_region or codigo_comuna.

    Returns:
        `pairs` in their order with the columns of `figures` (null where the place has no figure at all) and
        meses_denominador (how many months lie between).
    """
    found = nearest_month(pairs, figures, place).drop("mes_figura")
    joined = pairs.join(found, on=["mes", place], how="left", maintain_order="left")
    return joined.with_columns(pl.col("meses_denominador").abs())


def dwellings() -> pl.DataFrame:
    """Counted dwellings: codigo_comuna, codigo_region, nombre_region, viviendas; all 346 comunas in order."""
    counted = pl.DataFrame(read_rows("viviendas.csv")).select(
        codigo_comuna="codigo", viviendas=pl.col("viviendas_censadas").cast(pl.Int64)
    )
    named = pl.DataFrame(comunas()).select("codigo_region", "nombre_region", codigo_comuna="codigo")
    return named.join(counted, on="codigo_comuna", validate="1:1", maintain_order="left")


def comuna_customers(regional: pl.DataFrame, billing: pl.DataFrame) -> pl.DataFrame:
    """Customers of each comuna in each month for which its region has a denominator.

    Args:
        regional: `clientes_regionales` with names, see `CUSTOMERS_SCHEMA`.
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
        metodo_clientes=pl.when(billed).then(pl.lit("facturacion")).otherwise(pl.lit("viviendas")),
        fuente_clientes=pl.when(billed).then("fuente").otherwise(pl.lit(CENSUS)),
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
        .cast(COMUNA_CUSTOMERS_SCHEMA)
    )


def _nearest_billing(months: pl.DataFrame, billing: pl.DataFrame) -> pl.DataFrame:
    """For each month the file month of its year that is nearest, the earlier of two: mes, codigo_comuna, facturados."""
    year = pl.col("mes").dt.year().alias("anho")
    chosen = nearest_month(months.with_columns(year), billing.select("mes", year).unique(), "anho")
    files = billing.select("codigo_comuna", "fuente", mes_figura="mes", facturados="clientes")
    return chosen.join(files, on="mes_figura").select("mes", "codigo_comuna", "facturados", "fuente")


@dataclass(frozen=True, slots=True)
class Billing:
    """What a file holds.

    Attributes:
        customers: `BILLING_SCHEMA`, one row for each month and comuna, in order.
        rows: Rows of the file that count in it.
        rejected: Rows that can't be used; none is guessed at. Where one lacks its count, its comuna has no figure for
            that month.
    """

    customers: pl.DataFrame
    rows: int
    rejected: tuple[BadRow, ...]


def read_billing(path: Path, this_month: date) -> Billing:
    """Read a billing file.

    Args:
        path: CSV with `;`, or a workbook; columns anio, mes, region, comuna, clientes_facturados, others are not read.
        this_month: First day of the present month in Chile; later months are refused.

    Raises:
        InputError: The file can't be read, or no row of it can be used.
    """
    sheet = read_sheet(path, BILLING_HEADINGS, tuple(BILLING_HEADINGS), "billing file of the CNE")
    mark = decimal_mark([row["clientes"] for row in sheet.rows], sheet.decimal)
    found: list[tuple[date, str, int | None]] = []
    rejected: list[BadRow] = []
    for at, row in sheet.numbered():
        cell, reason = _row(row, mark, this_month)
        found += [cell] if cell else []
        rejected += [BadRow(at, reason)] if reason else []
    # Without a row's count its comuna's sum would be too small.
    known = pl.col("clientes").is_not_null().all().over("mes", "codigo_comuna")
    good = pl.DataFrame(found, schema=BILLING_SCHEMA, orient="row").filter(known)
    if good.is_empty():
        raise InputError(
            f"No row of {path.name} can be used.",
            next_step=f"Row {rejected[0].row}: {rejected[0].reason}" if rejected else "The file has no rows.",
        )
    customers = good.group_by("mes", "codigo_comuna").agg(pl.col("clientes").sum()).sort("mes", "codigo_comuna")
    return Billing(customers, good.height, tuple(rejected))


def billing_months(customers: pl.DataFrame) -> pl.DataFrame:
    """A file's months as a person reads them: mes (`YYYY-MM`), comunas, clientes."""
    months = customers.group_by(mes=pl.col("mes").dt.strftime("%Y-%m"))
    return months.agg(pl.len().alias("comunas"), pl.col("clientes").sum()).sort("mes")


def load_billing(database: Database, path: Path, now: datetime) -> Billing:
    """Take a billing file in: for its months it replaces what is held of the regions that it names.

    Raises:
        InputError: see `read_billing`; the table stays as it was.
    """
    found = read_billing(path, Month.of(now).first_day)
    figures = [{**row, "archivo": path.name, "ahora": now} for row in found.customers.to_dicts()]
    regions = found.customers.group_by("mes", region=pl.col("codigo_comuna").str.head(2)).agg(codigos="codigo_comuna")
    with database.engine.begin() as connection:
        connection.execute(_REGIONS, regions.to_dicts())
        connection.execute(_FIGURES, figures)
    for bad in found.rejected[:MOST_LISTED]:
        logger.bind(stage="customers", code="rejected_row").warning("{}: {bad}", path.name, bad=bad)
    return found


def _row(row: dict[str, str], mark: str, this_month: date) -> tuple[tuple[date, str, int | None] | None, str]:
    """The month, comuna and customers of a row as far as it has them, and what is wrong with it."""
    year, month, count = (number(row[name], decimal=mark) for name in ("anio", "mes", "clientes"))
    if year is None or month is None or not (year.is_integer() and month in range(1, 13)):
        return None, f"Its month {row['anio']}-{row['mes']} is none."
    if not FIRST_YEAR <= year <= this_month.year or date(int(year), int(month), 1) > this_month:
        return None, f"Its month {int(year)}-{int(month):02d} is before {FIRST_YEAR} or yet to come."
    place = default_names().id_geografia(row["region"], row["comuna"])
    if place == UNKNOWN_GEOGRAPHY:
        return None, f"Its comuna {row['comuna'][:60]!r} is not known.{_suggestion(row['comuna'])}"
    cell = date(int(year), int(month), 1), f"{place:05d}"
    if count is not None and count.is_integer() and 0 <= count <= LARGEST_COUNT:
        return (*cell, int(count)), ""
    why = f"Its count {row['clientes'][:40]!r} is no number of customers."
    return (*cell, None), f"{why} Its comuna has no figure for that month."


def _suggestion(name: str) -> str:
    from rapidfuzz import process  # noqa: PLC0415 - only a misspelt comuna needs it

    spellings = {fold(comuna.nombre): comuna.nombre_oficial for comuna in comunas()}
    near = process.extractOne(fold(name), spellings.keys(), score_cutoff=75)
    return f" Is {spellings[near[0]]} meant?" if near else ""
