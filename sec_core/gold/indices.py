"""Reliability of regions and of the country by month, how far thresholds matter, and the parts of quality. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from sec_core.gold import estimates
from sec_core.gold.estimated_hours import Method, Pattern
from sec_core.gold.major_days import alike, thresholds
from sec_core.gold.payloads.coverage import MINIMUM_COVERAGE
from sec_core.gold.universe import COUNTRY, denominators, nearest, with_country
from sec_core.silver.timeline import EventRules, chile_date, usable_hours

if TYPE_CHECKING:
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

# Customers from which a comuna's hour belongs to an event, in `sensitivity`.
THRESHOLDS = (50, 100, 500, 1000)

# Months of age from which a denominator's age counts as 1 in `quality`.
OLDEST_DENOMINATOR = 120

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
        customers: see `universe.CUSTOMERS_SCHEMA`.

    Returns:
        The keys of `reliability`, by month and region, the country last.
    """
    pairs = seen.months.select("mes").join(denominators(customers).select("nombre_region").unique(), how="cross")
    served = nearest(pairs, customers).rename({"nombre_region": "serie"})
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
    regions = events.group_by("mes", "nombre_region").agg(eventos=pl.col("clientes_afectados").sum())
    named = regions.select("mes", "eventos", serie=pl.col("nombre_region").cast(pl.String))
    return with_country(named).group_by(_KEY).agg(pl.col("eventos").sum())


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


def saidi(customers: pl.Expr, inferior: str = "inferior", superior: str = "superior") -> list[pl.Expr]:
    """saidi, saidi_inf and saidi_sup from cliente_horas and its bounds."""
    sums = {"saidi": "cliente_horas", "saidi_inf": inferior, "saidi_sup": superior}
    return [(pl.col(hours) / customers).round(8).alias(name) for name, hours in sums.items()]


def _indices(table: pl.DataFrame) -> pl.DataFrame:
    served, ended = pl.col("universo"), pl.col("horas")
    seen = pl.col("observadas") > 0
    covered = pl.col("observadas") / ended >= MINIMUM_COVERAGE
    quiet = (pl.col("cliente_horas") == 0).fill_null(value=False)
    judged = (pl.col("metodo") != Method.INSUFFICIENT.value) & (quiet | pl.col("umbral_med").is_not_null())
    calm_hours = pl.max_horizontal(pl.col("cliente_horas") - pl.col("horas_med"), 0.0)
    calm_rises = pl.col("subidas") - pl.col("subidas_med")
    risen = pl.when(seen).then(pl.col("subidas"))
    notes = [
        pl.when(~seen).then(pl.lit(NOT_OBSERVED)),
        pl.when(pl.col("metodo") == Method.INSUFFICIENT.value).then(pl.lit(INSUFFICIENT)),
        pl.when(~covered).then(pl.lit(LOWER_BOUND)),
        pl.when(~judged & (pl.col("metodo") != Method.INSUFFICIENT.value)).then(
            pl.when(~pl.col("igual"))
            .then(pl.lit(NOT_ALIKE))
            .when("distinta")
            .then(pl.lit(OTHER_BASE))
            .otherwise(pl.lit(SMALL_BASE))
        ),
    ]
    note = pl.concat_str(notes, separator=" ", ignore_nulls=True)
    return table.select(
        "mes",
        pl.col("serie").alias("nombre_region"),
        served.cast(pl.Int64).alias("clientes"),
        "meses_denominador",
        "metodo",
        *saidi(served),
        saidi_observado=pl.when(seen).then(pl.col("observado") / served).round(8),
        saifi=(risen / served).round(8),
        saifi_eventos=(pl.col("eventos") / served).round(8),
        caidi=pl.when(covered & (pl.col("subidas") > 0)).then(pl.col("cliente_horas") / pl.col("subidas")).round(8),
        saidi_sin_med=pl.when(judged).then(calm_hours / served).round(8),
        saifi_sin_med=pl.when(judged & covered).then(calm_rises / served).round(8),
        caidi_sin_med=pl.when(judged & covered & (calm_rises > 0)).then(calm_hours / calm_rises).round(8),
        dias_med=pl.when(judged).then(pl.col("dias_med")),
        umbral_med=pl.col("umbral_med").round(8),
        dias_base=pl.col("dias_base"),
        punta=pl.when(seen).then(pl.col("punta") / served).round(8),
        cobertura=(pl.col("observadas") / ended).round(6),
        interpolada=(pl.col("interpoladas") / ended).round(6),
        cubierto=covered,
        estancado=pl.when(pl.col("observado") > 0).then(pl.col("quietas") / pl.col("observado")).round(6),
        nota=pl.when(note != "").then(note),
        etiqueta=pl.lit(LABEL),
    )


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


def quality(
    figures: pl.DataFrame, calendar: pl.DataFrame, imputed: pl.DataFrame, national: pl.DataFrame
) -> pl.DataFrame:
    """The parts of quality by month and region, each 0 to 1; null where it can't be known.

    Args:
        figures: `reliability`.
        calendar: mes, sospechosa of all ended hours.
        imputed: `rises.imputed` of all months.
        national: hora, mes, total_nacional, diferencia_nacional (`capturas`), for hours that the national series has.

    Returns:
        mes, nombre_region, cobertura, interpolada, imputadas (source rows of observations that a rule touched),
        sospechosas (hours), diferencia (absolute differences from the national series over its sum; at most 1),
        antiguedad (of the denominator, over ten years; at most 1), estancado.
    """
    hours = calendar.group_by("mes").agg(sospechosas=pl.col("sospechosa").mean())
    far = national.group_by("mes").agg(
        diferencia=pl.when(pl.col("total_nacional").sum() > 0).then(
            pl.min_horizontal(pl.col("diferencia_nacional").abs().sum() / pl.col("total_nacional").sum(), 1.0)
        )
    )
    rows = imputed.select(*_KEY, imputadas=pl.col("imputadas") / pl.col("filas"))
    return (
        figures.join(rows, left_on=["mes", "nombre_region"], right_on=_KEY, how="left", maintain_order="left")
        .join(hours, on="mes", how="left", maintain_order="left")
        .join(far, on="mes", how="left", maintain_order="left")
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
