"""Small tables behind the report's figures. Pure; what is not known is null, never zero."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from sec_core.gold.universe import COUNTRY, nearest
from sec_core.hours import CHILE, Month

if TYPE_CHECKING:
    from datetime import date

    from sec_core.gold.frames import GoldFrames

Rows = list[dict[str, Any]]

TILES = {
    "ARICA Y PARINACOTA": (1, 0, "Arica"),
    "TARAPACA": (1, 1, "Tarapacá"),
    "ANTOFAGASTA": (1, 2, "Antofag."),
    "ATACAMA": (1, 3, "Atacama"),
    "COQUIMBO": (1, 4, "Coquimbo"),
    "VALPARAISO": (0, 5, "Valparaíso"),
    "METROPOLITANA": (1, 5, "Metrop."),
    "O'HIGGINS": (1, 6, "O'Higgins"),
    "MAULE": (1, 7, "Maule"),
    "NUBLE": (1, 8, "Ñuble"),
    "BIOBIO": (0, 8, "Biobío"),
    "LA ARAUCANIA": (1, 9, "Araucanía"),
    "LOS RIOS": (1, 10, "Los Ríos"),
    "LOS LAGOS": (1, 11, "Los Lagos"),
    "AYSEN": (1, 12, "Aysén"),
    "MAGALLANES": (1, 13, "Magallanes"),
}
"""Column, row and label of each region's tile, north at the top, the coast at the left."""

NORTH_TO_SOUTH = tuple(TILES)
STORMS = 5
STORM_GAP = timedelta(days=10)
STORM_FACTOR = 3
"""A day is a storm if its peak is so many times the median day's."""


@dataclass(frozen=True, slots=True)
class ReportData:
    """Tables of the figures, rows as objects.

    Attributes:
        daily: dia, clientes (most customers out at once in the country; null without data).
        storms: The days with the highest peaks, ten days or more apart: dia, clientes.
        monthly: mes, nombre_region, afectados, cobertura; all pairs, afectados null where no hour was captured.
        instability: nombre_region, indice (percent of customers and month), meses.
        days: dia, mes, numero, estado, capturadas, vacias, otras, pendientes, esperadas.
    """

    daily: Rows
    storms: Rows
    monthly: Rows
    instability: Rows
    days: Rows


def report_data(frames: GoldFrames) -> ReportData:
    """All tables, from the frames that Gold is built from."""
    days = day_table(frames.calendar)
    daily = daily_peaks(frames.monthly.region_hours, days)
    monthly = monthly_affected(frames.events, frames.calendar)
    return ReportData(
        daily=as_rows(daily),
        storms=as_rows(largest_storms(daily)),
        monthly=as_rows(monthly),
        instability=as_rows(monthly_instability(monthly, frames.customers)),
        days=as_rows(days),
    )


def day_table(calendar: pl.DataFrame) -> pl.DataFrame:
    """One row for each day of the ledger's months, with what is known of its hours.

    `estado`: `complete`, `partial`, or why nothing was captured: `no data at the source`, `failed`, `not asked yet`.
    """
    day = pl.col("hora").dt.convert_time_zone(str(CHILE)).dt.date()
    count = {
        "capturadas": pl.col("estado") == "captured",
        "vacias": pl.col("estado") == "empty",
        "otras": pl.col("estado").is_in(["failed", "quarantined"]),
        "pendientes": pl.col("estado") == "pending",
    }
    state = (
        pl.when(pl.col("capturadas") == pl.col("esperadas"))
        .then(pl.lit("complete"))
        .when(pl.col("capturadas") > 0)
        .then(pl.lit("partial"))
        .when(pl.col("otras") > 0)
        .then(pl.lit("failed"))
        .when(pl.col("vacias") > 0)
        .then(pl.lit("no data at the source"))
        .otherwise(pl.lit("not asked yet"))
    )
    return (
        calendar.group_by(day.alias("dia"), "mes")
        .agg(pl.len().alias("esperadas"), *(expression.sum().alias(name) for name, expression in count.items()))
        .with_columns(estado=state, numero=pl.col("dia").dt.day())
        .sort("dia")
    )


