"""The payloads that are made from the panel of hours, not from events: a month has what its own hours hold.

`reliability`: SAIDI with its interval, SAIFI and CAIDI by region and month, with and without major event days.
`quality`: how far to trust these, part by part. `sensitivity`: what the threshold of aggregated events decides.
`reliability` is computed in `indices`, with the tables by region and comuna. What these rest on is in `panel`.
`official_comparison`: the official SAIDI, as the press quotes it, beside the estimate of the same months. The official
index leaves out cuts of 3 minutes or less, states force majeure apart, and comes from the companies' own reports. Its
distance is published whatever it is; nothing is fitted to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import polars as pl
from pydantic import Field

from sec_core.gold import estimates
from sec_core.gold.customers import COUNTRY, denominators, nearest
from sec_core.gold.indices import year_indices
from sec_core.gold.model import Count, MonthStart, PayloadRow, Share
from sec_core.gold.panel import Pattern
from sec_core.reference.tables import read_rows, regiones
from sec_core.silver.timeline import EventRules, chile_date, usable_hours

if TYPE_CHECKING:
    from sec_core.gold.monthly import Monthly

# Customers from which a comuna's hour belongs to an event, in `sensitivity`.
THRESHOLDS = (50, 100, 500, 1000)

# Months of age from which a denominator's age counts as 1 in `quality`.
OLDEST_DENOMINATOR = 120

# What `parcial` of the official figures says to the last month of the year that they hold.
PERIODS = {"": 12, "enero a noviembre": 11}

Index = Annotated[float, Field(ge=0)]


class ReliabilityRow(PayloadRow):
    """One region, or the country as `CHILE`, in one month with a loaded hour."""

    mes: MonthStart
    """Month, Chile wall clock."""
    nombre_region: str
    """Region or `CHILE`, which also counts places that did not resolve."""
    clientes: Count
    """Customers served: the denominator."""
    meses_denominador: Count
    """Months between this month and the denominator's."""
    metodo: Literal["medido", "estimado", "insuficiente"]
    """`medido`: every ended hour is loaded. `estimado`: half of them or more are loaded or lie between two loaded ones
    at most 12 hours apart, and at most 120 in a row are neither. `insuficiente`: less."""
    saidi: Index | None
    """Hours without supply per customer, estimated for all ended hours; null where metodo is insuficiente."""
    saidi_inf: Index | None
    """Lower bound of its 95% interval; equal to saidi where metodo is medido."""
    saidi_sup: Index | None
    """Upper bound of its 95% interval."""
    saidi_observado: Index | None
    """Hours without supply per customer in loaded hours alone."""
    saifi: Index | None
    """Customers newly out, as snapshots show them, per customer; a lower bound where cubierto is false."""
    saifi_eventos: Index
    """High-water marks of the events that begin in the month, per customer."""
    caidi: Index | None
    """Hours per interruption: saidi over saifi; null where saifi is a lower bound or 0."""
    saidi_sin_med: Index | None
    """saidi without major event days; null where no threshold can be computed (see nota)."""
    saifi_sin_med: Index | None
    """saifi without major event days; null where it is a lower bound."""
    caidi_sin_med: Index | None
    """caidi without major event days."""
    dias_med: Count | None
    """Major event days in the month."""
    umbral_med: Index | None
    """Estimated daily SAIDI above which a day is one, hours per customer."""
    dias_base: Count
    """Days that the threshold rests on: only those of years that were seen alike."""
    punta: Index | None
    """Highest share of customers out in one loaded hour. Above 1 where the denominator is older than the customers."""
    cobertura: Share
    """Share of the month's ended hours that are loaded and not suspect."""
    interpolada: Share
    """Share of the month's ended hours that are interpolated."""
    cubierto: bool
    """Whether cobertura reaches 95%."""
    estancado: Share | None
    """Share of the observed customer-hours from values that stood still for 168 hours or more."""
    nota: str | None
    """Why something is null or a bound."""
    etiqueta: str
    """Where the figures come from."""


