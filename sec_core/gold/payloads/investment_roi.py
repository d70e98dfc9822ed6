"""`investment_roi`: customers affected for each million dollars of electricity projects, by region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import polars as pl
from pydantic import Field

from sec_core.gold.model import Count, PayloadRow

if TYPE_CHECKING:
    from datetime import date

DROPPED = (
    r"(?i)rechaz|desisti|no admit|inadmis|no calific|caduc|revoc|renunci|abandon|termino anticipado|término anticipado"
)
"""States of projects that will not be built: their investment does not count."""

APPROVED = r"(?i)^(rca )?aprobad|calificado favorable"
_CLASSES = ("mature", "arriving", "early", "pending")


class InvestmentRoiRow(PayloadRow):
    """One region."""

    nombre_region: str
    """Region."""
    clientes_afectados: Count
    """Sum of its events' customers over the whole history."""
    total_inversion_mmu: Annotated[float, Field(ge=0, alias="total_inversión_mmu")]
    """Investment of its projects, millions of US dollars, published as `total_inversión_mmu`: projects that were
    rejected, withdrawn or lapsed are left out; one that spans regions counts its share."""
    efficiency_ratio: Annotated[float, Field(ge=0)] | None
    """Customers affected for each million; null without investment."""
    maturity_note: str
    """When an effect can be expected, from the dates of approval."""


def investment_roi(events: pl.DataFrame, projects: pl.DataFrame, newest: date | None) -> list[InvestmentRoiRow]:
    """All regions with projects, by efficiency_ratio descending.

    Args:
        events: nombre_region, clientes_afectados.
        projects: `proyectos_seia`: nombre_region, inversion_mmu, fecha_calificacion, estado.
        newest: Day of the newest loaded hour, to which maturity is reckoned; None gives no rows at all.
    """
    if newest is None:
        return []
    built = projects.filter(~pl.col("estado").fill_null("").str.contains(DROPPED))
    affected = (
        events.group_by("nombre_region")
        .agg(pl.col("clientes_afectados").sum())
        .with_columns(pl.col("nombre_region").cast(pl.String))
    )
    amount = pl.col("inversion_mmu").fill_null(0)
    stage = maturity(newest)
    table = (
        built.with_columns(etapa=stage)
        .group_by("nombre_region")
        .agg(
            amount.sum().round(4).alias("total"),
            *(amount.filter(pl.col("etapa") == name).sum().alias(name) for name in _CLASSES),
        )
        .join(affected, on="nombre_region", how="left")
        .with_columns(pl.col("clientes_afectados").fill_null(0))
        .with_columns(
            efficiency_ratio=pl.when(pl.col("total") > 0).then(pl.col("clientes_afectados") / pl.col("total")).round(4)
        )
        .sort("efficiency_ratio", "nombre_region", descending=[True, False], nulls_last=True)
    )
    return [
        InvestmentRoiRow(
            nombre_region=row["nombre_region"],
            clientes_afectados=row["clientes_afectados"],
            total_inversion_mmu=row["total"],
            efficiency_ratio=row["efficiency_ratio"],
            maturity_note=note({name: row[name] for name in _CLASSES}),
        )
        for row in table.to_dicts()
    ]


def maturity(newest: date) -> pl.Expr:
    """How far a project is: works show an effect 2 to 3 years after their approval.

    `mature` (approved 3 years ago or more), `arriving` (2 to 3 years), `early` (less), `pending` (not approved, or the
    date of approval is not known).
    """
    approved = pl.when(pl.col("estado").fill_null("").str.contains(APPROVED)).then(pl.col("fecha_calificacion"))
    today = pl.lit(newest, dtype=pl.Date)
    return (
        pl.when(approved.is_null() | (approved > today))
        .then(pl.lit("pending"))
        .when(approved.dt.offset_by("3y") <= today)
        .then(pl.lit("mature"))
        .when(approved.dt.offset_by("2y") <= today)
        .then(pl.lit("arriving"))
        .otherwise(pl.lit("early"))
    )


def note(amounts: dict[str, float]) -> str:
    """The note on a region's investment by class, in Spanish, the largest class first in the sentence."""
    total = sum(amounts.values())
    if total <= 0:
        return "Sin inversión declarada."
    words = {
        "mature": "aprobada hace 3 años o más (su efecto ya debería verse)",
        "arriving": "aprobada hace 2 a 3 años (su efecto empieza)",
        "early": "aprobada hace menos de 2 años (muy pronto para un efecto)",
        "pending": "aún sin aprobar",
    }
    parts = sorted(((amounts[name] / total, words[name]) for name in _CLASSES if amounts[name] > 0), reverse=True)
    return "Inversión: " + ", ".join(f"{share:.0%} {word}" for share, word in parts) + "."
