"""The panel: customers out by comuna and real hour. Pure; all that Gold says about an hour, day or month starts here.

In a loaded hour a comuna has the sum of its rows, 0 where it is not listed; in an hour without data it is missing,
never 0.

What each function of the estimates needs, and what can be kept between builds:

| function | needs | keep |
|---|---|---|
| `panel.panel` | a month's observations, places, loads | by month: the files of `panel/` |
| `panel.region_hours` | a month's panel and places | by month: the regions' hours, small |
| `estimated_hours.pattern` | the calendar of all hours | nothing: a third of a second for nine years |
| `estimates.parts` | the pattern; hours of the series in the month, and the gap's maximum about it | by month |
| `estimates.months`, `.years` | all parts of one kind of series: regions and country, or comunas | nothing |
| `estimates.days` | the pattern; the regions' hours | nothing |
| `rises.rises` | observations of the month and of the observed hour before it | by month |
| `rises.standing` | observations of the month and of `STANDING_HOURS` before and after | by month |
| `indices.reliability`, `.sensitivity`, `.quality` | all of the above for regions; denominators | nothing |

A *series* is a comuna (its code), a region (its name) or the country (`CHILE`: all regions and UNKNOWN together). Its
hours are a frame with hora, serie, clientes that holds what loaded hours list; what a loaded hour does not list is 0.
"""

import polars as pl

from sec_core.gold.universe import with_country

# Columns of the panel; `codigo_comuna` is empty where the place did not resolve.
PANEL_COLUMNS = ["hora", "codigo_comuna", "clientes_afectados", "forma"]


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
