"""Small frames as Gold reads them from Silver, for tests of what is computed from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from sec_core.gold.frames import UTC_TIME, hour_calendar
from sec_core.gold.universe import CUSTOMERS_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

LEDGER = pl.Schema(
    {
        "hora": UTC_TIME,
        "estado": pl.String(),
        "forma": pl.String(),
        "n_filas": pl.Int32(),
        "n_revisiones": pl.Int32(),
        "sospechosa": pl.Boolean(),
        "total_nacional": pl.Int64(),
        "diferencia_nacional": pl.Int64(),
    }
)


def make_ledger(*rows: tuple[datetime, str, str | None, int]) -> pl.DataFrame:
    """`capturas` from (hora, estado, forma, n_filas)."""
    return pl.DataFrame([(*row, 1, False, None, None) for row in rows], schema=LEDGER, orient="row")


def make_calendar(
    now: datetime, captured: Iterable[datetime], forma: str = "detailed", **others: Iterable[datetime]
) -> pl.DataFrame:
    """The calendar of hours that were captured and loaded, and of others by their state."""
    loaded = list(captured)
    rows: list[tuple[datetime, str, str | None, int]] = [(hour, "captured", forma, 1) for hour in loaded]
    rows += [(hour, state, None, 0) for state, hours in others.items() for hour in hours]
    return hour_calendar(make_ledger(*rows), pl.DataFrame({"hora": loaded}, schema={"hora": UTC_TIME}), now)


def make_customers(*rows: tuple[Any, ...]) -> pl.DataFrame:
    """`clientes_regionales` from (mes, codigo, region, clientes, estimados, periodo)."""
    return pl.DataFrame(rows, schema=CUSTOMERS_SCHEMA, orient="row")
