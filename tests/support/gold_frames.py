"""Small frames as Gold reads them from Silver, for tests of what is computed from them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from sec_core.gold.frames import UTC_TIME, hour_calendar, source_hours
from sec_core.gold.universe import CUSTOMERS_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sec_core.hours import Month

PLACES = pl.DataFrame(
    {
        "id_geografia": [0, 7101, 7102, 11101],
        "codigo_comuna": ["", "07101", "07102", "11101"],
        "nombre_region": ["UNKNOWN", "MAULE", "MAULE", "AYSEN"],
    },
    schema_overrides={"id_geografia": pl.Int16},
)
"""Four places, one of which did not resolve."""

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


def make_hours(
    months: Iterable[Month], loaded: Iterable[datetime], suspect: Iterable[datetime] = (), now: datetime | None = None
) -> pl.DataFrame:
    """What `pattern` takes of a calendar: all hours from the first month to the last that have ended."""
    chosen = sorted(months)
    hours = source_hours(chosen[0].start, chosen[-1].start, now or datetime(2100, 1, 1, tzinfo=UTC))
    known, doubtful = (pl.Series(list(some), dtype=UTC_TIME).implode() for some in (loaded, suspect))
    return hours.with_columns(cargada=pl.col("hora").is_in(known), sospechosa=pl.col("hora").is_in(doubtful))


def make_customers(*rows: tuple[Any, ...]) -> pl.DataFrame:
    """`clientes_regionales` from (mes, codigo, region, clientes, estimados, periodo)."""
    return pl.DataFrame(rows, schema=CUSTOMERS_SCHEMA, orient="row")
