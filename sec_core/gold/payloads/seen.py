"""`market_map`, `time_series`, `company_ranking`, `investment_roi`: sums of the events seen; `eda_projects_dist`.

What hours without data hid is not in them. An event belongs to the month of its beginning; its customers are its
high-water mark. Electricity projects are those of the SEIA, by region.
"""

from datetime import date
from typing import Annotated, Final

import polars as pl
from pydantic import Field

from sec_core.gold.customers import newest
from sec_core.gold.model import Count, MonthStart, PayloadRow, Percent

UNNAMED: Final = ("UNKNOWN", "NO INFORMADA")
TOP: Final = 15

# States of projects that will not be built: their investment does not count.
DROPPED: Final = (
    r"(?i)rechaz|desisti|no admit|inadmis|no calific|caduc|revoc|renunci|abandon|termino anticipado|término anticipado"
)
APPROVED: Final = r"(?i)^(rca )?aprobad|calificado favorable"
# How far a project is, as notes say it: works show an effect 2 to 3 years after their approval.
STAGES: Final = {
    "mature": "aprobada hace 3 años o más (su efecto ya debería verse)",
    "arriving": "aprobada hace 2 a 3 años (su efecto empieza)",
    "early": "aprobada hace menos de 2 años (muy pronto para un efecto)",
    "pending": "aún sin aprobar",
}


class MarketMapRow(PayloadRow):
    """One comuna and company."""

    nombre_region: str
    """Region, `UNKNOWN` where the source's names did not resolve."""
    nombre_comuna: str
    """Comuna, or `UNKNOWN`."""
    nombre_empresa: str
    """Company, `UNKNOWN`, or `NO INFORMADA` where the source names none."""
    total_afectados: Count
    """Sum of the events' customers (high-water marks)."""
    frecuencia: Count
    """Number of events."""
    instability_index: Percent | None
    """`total_afectados` over the region's customers in percent, at most 100; null where the region's customers are
    not known."""


class TimeSeriesRow(PayloadRow):
    """One region in one month."""

    mes: MonthStart
    """Month of the events' beginning, `YYYY-MM-01`, Chile wall clock."""
    nombre_region: str
    """Region, or `UNKNOWN`."""
    afectados: Count
    """Sum of the events' customers (high-water marks)."""


class CompanyRankingRow(PayloadRow):
    """One company that the source named."""

    nombre_empresa: str
    """The company."""
    total_eventos: Count
    """Number of its events."""
    total_clientes_afectados: Count
    """Sum of their customers (high-water marks)."""
    promedio_afectados: Annotated[float, Field(ge=0)]
    """Mean of their customers, two decimals."""


class ProjectDistributionRow(PayloadRow):
    """One region."""

    nombre_region: str
    """Region."""
    count: Count
    """Projects in it; one that spans regions counts in each."""


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


def market_map(events: pl.DataFrame, customers: pl.DataFrame) -> pl.DataFrame:
    """All comunas and companies that had events, in the order of their names.

    Args:
        events: nombre_region, nombre_comuna, nombre_empresa, clientes_afectados.
        customers: see `customers.CUSTOMERS_SCHEMA`; the newest figure of each region is used.
    """
    names = ("nombre_region", "nombre_comuna", "nombre_empresa")
    index = (pl.col("clientes") * 100.0 / pl.col("universo")).clip(upper_bound=100.0).round(6)
    return (
        _sums(events, *names)
        .join(newest(customers), on="nombre_region", how="left")
        .sort(names)
        .select(*names, total_afectados="clientes", frecuencia="eventos", instability_index=index)
    )


def time_series(events: pl.DataFrame, loads: pl.DataFrame) -> pl.DataFrame:
    """All regions that had events in the months with a loaded hour, by month.

    What began in other months (long outages do) is in `meta` as `fuera_de_ventana`. A pair without events has no row:
    `coverage` tells whether that means none, or no data.

    Args:
        events: mes, nombre_region, clientes_afectados.
        loads: mes of the loaded hours.
    """
    within = events.join(loads, on="mes", how="semi")
    sums = _sums(within, "mes", "nombre_region").sort("mes", "nombre_region")
    return sums.select("mes", "nombre_region", afectados="clientes")


def company_ranking(events: pl.DataFrame) -> pl.DataFrame:
    """The 15 known companies with the most customers affected, descending; ties by events, then by name.

    Args:
        events: nombre_empresa, clientes_afectados.
    """
    return (
        _sums(events, "nombre_empresa")
        .filter(~pl.col("nombre_empresa").is_in(UNNAMED))
        .sort("clientes", "eventos", "nombre_empresa", descending=[True, True, False])
        .head(TOP)
        .select(
            "nombre_empresa",
            total_eventos="eventos",
            total_clientes_afectados="clientes",
            promedio_afectados=(pl.col("clientes") / pl.col("eventos")).round(2),
        )
    )


def _sums(events: pl.DataFrame, *keys: str) -> pl.DataFrame:
    """By these keys, as text: eventos, clientes."""
    sums = events.group_by(keys).agg(eventos=pl.len(), clientes=pl.col("clientes_afectados").sum())
    return sums.with_columns(pl.col(pl.Categorical).cast(pl.String))


def eda_projects_dist(projects: pl.DataFrame) -> pl.DataFrame:
    """All regions that have projects, descending by count, then by name.

    Args:
        projects: `proyectos_seia`: nombre_region.
    """
    return projects.group_by("nombre_region").len("count").sort("count", "nombre_region", descending=[True, False])


def investment_roi(events: pl.DataFrame, projects: pl.DataFrame, newest: date | None) -> pl.DataFrame:
    """All regions with projects, by efficiency_ratio descending.

    Args:
        events: nombre_region, clientes_afectados.
        projects: `proyectos_seia`: nombre_region, inversion_mmu, fecha_calificacion, estado.
        newest: Day of the newest loaded hour, to which maturity is reckoned; None gives no rows at all.
    """
    built = projects.filter(~pl.col("estado").fill_null("").str.contains(DROPPED), newest is not None)
    affected = events.group_by(pl.col("nombre_region").cast(pl.String)).agg(pl.col("clientes_afectados").sum())
    amount = pl.col("inversion_mmu").fill_null(0)
    ratio = pl.when(pl.col("total_inversion_mmu") > 0).then(
        pl.col("clientes_afectados") / pl.col("total_inversion_mmu")
    )
    return (
        built.with_columns(etapa=stage(newest))
        .group_by("nombre_region")
        .agg(
            total_inversion_mmu=amount.sum().round(4),
            etapas=pl.struct(amount.filter(pl.col("etapa") == name).sum().alias(name) for name in STAGES),
        )
        .join(affected, on="nombre_region", how="left")
        .with_columns(pl.col("clientes_afectados").fill_null(0))
        .select(
            "nombre_region",
            "clientes_afectados",
            "total_inversion_mmu",
            efficiency_ratio=ratio.round(4),
            maturity_note=pl.col("etapas").map_elements(note, pl.String),
        )
        .sort("efficiency_ratio", "nombre_region", descending=[True, False], nulls_last=True)
    )


def stage(newest: date | None) -> pl.Expr:
    """How far a project is, see `STAGES`; `pending` too where the date of approval is not known."""
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
    """The note on a region's investment by stage, in Spanish, the largest first in the sentence."""
    total = sum(amounts.values())
    if total <= 0:
        return "Sin inversión declarada."
    parts = sorted(((amount / total, STAGES[name]) for name, amount in amounts.items() if amount > 0), reverse=True)
    return "Inversión: " + ", ".join(f"{share:.0%} {words}" for share, words in parts) + "."
