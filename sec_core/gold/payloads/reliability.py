"""`reliability`: SAIFI, SAIDI and CAIDI by region and month, raw and without major event days, from hourly snapshots.

A utility computes these from its own log of interruptions. Here they come from what an hourly snapshot shows: an
outage shorter than an hour can be missed, and an hour without data adds nothing. So each row carries the share of hours
that it rests on. After IEEE 1366, an interruption belongs wholly to the day and month in which it begins.
"""

from __future__ import annotations

from typing import Annotated

import polars as pl
from pydantic import Field

from sec_core.gold.major_days import thresholds
from sec_core.gold.model import Count, MonthStart, PayloadRow, Share
from sec_core.gold.payloads.coverage import MINIMUM_COVERAGE
from sec_core.gold.universe import COUNTRY, nearest
from sec_core.hours import CHILE

LABEL = "computed from hourly snapshots"
UNKNOWN = "UNKNOWN"

Index = Annotated[float, Field(ge=0)]


class ReliabilityRow(PayloadRow):
    """One region, or the country as `CHILE`, in one month."""

    mes: MonthStart
    """Month in which the interruptions begin, Chile wall clock."""
    nombre_region: str
    """Region or `CHILE`, which also counts places that did not resolve."""
    clientes: Count
    """Customers served: the denominator."""
    meses_denominador: Count
    """Months between this month and the denominator's."""
    saifi: Index
    """Interruptions per customer: sum of clientes_afectados over clientes."""
    saidi: Index
    """Hours per customer: sum of cliente_horas over clientes."""
    caidi: Index | None
    """Hours per interruption: saidi over saifi; null where nobody was affected."""
    saifi_sin_med: Index | None
    """The same without major event days; null where no threshold can be computed."""
    saidi_sin_med: Index | None
    """The same without major event days."""
    caidi_sin_med: Index | None
    """The same without major event days."""
    dias_med: Count | None
    """Major event days in the month."""
    umbral_med: Index | None
    """Daily SAIDI above which a day is one, hours per customer."""
    dias_base: Count
    """Days that the threshold rests on."""
    punta: Index | None
    """Highest share of customers out in one captured hour; null without captured hours. Above 1 where the
    denominator is older than the customers."""
    cobertura: Share | None
    """Share of the month's ended hours that are in Silver; null while none has ended."""
    cubierto: bool
    """Whether that share reaches 95%."""
    etiqueta: str
    """Where the figures come from."""


def reliability(
    events: pl.DataFrame, calendar: pl.DataFrame, region_hours: pl.DataFrame, customers: pl.DataFrame
) -> list[ReliabilityRow]:
    """Every region with a denominator, in every month with captured hours or events; by month, the country last.

    Args:
        events: id_tiempo, nombre_region, clientes_afectados, cliente_horas.
        calendar: see `sec_core.gold.frames.hour_calendar`.
        region_hours: mes, serie, clientes: customers out in each loaded hour.
        customers: see `universe.CUSTOMERS_SCHEMA`.
    """
    hours = calendar.with_columns(dia=pl.col("hora").dt.convert_time_zone(str(CHILE)).dt.date())
    daily = _daily(events, customers, hours)
    months = _months(daily)
    covered = hours.group_by("mes").agg(cobertura=pl.col("cargada").mean())
    grid = _grid(customers, covered.filter(pl.col("cobertura") > 0), months)
    table = (
        nearest(grid, customers)
        .join(months, on=["mes", "nombre_region"], how="left")
        .join(_peaks(region_hours), on=["mes", "nombre_region"], how="left")
        .join(covered, on="mes", how="left")
        .join(
            thresholds(daily).rename({"anho": "_anho"}),
            left_on=["nombre_region", pl.col("mes").dt.year()],
            right_on=["nombre_region", "_anho"],
            how="left",
        )
        .with_columns(pl.col("afectados", "horas", "afectados_med", "horas_med", "dias_med", "dias_base").fill_null(0))
        .sort("mes", pl.col("nombre_region") == COUNTRY, "nombre_region")
    )
    return [ReliabilityRow.model_validate(row) for row in _indices(table).to_dicts()]


