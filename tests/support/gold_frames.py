"""Small frames as Gold reads them from Silver, for tests of what is computed from them."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from sec_core.gold.customers import CUSTOMERS_SCHEMA
from sec_core.gold.frames import UTC_TIME, Names, hour_calendar, source_hours, with_month
from sec_core.gold.monthly import KINDS, Monthly, compute
from sec_core.gold.panel import Pattern
from sec_core.hours import Month
from sec_core.silver.observations import OBSERVATION_SCHEMA

# Four places, one of which did not resolve.
PLACES = pl.DataFrame(
    [
        (0, "", "UNKNOWN", "", "UNKNOWN"),
        (7101, "07101", "TALCA", "07", "MAULE"),
        (7102, "07102", "CONSTITUCION", "07", "MAULE"),
        (11101, "11101", "COIHAIQUE", "11", "AYSEN"),
    ],
    schema=["id_geografia", "codigo_comuna", "nombre_comuna", "codigo_region", "nombre_region"],
    schema_overrides={"id_geografia": pl.Int16},
    orient="row",
)
NAMES = Names(PLACES, pl.DataFrame({"id_empresa": [1], "nombre_empresa": ["NO INFORMADA"]}))

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


def make_observations(rows: Iterable[tuple[datetime, int, int, date | None, int]]) -> pl.DataFrame:
    """Observations from (hora, id_geografia, id_empresa, fecha_inicio, clientes_afectados)."""
    return pl.DataFrame([(*row, 1, 0) for row in rows], schema=OBSERVATION_SCHEMA, orient="row")


def make_loads(hours: Iterable[datetime], form: str = "detailed") -> pl.DataFrame:
    """hora, forma, mes of loaded hours."""
    frame = pl.DataFrame({"hora": list(hours)}, schema={"hora": UTC_TIME})
    return with_month(frame.with_columns(forma=pl.lit(form)))


def make_monthly(observations: pl.DataFrame, loads: pl.DataFrame, seen: Pattern) -> Monthly:
    """What estimates of all months with a loaded hour are made of."""
    months = [Month(day.year, day.month) for day in seen.months["mes"]]
    parts = with_month(observations).partition_by("mes", as_dict=True, include_key=False)
    made = compute(
        months, months, lambda month: parts.get((month.first_day,), observations.clear()), NAMES, loads, seen
    )
    whole = {kind: pl.concat(made[kind]).select(schema.names()).cast(schema) for kind, schema in KINDS.items()}
    return Monthly(**whole, computed=tuple(months))
