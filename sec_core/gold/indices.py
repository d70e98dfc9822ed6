"""Reliability of regions and of the country by month, and indices by comuna and by year, from estimates. Pure.

Major event days follow the 2.5 beta method of IEEE 1366-2012, section 3.5 and annex B: a day is one if its SAIDI
exceeds exp(alpha + 2.5 beta), where alpha and beta are the mean and the standard deviation of the natural logarithms of
daily SAIDI over the five years before the reporting year. Days without any interruption don't enter. Where the five
years hold too little, the standard takes all that is available: the reporting year itself then joins. Only days that
were seen alike make a base: a threshold from days seen every sixth hour says nothing of hourly ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from sec_core.gold import estimates
from sec_core.gold.customers import COUNTRY, denominators, nearest, with_country
from sec_core.gold.panel import MINIMUM_COVERED, Method, Pattern
from sec_core.gold.payloads.basis import MINIMUM_COVERAGE
from sec_core.source.shapes import Shape

if TYPE_CHECKING:
    from sec_core.gold.frames import Names
    from sec_core.gold.monthly import Monthly

LABEL = "calculado con instantáneas horarias"
INSUFFICIENT = "Sin estimación: menos de la mitad de las horas con datos, o más de 120 horas seguidas sin ellos."
LOWER_BOUND = "SAIFI es un mínimo: con menos del 95% de las horas se pierden alzas, y no se calcula CAIDI."
NOT_ALIKE = (
    "Sin días de evento mayor: el año no se vio de una sola manera (forma y horas por día),"
    " o se vio menos de la mitad de las horas de cada día."
)
OTHER_BASE = "Sin días de evento mayor: los años anteriores se vieron de otra manera (forma u horas por día)."
SMALL_BASE = "Sin días de evento mayor: la base tiene menos de 10 días vistos de igual manera."
NOT_OBSERVED = "Las horas cargadas son sospechosas y no cuentan."

# Days with interruptions from which the years before suffice by themselves.
FULL_BASE_DAYS = 365

# Days with interruptions below which no threshold is computed at all.
LEAST_BASE_DAYS = 10

# Share of a year's observed hours in one form from which the year is of this form.
SAME_FORM = 0.95

# Difference of the observed share of the mean day up to which two years were seen alike.
SAME_SHARE = 0.1

# Observed share of the mean day below which no day is judged: days seen every sixth hour are too rough; they miss the
# number of hourly data by up to seven (docs/estimates.md).
LEAST_SHARE = 0.5

# Share of a year's days whose observed share must lie this near to the median day's, else the year is not one.
USUAL_DAYS, USUAL_SHARE = 0.9, 0.25

_KEY = ["mes", "serie"]


def reliability(
    monthly: Monthly, seen: Pattern, loads: pl.DataFrame, events: pl.DataFrame, customers: pl.DataFrame
) -> pl.DataFrame:
    """Every region with a denominator, and the country, in each month with a loaded hour.

    Args:
        monthly: What estimates are made of, all months.
        seen: What was seen when.
        loads: hora, mes, forma of loaded hours.
        events: mes (of the beginning), nombre_region, clientes_afectados.
        customers: see `customers.CUSTOMERS_SCHEMA`.

    Returns:
        The keys of `reliability`, by month and region, the country last.
    """
    figures = denominators(customers)
    pairs = seen.months.select("mes").join(figures.select("nombre_region").unique(), how="cross")
    served = nearest(pairs, figures, "nombre_region").rename({"nombre_region": "serie"})
    years = alike(seen.days, loads)
    table = (
        estimates.months(monthly.region_parts, seen)
        .join(served, on=_KEY)
        .join(_major(monthly, served, years), on=_KEY, how="left")
        .join(_high_water(events), on=_KEY, how="left")
        .join(monthly.standing, on=_KEY, how="left")
        .with_columns(
            pl.col("subidas", "subidas_med", "horas_med", "dias_med", "dias_base", "eventos", "quietas").fill_null(0),
            igual=pl.col("mes").dt.year().is_in(years["anho"].to_list()),
        )
        .sort("mes", pl.col("serie") == COUNTRY, "serie")
    )
    return _indices(table)


def _high_water(events: pl.DataFrame) -> pl.DataFrame:
    """High-water marks of a month's events, by region and for the country."""
    regions = events.group_by("mes", serie="nombre_region").agg(eventos=pl.col("clientes_afectados").sum())
    return (
        with_country(regions.with_columns(pl.col("serie").cast(pl.String))).group_by(_KEY).agg(pl.col("eventos").sum())
    )


