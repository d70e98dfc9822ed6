"""Estimates of all months as the payloads and files of indices hold them: by region, by comuna, by year. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from sec_core.gold import estimates, indices
from sec_core.gold.estimated_hours import Pattern
from sec_core.gold.frames import Names
from sec_core.gold.universe import COUNTRY, nearest
from sec_core.silver.events import nearest_month

if TYPE_CHECKING:
    from sec_core.gold.monthly import Monthly

_SERVED = pl.when(pl.col("clientes") > 0).then(pl.col("clientes"))
# What `parcial` of the official figures says to the last month of the year that they hold.
PERIODS = {"": 12, "enero a noviembre": 11}


@dataclass(frozen=True, slots=True)
class Indices:
    """All indices.

    Attributes:
        reliability: see `indices.reliability`.
        regional: `indices_regionales.parquet`: UNKNOWN too, whose customers are not known, so that customer-hours of
            the regions sum to the country's where every hour is loaded.
        comunal: `indices_comunales.parquet`.
    """

    reliability: pl.DataFrame
    regional: pl.DataFrame
    comunal: pl.DataFrame


def make_indices(
    monthly: Monthly,
    seen: Pattern,
    loads: pl.DataFrame,
    events: pl.DataFrame,
    customers: pl.DataFrame,
    by_comuna: pl.DataFrame,
    names: Names,
) -> Indices:
    """All indices by month.

    Args:
        monthly: What estimates are made of.
        seen: What was seen when.
        loads: hora, mes, forma of loaded hours.
        events: mes, nombre_region, clientes_afectados.
        customers: see `universe.CUSTOMERS_SCHEMA`.
        by_comuna: see `comuna_customers.COMUNA_CUSTOMERS_SCHEMA`.
        names: The dimensions.
    """
    figures = indices.reliability(monthly, seen, loads, events, customers)
    return Indices(figures, _regional(monthly, seen, figures, names), _comunal(monthly, seen, by_comuna, names))


def _regional(monthly: Monthly, seen: Pattern, figures: pl.DataFrame, names: Names) -> pl.DataFrame:
    regions = names.places.select("nombre_region", "codigo_region").unique()
    return (
        _customer_hours(monthly.region_parts, seen, "nombre_region")
        .join(regions, on="nombre_region", how="left")
        .join(figures.drop("metodo", "cobertura", "interpolada"), on=["mes", "nombre_region"], how="left")
        .sort("mes", pl.col("nombre_region") == COUNTRY, "nombre_region")
    )


def _comunal(monthly: Monthly, seen: Pattern, by_comuna: pl.DataFrame, names: Names) -> pl.DataFrame:
    known = by_comuna.rename({"metodo": "metodo_clientes", "fuente": "fuente_clientes"})
    months = _customer_hours(monthly.comuna_parts, seen, "codigo_comuna")
    served = nearest_month(months, known, "codigo_comuna").drop("mes_figura")
    places = names.places.select("codigo_comuna", "nombre_comuna", "codigo_region", "nombre_region")
    return (
        months.join(places, on="codigo_comuna", how="left")
        .join(served, on=["mes", "codigo_comuna"], how="left")
        .with_columns(
            pl.col("meses_denominador").abs(),
            *indices.saidi(_SERVED, "cliente_horas_inf", "cliente_horas_sup"),
        )
        .sort("mes", "codigo_comuna")
    )


def _customer_hours(parts: pl.DataFrame, seen: Pattern, name: str) -> pl.DataFrame:
    return estimates.months(parts, seen).select(
        "mes",
        pl.col("serie").alias(name),
        "metodo",
        pl.col("cliente_horas").round(3),
        pl.col("inferior").round(3).alias("cliente_horas_inf"),
        pl.col("superior").round(3).alias("cliente_horas_sup"),
        pl.col("observado").alias("cliente_horas_observadas"),
        pl.col("punta").alias("clientes_punta"),
        cobertura=(pl.col("observadas") / pl.col("horas")).round(6),
        interpolada=(pl.col("interpoladas") / pl.col("horas")).round(6),
    )


def year_indices(years: pl.DataFrame, months: pl.DataFrame, key: str) -> pl.DataFrame:
    """Indices by year, over the mean of the months' customers.

    Args:
        years: `estimates.years`, whose `serie` becomes `key`; series that `months` lacks are left out.
        months: mes, `key`, clientes.
        key: nombre_region or codigo_comuna.

    Returns:
        The columns of `years`, clientes, saidi, saidi_inf, saidi_sup, cobertura, interpolada; punta is a share.
    """
    anho = pl.col("mes").dt.year().alias("anho")
    served = months.group_by(key, anho).agg(pl.col("clientes").mean())
    return (
        years.rename({"serie": key})
        .join(served, on=[key, "anho"])
        .with_columns(
            *indices.saidi(_SERVED),
            cobertura=pl.col("observadas") / pl.col("horas"),
            interpolada=pl.col("interpoladas") / pl.col("horas"),
            punta=pl.when(pl.col("observadas") > 0).then(pl.col("punta") / _SERVED),
            clientes=_SERVED.round().cast(pl.Int64),
        )
    )


def official_comparison(
    official: pl.DataFrame, monthly: Monthly, seen: Pattern, customers: pl.DataFrame
) -> pl.DataFrame:
    """The SEC's official SAIDI beside the estimate of the same months. Nothing is fitted to it.

    Args:
        official: anho, nombre_region, saidi_oficial (hours), parcial (empty, or the months it holds), verificado,
            fuente.
        monthly: What estimates are made of.
        seen: What was seen when.
        customers: see `universe.CUSTOMERS_SCHEMA`.

    Returns:
        `official` with saidi, saidi_inf, saidi_sup (null without an estimate of all its months), razon (saidi over
        saidi_oficial), cobertura (null where nothing of the year is expected); in the order of `official`.
    """
    key = ["anho", "nombre_region"]
    found = []
    for text, last in PERIODS.items():
        within = pl.col("mes").dt.month() <= last
        period = Pattern(*(frame.filter(within) for frame in (seen.hours, seen.weights, seen.days, seen.months)))
        own = estimates.years(monthly.region_parts.filter(within), period)
        grid = own.select("anho", nombre_region="serie").join(pl.DataFrame({"m": range(1, last + 1)}), how="cross")
        served = nearest(grid.with_columns(mes=pl.date("anho", "m", 1)), customers).rename({"universo": "clientes"})
        hours = period.hours.group_by(anho=pl.col("mes").dt.year()).agg(
            meses=pl.col("mes").n_unique(), cobertura=(pl.col("visto") == "observada").mean().round(6)
        )
        whole = year_indices(own, served, "nombre_region").join(hours.filter(meses=last), on="anho", how="semi")
        found.append(
            official.with_row_index("_fila")
            .filter(pl.col("parcial") == text)
            .join(whole.select(*key, "saidi", "saidi_inf", "saidi_sup"), on=key, how="left")
            .join(hours.drop("meses"), on="anho", how="left")
        )
    return (
        pl.concat(found)
        .sort("_fila")
        .with_columns(
            razon=(pl.col("saidi") / pl.col("saidi_oficial")).round(4),
            parcial=pl.when(pl.col("parcial") != "").then("parcial"),
        )
        .drop("_fila")
    )