def _daily(events: pl.DataFrame, customers: pl.DataFrame, hours: pl.DataFrame) -> pl.DataFrame:
    """Sums by region and day of beginning, with that day's SAIDI and whether it is a major event day."""
    stamp = pl.col("id_tiempo")
    by_region = (
        events.lazy()
        .group_by("nombre_region", "id_tiempo")
        .agg(afectados=pl.col("clientes_afectados").sum(), horas=pl.col("cliente_horas").sum())
        .with_columns(dia=pl.date(stamp // 1_000_000, stamp // 10_000 % 100, stamp // 100 % 100))
        .group_by("nombre_region", "dia")
        .agg(pl.col("afectados", "horas").sum())
        .with_columns(pl.col("nombre_region").cast(pl.String))
        .collect()
    )
    country = (
        by_region.group_by("dia").agg(pl.col("afectados", "horas").sum()).with_columns(nombre_region=pl.lit(COUNTRY))
    )
    columns = ["nombre_region", "dia", "afectados", "horas"]
    both = pl.concat([by_region.filter(pl.col("nombre_region") != UNKNOWN).select(columns), country.select(columns)])
    days = hours.group_by("dia").agg(cubierto=pl.col("cargada").any())
    daily = (
        nearest(both.with_columns(mes=pl.col("dia").dt.month_start()), customers)
        .filter(pl.col("universo").is_not_null())
        .join(days, on="dia", how="left")
        .with_columns(pl.col("cubierto").fill_null(value=False), saidi=pl.col("horas") / pl.col("universo"))
    )
    limits = thresholds(daily)
    return (
        daily.with_columns(anho=pl.col("dia").dt.year())
        .join(limits, on=["nombre_region", "anho"], how="left")
        .with_columns(mayor=pl.col("saidi") > pl.col("umbral_med"))
        .drop("umbral_med", "dias_base", "anho")
    )


def _months(daily: pl.DataFrame) -> pl.DataFrame:
    major = pl.col("mayor").fill_null(value=False)
    return daily.group_by("mes", "nombre_region").agg(
        pl.col("afectados", "horas").sum(),
        afectados_med=pl.col("afectados").filter(major).sum(),
        horas_med=pl.col("horas").filter(major).sum(),
        dias_med=major.sum().cast(pl.Int64),
    )


def _grid(customers: pl.DataFrame, covered: pl.DataFrame, months: pl.DataFrame) -> pl.DataFrame:
    """All pairs of month and region that get a row."""
    figures = customers.filter(pl.coalesce("clientes_estimados", "clientes") > 0)
    names = figures["nombre_region"].drop_nulls().unique().to_list()
    if not names and figures.is_empty():
        return pl.DataFrame(schema={"mes": pl.Date, "nombre_region": pl.String})
    regions = pl.DataFrame({"nombre_region": [*names, COUNTRY]})
    seen = covered.select("mes").join(regions, how="cross")
    return pl.concat([seen, months.select("mes", "nombre_region")]).unique()


def _peaks(region_hours: pl.DataFrame) -> pl.DataFrame:
    """Most customers out in one hour, by month of the hour."""
    return region_hours.group_by("mes", nombre_region="serie").agg(maximo=pl.col("clientes").max())


def _indices(table: pl.DataFrame) -> pl.DataFrame:
    served = pl.col("universo")
    quiet = (pl.col("afectados") == 0) & (pl.col("horas") == 0)
    known = quiet | pl.col("umbral_med").is_not_null()
    calm_affected, calm_hours = pl.col("afectados") - pl.col("afectados_med"), pl.col("horas") - pl.col("horas_med")
    peak = pl.when(pl.col("cobertura") > 0).then(pl.col("maximo").fill_null(0))
    return table.select(
        "mes",
        "nombre_region",
        served.alias("clientes"),
        "meses_denominador",
        saifi=(pl.col("afectados") / served).round(8),
        saidi=(pl.col("horas") / served).round(8),
        caidi=pl.when(pl.col("afectados") > 0).then(pl.col("horas") / pl.col("afectados")).round(8),
        saifi_sin_med=pl.when(known).then(calm_affected / served).round(8),
        saidi_sin_med=pl.when(known).then(calm_hours / served).round(8),
        caidi_sin_med=pl.when(known & (calm_affected > 0)).then(calm_hours / calm_affected).round(8),
        dias_med=pl.when(known).then(pl.col("dias_med")),
        umbral_med=pl.col("umbral_med").round(8),
        dias_base=pl.col("dias_base"),
        punta=(peak / served).round(8),
        cobertura=pl.col("cobertura").round(6),
        cubierto=(pl.col("cobertura") >= MINIMUM_COVERAGE).fill_null(value=False),
        etiqueta=pl.lit(LABEL),
    )