class MonthQualityRow(PayloadRow):
    """One region, or the country as `CHILE`, in one month with a loaded hour. Every part is 0 to 1, null if unknown."""

    mes: MonthStart
    """Month, Chile wall clock."""
    nombre_region: str
    """Region or `CHILE`."""
    cobertura: Share
    """Ended hours that are loaded and not suspect; 1 is best."""
    interpolada: Share
    """Ended hours that are interpolated; 0 is best, as for all that follow."""
    imputadas: Share | None
    """Source rows in observations that an imputation rule touched."""
    sospechosas: Share
    """Ended hours that hold a corrupt cycle which stayed."""
    diferencia: Share | None
    """Differences from the source's own national series over that series, in the hours that it has; at most 1."""
    antiguedad: Share
    """Age of the denominator over ten years; at most 1."""
    estancado: Share | None
    """Customer-hours from values that stood still for 168 hours or more."""


class SensitivityRow(PayloadRow):
    """Aggregated events of one year under one threshold, before any cap."""

    umbral: Count
    """Customers from which an hour of a comuna belongs to an event."""
    anho: int
    """Year of the events' first hours, Chile wall clock."""
    eventos: Count
    """Number of events."""
    clientes: Count
    """Sum of their high-water marks."""
    cliente_horas: Count
    """Sum of their customer-hours over loaded hours."""


class OfficialRow(PayloadRow):
    """One official figure."""

    anho: int
    """Year."""
    nombre_region: str
    """Region, or `CHILE`."""
    saidi_oficial: Index
    """Official SAIDI, hours for each customer."""
    parcial: str | None
    """The months of the year that it holds; null for all."""
    verificado: bool
    """Whether two sources agree on it."""
    fuente: str
    """Where it was read."""
    saidi: Index | None
    """The estimate of the same months, hours for each customer; null where too little was seen of them."""
    saidi_inf: Index | None
    """Lower bound of its 95% interval."""
    saidi_sup: Index | None
    """Upper bound of its 95% interval."""
    razon: Index | None
    """saidi over saidi_oficial."""
    cobertura: Share | None
    """Share of the hours of these months that are loaded; null where none is expected."""


def sensitivity(panel: pl.DataFrame, loads: pl.DataFrame, rules: EventRules) -> pl.DataFrame:
    """Aggregated events under other thresholds, by the rules of `silver.stretches`, before the cap.

    Args:
        panel: `panel.PANEL_COLUMNS`, all hours in the aggregated form; others are passed over.
        loads: hora, forma of all loaded hours.
        rules: For the hours that close an event and the gap that it outlives.

    Returns:
        umbral, anho (of the first hour, Chile), eventos, clientes (high-water marks), cliente_horas; by both.
    """
    usable = usable_hours(loads.select("hora", "forma"), rules)
    listed = (
        panel.select(
            "hora", lugar=pl.col("codigo_comuna").cast(pl.Categorical).to_physical(), valor="clientes_afectados"
        )
        .join(usable.select("hora", "orden", "racha"), on="hora")
        .sort("lugar", "orden")
        .with_columns(suma=pl.col("valor").cum_sum())
    )
    return pl.concat([_events(listed, threshold, rules) for threshold in THRESHOLDS]).sort("umbral", "anho")


def _events(listed: pl.DataFrame, threshold: int, rules: EventRules) -> pl.DataFrame:
    """Events of one threshold; what lies below it between two hits of an event is in the running sum."""
    same = (
        (pl.col("lugar") == pl.col("lugar").shift(1))
        & (pl.col("orden").diff() - 1 < rules.close_hours)
        & (pl.col("racha") == pl.col("racha").shift(1))
    )
    return (
        listed.filter(pl.col("valor") >= threshold)
        .with_columns(evento=(~same.fill_null(value=False)).cum_sum())
        .group_by("evento")
        .agg(
            anho=chile_date(pl.col("hora").min()).dt.year(),
            clientes=pl.col("valor").max(),
            cliente_horas=pl.col("suma").max() - (pl.col("suma") - pl.col("valor")).min(),
        )
        .group_by("anho")
        .agg(pl.len().alias("eventos").cast(pl.Int64), pl.col("clientes", "cliente_horas").sum())
        .select(pl.lit(threshold, pl.Int64).alias("umbral"), "anho", "eventos", "clientes", "cliente_horas")
    )