def _major(monthly: Monthly, served: pl.DataFrame, years: pl.DataFrame) -> pl.DataFrame:
    """By month and region: rises, and what falls on major event days by the days' own estimates."""
    daily = (
        estimates.days(monthly.region_parts)
        .join(served.select(*_KEY, "universo"), on=_KEY)
        .with_columns(saidi=pl.col("cliente_horas") / pl.col("universo"), anho=pl.col("dia").dt.year())
    )
    judged = daily.join(thresholds(daily, years), on=["serie", "anho"], how="left").with_columns(
        mayor=(pl.col("saidi") > pl.col("umbral_med")).fill_null(value=False)
    )
    risen = monthly.rises.join(judged.select("serie", "dia", "mayor"), on=["serie", "dia"], how="left")
    by_month = risen.group_by(_KEY).agg(pl.col("subidas").sum(), subidas_med=pl.col("subidas").filter("mayor").sum())
    return (
        judged.group_by(_KEY)
        .agg(
            pl.col("umbral_med", "dias_base", "distinta").first(),
            dias_med=pl.col("mayor").sum().cast(pl.Int64),
            horas_med=pl.col("cliente_horas").filter("mayor").sum(),
        )
        .join(by_month, on=_KEY, how="full", coalesce=True)
    )


def alike(days: pl.DataFrame, loads: pl.DataFrame) -> pl.DataFrame:
    """Which years can be a base for which, by form and by how much of a day was seen.

    Args:
        days: dia, horas, observadas, interpoladas, see `panel.Pattern`.
        loads: hora, mes, forma of loaded hours.

    Returns:
        anho, base: pairs of years, each year with itself where it was seen in one way and often enough.
    """
    covered = (pl.col("observadas") + pl.col("interpoladas")) >= MINIMUM_COVERED * pl.col("horas")
    share = pl.col("observadas") / pl.col("horas")
    usual = (pl.col("visto") - pl.col("visto").median()).abs() <= USUAL_SHARE
    seen = (
        days.filter(covered)
        .select(anho=pl.col("dia").dt.year(), visto=share)
        .group_by("anho")
        .agg(pl.col("visto").mean(), parejo=usual.mean() >= USUAL_DAYS)
    )
    detailed = (pl.col("forma") == Shape.DETAILED.value).mean()
    forms = loads.group_by(anho=pl.col("mes").dt.year()).agg(detallada=detailed)
    one_form = (pl.col("detallada") >= SAME_FORM) | (pl.col("detallada") <= 1 - SAME_FORM)
    years = (
        seen.join(forms, on="anho").filter(pl.col("parejo") & one_form & (pl.col("visto") >= LEAST_SHARE)).sort("anho")
    )
    pairs = years.join(years, how="cross", suffix="_base").filter(
        ((pl.col("visto") - pl.col("visto_base")).abs() <= SAME_SHARE)
        & ((pl.col("detallada") >= 0.5) == (pl.col("detallada_base") >= 0.5))
    )
    return pairs.select("anho", base="anho_base")


def thresholds(daily: pl.DataFrame, alike: pl.DataFrame) -> pl.DataFrame:
    """The threshold of every region and reporting year.

    Args:
        daily: serie (region), dia (Date), saidi (hours per customer): one row for each region and day that is known.
        alike: anho, base: years whose days may be compared.

    Returns:
        serie, anho, umbral_med (hours per customer; null where the base is too small, or would be made of
        the reporting year alone although there are earlier ones), dias_base, distinta (whether the latter).
    """
    days = daily.lazy().select("serie", "saidi", anho=pl.col("dia").dt.year())
    usable = days.filter(pl.col("saidi") > 0).select("serie", "anho", ln=pl.col("saidi").log())
    pairs = days.select("serie", "anho").unique().join(usable, on="serie", how="left", suffix="_base")
    known = alike.lazy().with_columns(igual=True)
    key = ["serie", "anho"]
    same = pl.col("igual").fill_null(value=False)
    earlier = pl.col("anho_base").is_between(pl.col("anho") - 5, pl.col("anho") - 1)
    enough = (earlier & same).sum().over(key) >= FULL_BASE_DAYS
    base = pl.col("ln").filter("base")
    return (
        pairs.join(known, left_on=["anho", "anho_base"], right_on=["anho", "base"], how="left")
        .with_columns(basta=enough, base=same & (earlier | (~enough & (pl.col("anho_base") == pl.col("anho")))))
        .group_by(key)
        .agg(
            umbral_med=(base.mean() + 2.5 * base.std()).exp(),
            dias_base=pl.col("base").sum().cast(pl.Int64),
            distinta=(earlier & ~same & ~pl.col("basta")).any(),
        )
        .with_columns(
            umbral_med=pl.when((pl.col("dias_base") >= LEAST_BASE_DAYS) & ~pl.col("distinta")).then("umbral_med")
        )
        .sort(key)
        .collect()
    )


def positive(name: str) -> pl.Expr:
    """A column as a divisor: null where it is 0."""
    return pl.when(pl.col(name) > 0).then(name)


def saidi(customers: pl.Expr) -> list[pl.Expr]:
    """saidi, saidi_inf and saidi_sup from cliente_horas and its bounds."""
    hours = {f"saidi{bound}": pl.col(f"cliente_horas{bound}") for bound in ("", "_inf", "_sup")}
    return [(value / customers).round(8).alias(name) for name, value in hours.items()]


