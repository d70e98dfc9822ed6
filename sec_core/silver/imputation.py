"""The imputation rules, in their order, and the bit of each. Nothing is dropped: a bad value is replaced and marked.

1. Customers null, empty, not a number or negative: 0.
2. Comuna that does not resolve: UNKNOWN. Company that does not: UNKNOWN.
3. Start date that can't be read, or lies after the observed hour: the observed hour's date in Chile.
4. High-water mark above the region's customers: capped there (see `cap`).

Rules 1 to 3 are of rows and make the bits of observations; rule 4 is of events. Which JSON values are a count of
customers (rule 1) says `sec_core.source.shapes.customer_count`.
"""

import re
from collections.abc import Mapping
from datetime import date
from enum import IntFlag

import polars as pl

from sec_core.source.shapes import MAX_CUSTOMERS


class Imputacion(IntFlag):
    """The bits of `imputaciones`. They are stored: never give a bit another meaning."""

    CLIENTES = 1
    GEOGRAFIA = 2
    EMPRESA = 4
    FECHA = 8
    TOPE = 16

    @property
    def regla(self) -> str:
        """The rule's name in `calidad_imputacion.regla`; column `filas_<regla>` of `cargas` counts that of rows."""
        return str(self.name).lower()


_DAY_MONTH_YEAR = re.compile(r"\s*([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})\s*", re.ASCII)


def start_date(year: int | None, month: int | None, day: int | None, text: str | None) -> date | None:
    """Start date of a detailed row, from `ANHO_INT`, `MES_INT`, `DIA_INT`.

    `FECHA_INT_STR`, `d/m/yyyy`, is read only when the three are no date. None when neither names a calendar date.
    """
    if year is not None and month is not None and day is not None:
        found = _calendar(year, month, day)
        if found is not None:
            return found
    match = _DAY_MONTH_YEAR.fullmatch(text) if text else None
    return _calendar(int(match[3]), int(match[2]), int(match[1])) if match else None


def _calendar(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except (ValueError, OverflowError):
        return None


def bad_customers(value: pl.Expr) -> pl.Expr:
    """Rule 1: whether a decoded count (null where it was no whole number) is to be replaced by 0."""
    return ~value.is_between(0, MAX_CUSTOMERS).fill_null(value=False)


def bad_start(fecha: pl.Expr, observed: pl.Expr) -> pl.Expr:
    """Rule 3: whether a start date is to be replaced by `observed`, the Chile date of the observed hour."""
    return (fecha > observed).fill_null(value=True)


def bits(flags: Mapping[Imputacion, pl.Expr]) -> pl.Expr:
    """The bits of the rules whose flag holds, as `imputaciones` has them."""
    return pl.sum_horizontal(flag.cast(pl.Int16) * int(rule) for rule, flag in flags.items()).cast(pl.Int16)
