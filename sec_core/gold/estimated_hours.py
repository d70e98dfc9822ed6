"""Which hours are observed, interpolated or uncovered, and what each observed hour weighs in a day's estimate.

Hours are loaded for all comunas or for none, so the straight line between two loaded hours is the same sum of weights
for every series: an estimate is a weighted sum of loaded hours, and no missing hour is ever written down.
"""

from dataclasses import dataclass
from enum import StrEnum

import polars as pl

from sec_core.gold.frames import with_month
from sec_core.silver.timeline import chile_date, source_index

# Share of the ended hours that must be observed or interpolated for an estimate.
MINIMUM_COVERED = 0.5

# Uncovered hours in a row that an estimate bears.
LONGEST_UNCOVERED = 120


class Method(StrEnum):
    """How a month's customer-hours are known, as `metodo` says it; the surest first."""

    MEASURED = "medido"
    ESTIMATED = "estimado"
    INSUFFICIENT = "insuficiente"


@dataclass(frozen=True, slots=True)
class Pattern:
    """What was seen when. The same for all series.

    Attributes:
        hours: Every ended hour: hora, dia, mes, visto (`observada`, `interpolada`, `descubierta`), anterior and
            siguiente (the observed hours about it; null at the ends), hueco (source hours between these).
        weights: hora (observed), dia, mes, peso: the day's observed and interpolated customer-hours are the sum of
            peso x customers out in hora. An observed hour counts in other days where it ends a line over midnight.
        days: dia, mes, horas (ended), observadas, interpoladas.
        months: mes, horas, observadas, interpoladas, racha (most uncovered hours in a row), metodo; only months with
            a loaded hour, suspect or not.
    """

    hours: pl.DataFrame
    weights: pl.DataFrame
    days: pl.DataFrame
    months: pl.DataFrame


def pattern(calendar: pl.DataFrame, max_gap: int) -> Pattern:
    """What was seen of a stretch of hours.

    Args:
        calendar: hora, cargada, sospechosa: all source hours of whole months that have ended, in order, see
            `frames.hour_calendar`. A suspect hour counts as one without data.
        max_gap: `SEC_ESTIMATE_MAX_GAP_HOURS`: source hours between two observed ones that a line may span.
    """
    hours = _hours(calendar, max_gap)
    known = hours.filter(pl.col("visto") != "descubierta")
    # An observed hour is both ends of its own line.
    way = (pl.col("lugar") / pl.col("hueco")).fill_nan(0)
    weights = (
        pl.concat(
            [
                known.select("dia", "mes", hora="anterior", peso=1 - way),
                known.select("dia", "mes", hora="siguiente", peso=way),
            ]
        )
        .group_by("hora", "dia", "mes")
        .agg(pl.col("peso").sum())
        .sort("hora", "dia")
    )
    counts = [
        pl.len().cast(pl.Int64).alias("horas"),
        (pl.col("visto") == "observada").sum().cast(pl.Int64).alias("observadas"),
        (pl.col("visto") == "interpolada").sum().cast(pl.Int64).alias("interpoladas"),
    ]
    runs = hours.with_columns(tramo=pl.struct("mes", "visto").rle_id()).filter(pl.col("visto") == "descubierta")
    longest = runs.group_by("mes", "tramo").len("racha").group_by("mes").agg(pl.col("racha").max().cast(pl.Int64))
    months = (
        hours.group_by("mes")
        .agg(*counts, pl.col("cargada").any())
        .filter("cargada")
        .drop("cargada")
        .join(longest, on="mes", how="left")
        .with_columns(pl.col("racha").fill_null(0))
        .with_columns(metodo=_method())
        .sort("mes")
    )
    days = hours.group_by("dia", "mes").agg(*counts).sort("dia")
    return Pattern(hours.drop("lugar", "cargada"), weights, days, months)


def _hours(calendar: pl.DataFrame, max_gap: int) -> pl.DataFrame:
    known = pl.col("cargada") & ~pl.col("sospechosa")
    index = source_index(calendar["hora"])
    at = pl.when(known).then(pl.col("indice"))
    hours = with_month(calendar.select("hora", "cargada", "sospechosa")).with_columns(index.alias("indice"))
    hours = hours.with_columns(
        dia=chile_date(pl.col("hora")),
        anterior=pl.when(known).then("hora").forward_fill(),
        siguiente=pl.when(known).then("hora").backward_fill(),
        lugar=pl.col("indice") - at.forward_fill(),
        hueco=at.backward_fill() - at.forward_fill(),
    )
    seen = pl.when(known).then(pl.lit("observada"))
    return hours.with_columns(
        visto=seen.when(pl.col("hueco") <= max_gap).then(pl.lit("interpolada")).otherwise(pl.lit("descubierta"))
    ).drop("sospechosa", "indice")


def _method() -> pl.Expr:
    covered = (pl.col("observadas") + pl.col("interpoladas")) / pl.col("horas")
    enough = (covered >= MINIMUM_COVERED) & (pl.col("racha") <= LONGEST_UNCOVERED)
    measured = pl.when(pl.col("observadas") == pl.col("horas")).then(pl.lit(Method.MEASURED.value))
    return measured.when(enough).then(pl.lit(Method.ESTIMATED.value)).otherwise(pl.lit(Method.INSUFFICIENT.value))