def _indices(table: pl.DataFrame) -> pl.DataFrame:
    served = pl.col("universo")
    seen = pl.col("observadas") > 0
    covered = pl.col("cobertura") >= MINIMUM_COVERAGE
    quiet = (pl.col("cliente_horas") == 0).fill_null(value=False)
    estimated = pl.col("metodo") != Method.INSUFFICIENT.value
    judged = estimated & (quiet | pl.col("umbral_med").is_not_null())
    calm_hours = pl.max_horizontal(pl.col("cliente_horas") - pl.col("horas_med"), 0.0)
    calm_rises = pl.col("subidas") - pl.col("subidas_med")
    unlike = pl.when(~pl.col("igual")).then(pl.lit(NOT_ALIKE)).when("distinta").then(pl.lit(OTHER_BASE))
    notes = [
        pl.when(~seen).then(pl.lit(NOT_OBSERVED)),
        pl.when(~estimated).then(pl.lit(INSUFFICIENT)),
        pl.when(~covered).then(pl.lit(LOWER_BOUND)),
        pl.when(estimated & ~judged).then(unlike.otherwise(pl.lit(SMALL_BASE))),
    ]
    note = pl.concat_str(notes, separator=" ", ignore_nulls=True)
    return table.select(
        "mes",
        pl.col("serie").alias("nombre_region"),
        served.cast(pl.Int64).alias("clientes"),
        "meses_denominador",
        "metodo",
        *saidi(served),
        saidi_observado=pl.when(seen).then(pl.col("cliente_horas_observadas") / served).round(8),
        saifi=pl.when(seen).then(pl.col("subidas") / served).round(8),
        saifi_eventos=(pl.col("eventos") / served).round(8),
        caidi=pl.when(covered).then(pl.col("cliente_horas") / positive("subidas")).round(8),
        saidi_sin_med=pl.when(judged).then(calm_hours / served).round(8),
        saifi_sin_med=pl.when(judged & covered).then(calm_rises / served).round(8),
        caidi_sin_med=pl.when(judged & covered & (calm_rises > 0)).then(calm_hours / calm_rises).round(8),
        dias_med=pl.when(judged).then(pl.col("dias_med")),
        umbral_med=pl.col("umbral_med").round(8),
        dias_base=pl.col("dias_base"),
        punta=pl.when(seen).then(pl.col("clientes_punta") / served).round(8),
        cobertura=pl.col("cobertura").round(6),
        interpolada=pl.col("interpolada").round(6),
        cubierto=covered,
        estancado=(pl.col("quietas") / positive("cliente_horas_observadas")).round(6),
        nota=pl.when(note != "").then(note),
        etiqueta=pl.lit(LABEL),
    )


@dataclass(frozen=True, slots=True)
class Indices:
    """All indices.

    Attributes:
        reliability: see `reliability`.
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
        customers: see `customers.CUSTOMERS_SCHEMA`.
        by_comuna: see `customers.COMUNA_CUSTOMERS_SCHEMA`.
        names: The dimensions.
    """
    figures = reliability(monthly, seen, loads, events, customers)
    regions = names.places.select("nombre_region", "codigo_region").unique()
    regional = (
        _customer_hours(monthly.region_parts, seen, "nombre_region")
        .join(regions, on="nombre_region", how="left")
        .join(figures.drop("metodo", "cobertura", "interpolada"), on=["mes", "nombre_region"], how="left")
        .sort("mes", pl.col("nombre_region") == COUNTRY, "nombre_region")
    )
    months = _customer_hours(monthly.comuna_parts, seen, "codigo_comuna")
    places = names.places.select("codigo_comuna", "nombre_comuna", "codigo_region", "nombre_region")
    comunal = (
        nearest(months.join(places, on="codigo_comuna", how="left"), by_comuna, "codigo_comuna")
        .with_columns(*saidi(positive("clientes")))
        .sort("mes", "codigo_comuna")
    )
    return Indices(figures, regional, comunal)


def _customer_hours(parts: pl.DataFrame, seen: Pattern, name: str) -> pl.DataFrame:
    months = estimates.months(parts, seen).rename({"serie": name}).drop("horas", "observadas", "interpoladas")
    rounded = pl.col("cliente_horas", "cliente_horas_inf", "cliente_horas_sup").round(3)
    return months.with_columns(rounded, pl.col("cobertura", "interpolada").round(6))


def year_indices(years: pl.DataFrame, months: pl.DataFrame, key: str) -> pl.DataFrame:
    """Indices by year, over the mean of the months' customers.

    Args:
        years: `estimates.years`, whose `serie` becomes `key`; series that `months` lacks are left out.
        months: mes, `key`, clientes.
        key: nombre_region or codigo_comuna.

    Returns:
        The columns of `years`, clientes, saidi, saidi_inf, saidi_sup, punta (share of customers out in one hour).
    """
    anho = pl.col("mes").dt.year().alias("anho")
    mean, served = months.group_by(key, anho).agg(pl.col("clientes").mean()), positive("clientes")
    return (
        years.rename({"serie": key})
        .join(mean, on=[key, "anho"])
        .with_columns(
            *saidi(served),
            punta=pl.when(pl.col("observadas") > 0).then(pl.col("clientes_punta") / served),
            clientes=served.round().cast(pl.Int64),
        )
    )
