"""The panel: customers out by comuna and real hour, and which hours were seen. Pure.

All that Gold says about an hour, day or month starts here.

In a loaded hour a comuna has the sum of its rows, 0 where it is not listed; in an hour without data it is missing,
never 0.

What each function of the estimates needs, and what can be kept between builds:

| function | needs | keep |
|---|---|---|
| `panel.panel` | a month's observations, places, loads | by month: the files of `panel/` |
| `panel.region_hours` | a month's panel and places | by month: the regions' hours, small |
| `panel.pattern` | the calendar of all hours | nothing: a third of a second for nine years |
| `estimates.parts` | the pattern; hours of the series in the month, and the gap's maximum about it | by month |
| `estimates.months`, `.years` | all parts of one kind of series: regions and country, or comunas | nothing |
| `estimates.days` | the pattern; the regions' hours | nothing |
| `monthly.rises` | observations of the month and of the observed hour before it | by month |
| `monthly.standing` | observations of the month and of `STANDING_HOURS` before and after | by month |
| `indices.reliability`, `hours.sensitivity`, `.quality` | all of the above for regions; denominators | nothing |

A *series* is a comuna (its code), a region (its name) or the country (`CHILE`: all regions and UNKNOWN together). Its
hours are a frame with hora, serie, clientes that holds what loaded hours list; what a loaded hour does not list is 0.

Hours are loaded for all comunas or for none, so the straight line between two loaded hours is the same sum of weights
for every series: an estimate is a weighted sum of loaded hours, and no missing hour is ever written down.
"""

from dataclasses import dataclass
from enum import StrEnum

import polars as pl

from sec_core.gold.customers import with_country
from sec_core.gold.frames import with_month
from sec_core.silver.timeline import chile_date, source_index

# Columns of the panel; `codigo_comuna` is empty where the place did not resolve.
PANEL_COLUMNS = ["hora", "codigo_comuna", "clientes_afectados", "forma"]

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


def panel(observations: pl.DataFrame, places: pl.DataFrame, loads: pl.DataFrame) -> pl.DataFrame:
    """Customers out by comuna in each loaded hour that lists it.

    Args:
        observations: hora, id_geografia, clientes_afectados; any number of hours.
        places: id_geografia, codigo_comuna (see `frames.Names.places`).
        loads: hora, forma of the loaded hours.

    Returns:
        `PANEL_COLUMNS`, ordered by hora and codigo_comuna.
    """
    return (
        observations.lazy()
        .group_by("hora", "id_geografia")
        .agg(pl.col("clientes_afectados").sum())
        .join(places.lazy().select("id_geografia", "codigo_comuna"), on="id_geografia", how="left")
        .join(loads.lazy().select("hora", "forma"), on="hora", how="left")
        .select(PANEL_COLUMNS)
        .sort("hora", "codigo_comuna")
        .collect()
    )


def comuna_hours(panel: pl.DataFrame) -> pl.DataFrame:
    """The panel as series: hora, serie (codigo_comuna), clientes. UNKNOWN is no comuna."""
    named = panel.filter(pl.col("codigo_comuna") != "")
    return named.select("hora", serie="codigo_comuna", clientes="clientes_afectados")


def region_hours(panel: pl.DataFrame, places: pl.DataFrame) -> pl.DataFrame:
    """Customers out by region, and in the country, in each loaded hour that lists any.

    Args:
        panel: see `PANEL_COLUMNS`.
        places: codigo_comuna, nombre_region; UNKNOWN (code empty) among them.

    Returns:
        hora, serie (nombre_region, UNKNOWN among them, or `CHILE`), clientes; ordered by hora and serie.
    """
    return by_region(panel.select("hora", "codigo_comuna", clientes="clientes_afectados"), places, "codigo_comuna")


def by_region(rows: pl.DataFrame, places: pl.DataFrame, place: str) -> pl.DataFrame:
    """Sums by the first column (an hour, a day or a month) and serie (regions, UNKNOWN, `CHILE`), ordered by both.

    Args:
        rows: An hour, a day or a month; `place`; what is summed.
        places: `place`, nombre_region.
        place: id_geografia or codigo_comuna.
    """
    when, names = rows.columns[0], places.select(place, serie=pl.col("nombre_region").cast(pl.String))
    named = with_country(rows.join(names, on=place).drop(place))
    return named.group_by(when, "serie").agg(pl.all().sum()).sort(when, "serie")


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
    runs = (pl.col("visto") == "descubierta").rle().struct
    longest = runs.field("len").filter(runs.field("value")).max().fill_null(0)
    months = (
        hours.group_by("mes")
        .agg(*counts, pl.col("cargada").any(), racha=longest.cast(pl.Int64))
        .filter("cargada")
        .drop("cargada")
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
