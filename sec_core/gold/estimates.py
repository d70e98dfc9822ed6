"""Customer-hours of series by month, year and day, from what was seen of them. See `panel.py` for what a series is.

customer-hours = sum over observed and interpolated hours x ended hours / (observed + interpolated).

Every row of `parts` holds what one series shows in one month; bounds come from all of them together (`intervals.py`).
"""

from collections.abc import Iterable
from datetime import date

import numpy as np
import polars as pl

from sec_core.gold.intervals import DAYS, PEAKS, REACH, bounds, month_errors, residuals
from sec_core.gold.panel import MINIMUM_COVERED, Method, Pattern

# Customer-hours of observed hours; of observed and interpolated ones; most customers out in an observed hour;
# customer-hours of each day (NaN where less than half of it is known); the rest is explained in `intervals.residuals`.
PARTS_SCHEMA: dict[str, pl.DataType] = {
    "mes": pl.Date(),
    "serie": pl.String(),
    "observado": pl.Int64(),
    "suma": pl.Float64(),
    "punta": pl.Int64(),
    "dias": pl.Array(pl.Float64(), DAYS),
    "local": pl.Float64(),
    "desvio": pl.Float64(),
    "raices": pl.Float64(),
    "saltos": pl.Array(pl.Float64(), PEAKS),
    "dobles": pl.Array(pl.Float64(), PEAKS),
}


def parts(series: pl.DataFrame, pattern: Pattern, names: Iterable[str], months: Iterable[date]) -> pl.DataFrame:
    """What estimates of some months are made of, one row for each series and month.

    Args:
        series: hora, serie, clientes: all that the loaded hours of these months list, and of `intervals.REACH` hours
            before and after them. More does no harm.
        pattern: What was seen when.
        names: All series that get a row, listed or not.
        months: First days of months; those without a loaded hour get no row.

    Returns:
        `PARTS_SCHEMA`, by month and series. Rows of all months together are what `months` and `years` take.
    """
    order = sorted(set(names))
    numbered = series.join(pl.DataFrame({"serie": order, "fila": range(len(order))}), on="serie").sort("hora")
    known = sorted(set(months) & set(pattern.months["mes"]))
    empty = pl.DataFrame(schema=PARTS_SCHEMA)
    return pl.concat([empty, *(_month_parts(numbered, pattern, order, month) for month in known)])


def _month_parts(series: pl.DataFrame, pattern: Pattern, order: list[str], month: date) -> pl.DataFrame:
    hours = pattern.hours.filter(pl.col("mes") == month)
    near = hours.filter((pl.col("visto") == "observada") | (pl.col("hueco") <= REACH))
    seen = pl.concat([near["anterior"], near["siguiente"]]).unique().sort()
    row = pl.DataFrame({"hora": seen, "lugar": range(seen.len())}, schema_overrides={"hora": seen.dtype})
    edges = pl.concat([seen.head(1), seen.tail(1).dt.offset_by("1h")])
    first, end = series["hora"].search_sorted(edges).to_list() or (0, 0)
    cells = series[first:end].join(row, on="hora")
    values = np.zeros((seen.len(), len(order)))
    values[cells["lugar"].to_numpy(), cells["fila"].to_numpy()] = cells["clientes"].to_numpy()

    days = pattern.days.filter(pl.col("mes") == month)
    place = pattern.weights.filter(pl.col("mes") == month).join(row, on="hora")
    weights = np.zeros((DAYS, seen.len()))
    weights[place["dia"].dt.day().to_numpy() - 1, place["lugar"].to_numpy()] = place["peso"].to_numpy()
    by_day = weights @ values
    covered = (days["observadas"] + days["interpoladas"]).to_numpy()
    share = np.full(DAYS, np.nan)
    share[days["dia"].dt.day().to_numpy() - 1] = np.where(
        covered >= MINIMUM_COVERED * days["horas"].to_numpy(), days["horas"].to_numpy() / np.maximum(covered, 1), np.nan
    )
    own = values[seen.is_in(hours["hora"].implode()).to_numpy()]
    total = by_day.sum(axis=0)
    return pl.DataFrame(
        {
            "mes": [month] * len(order),
            "serie": order,
            "observado": own.sum(axis=0).astype(np.int64),
            "suma": total,
            "punta": own.max(axis=0, initial=0).astype(np.int64),
            "dias": (by_day * share[:, None]).T,
            **residuals(values, seen, hours, total / max(covered.sum(), 1)),
        },
        schema=PARTS_SCHEMA,
    )