def quality(figures: pl.DataFrame, calendar: pl.DataFrame, imputed: pl.DataFrame) -> pl.DataFrame:
    """The parts of quality by month and region, each 0 to 1; null where it can't be known.

    Args:
        figures: `reliability`.
        calendar: mes, sospechosa of all ended hours; total_nacional, diferencia_nacional of those that the national
            series has.
        imputed: `monthly.imputed` of all months.

    Returns:
        mes, nombre_region, cobertura, interpolada, imputadas (source rows of observations that a rule touched),
        sospechosas (hours), diferencia (absolute differences from the national series over its sum; at most 1),
        antiguedad (of the denominator, over ten years; at most 1), estancado.
    """
    national = pl.col("total_nacional").sum()
    apart = pl.min_horizontal(pl.col("diferencia_nacional").abs().sum() / national, 1.0)
    hours = calendar.group_by("mes").agg(
        sospechosas=pl.col("sospechosa").mean(), diferencia=pl.when(national > 0).then(apart)
    )
    rows = imputed.select("mes", nombre_region="serie", imputadas=pl.col("imputadas") / pl.col("filas"))
    return (
        figures.join(rows, on=["mes", "nombre_region"], how="left", maintain_order="left")
        .join(hours, on="mes", how="left", maintain_order="left")
        .select(
            "mes",
            "nombre_region",
            "cobertura",
            "interpolada",
            pl.col("imputadas", "sospechosas", "diferencia").round(6),
            antiguedad=pl.min_horizontal(pl.col("meses_denominador") / OLDEST_DENOMINATOR, 1.0).round(6),
            estancado="estancado",
        )
    )


def official() -> pl.DataFrame:
    """The project's copy of the official figures, see `official_comparison`."""
    names = {region.codigo: region.nombre for region in regiones()} | {"": COUNTRY}
    return pl.DataFrame(read_rows("saidi_oficial.csv")).select(
        pl.col("anho").cast(pl.Int32),
        pl.col("codigo_region").replace_strict(names).alias("nombre_region"),
        pl.col("saidi_horas").cast(pl.Float64).alias("saidi_oficial"),
        "parcial",
        pl.col("verificado") == "si",
        "fuente",
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
        customers: see `customers.CUSTOMERS_SCHEMA`.

    Returns:
        `official` with saidi, saidi_inf, saidi_sup (null without an estimate of all its months), razon (saidi over
        saidi_oficial), cobertura (null where nothing of the year is expected); in the order of `official`.
    """
    figures, estimated, spans = denominators(customers).rename({"universo": "clientes"}), [], []
    for text, last in PERIODS.items():
        within, named = pl.col("mes").dt.month() <= last, pl.lit(text).alias("parcial")
        period = Pattern(*(frame.filter(within) for frame in (seen.hours, seen.weights, seen.days, seen.months)))
        own = estimates.years(monthly.region_parts.filter(within), period)
        grid = own.select("anho", nombre_region="serie").join(pl.DataFrame({"m": range(1, last + 1)}), how="cross")
        served = nearest(grid.with_columns(mes=pl.date("anho", "m", 1)), figures, "nombre_region")
        hours = period.hours.group_by(named, anho=pl.col("mes").dt.year()).agg(
            meses=pl.col("mes").n_unique(), cobertura=(pl.col("visto") == "observada").mean().round(6)
        )
        whole = year_indices(own, served, "nombre_region").join(hours.filter(meses=last), on="anho", how="semi")
        estimated.append(whole.select(named, "anho", "nombre_region", "saidi", "saidi_inf", "saidi_sup"))
        spans.append(hours.drop("meses"))
    key = ["parcial", "anho"]
    return (
        official.join(pl.concat(estimated), on=[*key, "nombre_region"], how="left", maintain_order="left")
        .join(pl.concat(spans), on=key, how="left", maintain_order="left")
        .with_columns(
            razon=(pl.col("saidi") / pl.col("saidi_oficial")).round(4),
            parcial=pl.when(pl.col("parcial") != "").then("parcial"),
        )
    )
