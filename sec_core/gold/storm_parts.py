"""How fast supply came back, compared: over the years by size, by region, and by company where the source names it.

A region's or company's part of a storm is measured from its own peak. Nothing is compared over what was seen
differently: groups are of storms whose hours were all seen, or of those with gaps, which six-hourly years have always.
"""

from typing import Final

import polars as pl

from sec_core.blobs.place import Blobs
from sec_core.gold import observations
from sec_core.gold.frames import UTC_TIME, with_month
from sec_core.hours import Month
from sec_core.silver.timeline import chile_date
from sec_core.source.shapes import Shape

FULL_COVERAGE: Final = 0.95
LEFT: Final = 0.1
SIZES: Final = (30_000, 100_000, 300_000)
COMPANIES_SCHEMA: Final = {
    "id": pl.String(),
    "hora": UTC_TIME,
    "nombre_empresa": pl.String(),
    "clientes_afectados": pl.Int64(),
}


def by_company(gold: Blobs, curves: pl.DataFrame) -> pl.DataFrame:
    """What each company has out in the hours and comunas of some storms' curves, by `COMPANIES_SCHEMA`.

    Args:
        gold: Gold's place, with current `observaciones/`; hours of the aggregated form name no company.
        curves: id, hora, codigo_comuna.
    """
    cells = curves.select("id", "hora", "codigo_comuna").lazy()
    found = [pl.DataFrame(schema=COMPANIES_SCHEMA)]
    days = with_month(curves.select("hora")).get_column("mes").unique().sort()
    for month in (Month(day.year, day.month) for day in days):
        rows = observations.observations_of(gold, month).filter(pl.col("forma") == Shape.DETAILED.value)
        named = rows.with_columns(pl.col("codigo_comuna", "nombre_empresa").cast(pl.String))
        joined = named.join(cells, on=["hora", "codigo_comuna"])
        found.append(joined.group_by("id", "hora", "nombre_empresa").agg(pl.col("clientes_afectados").sum()).collect())
    return pl.concat(found).sort("id", "hora", "nombre_empresa")


def restored(parts: pl.DataFrame, storms: pl.DataFrame, calendar: pl.DataFrame) -> pl.DataFrame:
    """Measure parts of storms.

    Args:
        parts: id, parte, hora, clientes_afectados: without zeros.
        storms: By `storm_curves.STORMS_SCHEMA`.
        calendar: hora, cargada, sospechosa of all expected hours.

    Returns:
        id, parte, punta, horas_90 (from the part's own peak until a tenth of it is left; null where a gap hides it, or
        it is not reached before the storm ends).
    """
    usable = pl.col("cargada") & ~pl.col("sospechosa")
    hours = calendar.sort("hora").select("hora", usable=usable, antes=usable.shift(1)).filter("usable")
    out = pl.col("clientes_afectados")
    top = parts.group_by("id", "parte").agg(punta=out.max(), hora_punta=pl.col("hora").filter(out == out.max()).min())
    after = (
        storms.select("id", "inicio", hasta=pl.coalesce("fin", pl.lit(hours["hora"].max(), UTC_TIME)))
        .join_where(hours, pl.col("hora") >= pl.col("inicio"), pl.col("hora") <= pl.col("hasta"))
        .join(top, on="id")
        .filter(pl.col("hora") > pl.col("hora_punta"))
        .join(parts, on=["id", "parte", "hora"], how="left")
        .filter(out.fill_null(0) <= LEFT * pl.col("punta"))
    )
    first = after.sort("hora").group_by("id", "parte").agg(pl.col("hora", "antes").first())
    return (
        top.join(first, on=["id", "parte"], how="left")
        .with_columns(horas_90=pl.when("antes").then((pl.col("hora") - pl.col("hora_punta")).dt.total_hours()))
        .select("id", "parte", "punta", "horas_90")
        .sort("id", "parte")
    )


def compared(storms: pl.DataFrame, regions: pl.DataFrame, companies: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Restoration by year and size, by region, and by company.

    Args:
        storms: By `storm_curves.STORMS_SCHEMA`.
        regions: `restored` of their regions.
        companies: `restored` of companies.

    Returns:
        Frames of grupo (year, code or name), tamano (lower bound of the peak), completa (all hours seen), tormentas,
        medidas (those with a time), and medians of punta, horas_90 and cobertura; ordered by their groups.
    """
    seen = storms.select("id", "cobertura")
    year = chile_date(pl.col("inicio")).dt.year().cast(pl.String)
    whole = storms.select("punta", "horas_90", "cobertura", grupo=year)
    frames = {"anho": whole, "region": regions.join(seen, on="id"), "empresa": companies.join(seen, on="id")}
    sizes = pl.sum_horizontal(pl.col("punta") >= size for size in SIZES)
    return {
        name: frame.rename({"parte": "grupo"}, strict=False)
        .with_columns(
            completa=pl.col("cobertura") >= FULL_COVERAGE,
            tamano=sizes.replace_strict(range(len(SIZES) + 1), (0, *SIZES), return_dtype=pl.Int64),
        )
        .group_by("grupo", "tamano", "completa")
        .agg(
            pl.len().alias("tormentas"),
            medidas=pl.col("horas_90").count(),
            **{column: pl.col(column).median() for column in ("punta", "horas_90", "cobertura")},
        )
        .sort("grupo", "tamano", "completa")
        for name, frame in frames.items()
    }
