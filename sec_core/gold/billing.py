"""CNE's monthly billing file: regulated customers by comuna, the counts that customers by comuna rest on.

One row for each month, comuna, kind of customer and tariff; the customers of a comuna are the sum over kind and tariff.
Published by the Comisión Nacional de Energía as "facturación de clientes regulados". What a file says is kept in
`facturacion_comunal`.
"""

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

import polars as pl
from loguru import logger
from rapidfuzz import process
from sqlalchemy import text

from sec_core.db.database import Database
from sec_core.errors import InputError
from sec_core.gold.sheets import decimal_mark, number, read_sheet
from sec_core.hours import Month
from sec_core.reference.tables import UNKNOWN_GEOGRAPHY, comunas, default_names, fold

HEADINGS: Final = {
    "anio": ("anio", "año", "anho"),
    "mes": ("mes",),
    "region": ("region", "región"),
    "comuna": ("comuna",),
    "clientes": ("clientes_facturados", "clientes facturados", "clientes"),
}
REQUIRED: Final = tuple(HEADINGS)
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


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is left out.

    Attributes:
        row: Its number in the file, counted from 1.
        reason: Why, with a suggestion where there is one.
    """

    row: int
    reason: str


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
    sheet = read_sheet(path, HEADINGS, REQUIRED, "billing file of the CNE")
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
    spellings = {fold(comuna.nombre): comuna.nombre_oficial for comuna in comunas()}
    near = process.extractOne(fold(name), spellings.keys(), score_cutoff=75)
    return f" Is {spellings[near[0]]} meant?" if near else ""