def months(parts: pl.DataFrame, pattern: Pattern) -> pl.DataFrame:
    """Customer-hours by series and month.

    Args:
        parts: see `parts`: of all months and of one kind of series (regions and country, or comunas), since these
            share what is known of peaks.
        pattern: What was seen when.

    Returns:
        mes, serie, metodo, horas, observadas, interpoladas, cliente_horas, cliente_horas_inf, cliente_horas_sup (95%;
        these three null where metodo is `insuficiente`), cliente_horas_observadas, clientes_punta, cobertura and
        interpolada (shares of the hours); ordered by month and series.
    """
    return _figures(_with_errors(parts, pattern), "mes")


def years(parts: pl.DataFrame, pattern: Pattern) -> pl.DataFrame:
    """Customer-hours by series and year, with bounds of their own: errors of months add up like independent ones.

    Args:
        parts: see `months`.
        pattern: What was seen when. A year is as long as its ended hours; a month of it without an estimate leaves
            the year without one.

    Returns:
        anho and the columns of `months`.
    """
    every = pattern.hours.group_by(anho=pl.col("mes").dt.year()).agg(todos=pl.col("mes").n_unique())
    rows = _with_errors(parts, pattern).with_columns(anho=pl.col("mes").dt.year()).join(every, on="anho")
    some = pl.col("mes").n_unique().over("anho") < pl.col("todos")
    return _figures(
        rows.with_columns(metodo=pl.when(some).then(pl.lit(Method.INSUFFICIENT.value)).otherwise("metodo")), "anho"
    )


def _with_errors(parts: pl.DataFrame, pattern: Pattern) -> pl.DataFrame:
    covered = pl.col("observadas") + pl.col("interpoladas")
    whole = pl.when(covered > 0).then(pl.col("suma") * pl.col("horas") / covered).otherwise(0.0)
    rows = parts.sort("mes", "serie").join(pattern.months.drop("racha"), on="mes", maintain_order="left")
    return month_errors(rows.with_columns(cliente_horas=whole), pattern)


def _figures(rows: pl.DataFrame, when: str) -> pl.DataFrame:
    value, floor = pl.col("cliente_horas"), pl.col("cliente_horas_observadas").cast(pl.Float64)
    measured = pl.col("metodo") == Method.MEASURED.value
    known = pl.when(pl.col("metodo") != Method.INSUFFICIENT.value)
    lower = known.then(pl.min_horizontal(pl.max_horizontal("cliente_horas_inf", floor), value))
    upper = known.then(pl.max_horizontal("cliente_horas_sup", value + 1))
    return (
        rows.group_by(when, "serie")
        .agg(
            # The least sure of the months'.
            pl.col("metodo").cast(pl.Enum(Method)).max().cast(pl.String),
            pl.col("horas", "observadas", "interpoladas", "cliente_horas").sum(),
            *bounds(),
            cliente_horas_observadas=pl.col("observado").sum(),
            clientes_punta=pl.col("punta").max(),
        )
        .with_columns(
            cliente_horas=known.then(value),
            cliente_horas_inf=pl.when(measured).then(value).otherwise(lower),
            cliente_horas_sup=pl.when(measured).then(value).otherwise(upper),
            cobertura=pl.col("observadas") / pl.col("horas"),
            interpolada=pl.col("interpoladas") / pl.col("horas"),
        )
        .sort(when, "serie")
    )


def days(parts: pl.DataFrame) -> pl.DataFrame:
    """Estimated customer-hours by series and day; days of which less than half is known have no row.

    Returns:
        dia, mes, serie, cliente_horas.
    """
    number = pl.int_range(pl.len(), dtype=pl.Int64).over("mes", "serie")
    return (
        parts.select("mes", "serie", cliente_horas=pl.col("dias").arr.to_list())
        .explode("cliente_horas")
        .with_columns(dia=pl.col("mes").dt.offset_by(pl.format("{}d", number)))
        .filter(pl.col("cliente_horas").is_not_nan())
        .select("dia", "mes", "serie", "cliente_horas")
        .sort("dia", "serie")
    )