def daily_peaks(region_hours: pl.DataFrame, days: pl.DataFrame) -> pl.DataFrame:
    """Most customers out at once in the country, by day of the calendar: dia, clientes."""
    day = pl.col("hora").dt.convert_time_zone(str(CHILE)).dt.date()
    peaks = region_hours.filter(pl.col("serie") == COUNTRY).group_by(day.alias("dia")).agg(pl.col("clientes").max())
    return days.select("dia").join(peaks, on="dia", how="left").sort("dia")


def largest_storms(daily: pl.DataFrame) -> pl.DataFrame:
    """The highest days that stand out from the others, ten days or more apart, at most five, the highest first."""
    chosen: list[tuple[date, int]] = []
    known = daily.drop_nulls("clientes").filter(pl.col("clientes") >= STORM_FACTOR * pl.col("clientes").median())
    for row in known.sort("clientes", "dia", descending=[True, False]).iter_rows(named=True):
        if all(abs(row["dia"] - other) >= STORM_GAP for other, _ in chosen):
            chosen.append((row["dia"], row["clientes"]))
        if len(chosen) == STORMS:
            break
    return pl.DataFrame(chosen, schema={"dia": pl.Date, "clientes": pl.Int64}, orient="row")


def monthly_affected(events: pl.DataFrame, calendar: pl.DataFrame) -> pl.DataFrame:
    """Affected customers of every region in every month of the ledger; null where no hour was captured."""
    covered = calendar.group_by("mes").agg(cobertura=pl.col("cargada").mean()).sort("mes")
    regions = pl.DataFrame({"nombre_region": NORTH_TO_SOUTH})
    sums = (
        events.group_by("mes", "nombre_region")
        .agg(afectados=pl.col("clientes_afectados").sum())
        .with_columns(pl.col("nombre_region").cast(pl.String))
    )
    known = pl.when(pl.col("cobertura") > 0).then(pl.col("afectados").fill_null(0))
    return (
        covered.join(regions, how="cross")
        .join(sums, on=["mes", "nombre_region"], how="left", maintain_order="left")
        .with_columns(afectados=known)
    )


def monthly_instability(monthly: pl.DataFrame, customers: pl.DataFrame) -> pl.DataFrame:
    """Mean share of a region's customers affected in a month, in percent, over the months with captured hours."""
    return (
        nearest(monthly.drop_nulls("afectados"), customers)
        .drop_nulls("universo")
        .group_by("nombre_region")
        .agg(indice=(pl.col("afectados") * 100.0 / pl.col("universo")).mean().round(3), meses=pl.len())
        .sort("nombre_region")
    )


def recent_saidi(reliability: Rows, months: int = 12) -> Rows:
    """SAIDI of the newest months in a row that have loaded hours, by region, raw and without major event days.

    Returns:
        nombre_region, serie (`all days`, `without major event days`), saidi (estimated hours for each customer over
        these months), cobertura (their least), meses, desde, hasta. A region of which a month has no estimate, or no
        threshold, lacks that series.
    """
    covered = [row for row in reliability if row["cobertura"]]
    seen = sorted({row["mes"] for row in covered})
    newest = seen[-1:]
    while newest and len(newest) < months and (before := _month_before(newest[0])) in seen:
        newest = [before, *newest]
    found: Rows = []
    for region in (*NORTH_TO_SOUTH, "CHILE"):
        rows = [row for row in covered if row["nombre_region"] == region and row["mes"] in newest]
        for name, key in (("all days", "saidi"), ("without major event days", "saidi_sin_med")):
            values = [row[key] for row in rows]
            if len(values) == len(newest) > 0 and None not in values:
                found.append(
                    {
                        "nombre_region": region,
                        "serie": name,
                        "saidi": round(sum(values), 4),
                        "cobertura": min(row["cobertura"] for row in rows),
                        "meses": len(rows),
                        "desde": newest[0][:7],
                        "hasta": newest[-1][:7],
                    }
                )
    return found


def _month_before(first_day: str) -> str:
    return str(Month.parse(first_day[:7]).shift(-1).first_day)


def as_rows(frame: pl.DataFrame) -> Rows:
    """A table as JSON-ready rows, dates as `YYYY-MM-DD`."""
    return frame.with_columns(pl.col(pl.Date).dt.strftime("%Y-%m-%d")).to_dicts()
