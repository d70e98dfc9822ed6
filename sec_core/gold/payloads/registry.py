"""Which payloads exist, what their rows are, and what they are computed from. A new payload is one line here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from sec_core.gold.indices import quality, sensitivity
from sec_core.gold.model import PayloadRow
from sec_core.gold.payloads.company_ranking import CompanyRankingRow, company_ranking
from sec_core.gold.payloads.coverage import CoverageRow, coverage
from sec_core.gold.payloads.eda_projects_dist import ProjectDistributionRow, eda_projects_dist
from sec_core.gold.payloads.eda_quality_stats import QualityRow, eda_quality_stats
from sec_core.gold.payloads.investment_roi import InvestmentRoiRow, investment_roi
from sec_core.gold.payloads.investment_validation import ValidationRow, investment_validation
from sec_core.gold.payloads.market_map import MarketMapRow, market_map
from sec_core.gold.payloads.meta import MetaRow, meta
from sec_core.gold.payloads.official_comparison import OfficialRow, official_comparison
from sec_core.gold.payloads.reliability import MonthQualityRow, ReliabilityRow, SensitivityRow
from sec_core.gold.payloads.storms import StormRow, largest
from sec_core.gold.payloads.time_series import TimeSeriesRow, time_series
from sec_core.gold.seia.works import works

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

    from sec_core.gold.frames import GoldFrames

Row = TypeVar("Row", bound=PayloadRow)


@dataclass(frozen=True, slots=True)
class PayloadSpec:
    """A payload: its id, the model of its rows, what computes it, and whether the public dashboard reads it.

    The dashboard's are in table `dashboard_stats` of Supabase, all others in `estadisticas`.
    """

    id: str
    row: type[PayloadRow]
    build: Callable[[GoldFrames], Sequence[PayloadRow]]
    dashboard: bool = True


def rows_of(row: type[Row], table: pl.DataFrame) -> list[Row]:
    """The rows of a table with the columns of a payload."""
    return [row.model_validate(values) for values in table.select(list(row.model_fields)).to_dicts()]


PAYLOADS: tuple[PayloadSpec, ...] = (
    PayloadSpec("market_map", MarketMapRow, lambda f: market_map(f.events, f.customers)),
    PayloadSpec("time_series", TimeSeriesRow, lambda f: time_series(f.events, f.loads)),
    PayloadSpec("company_ranking", CompanyRankingRow, lambda f: company_ranking(f.events)),
    PayloadSpec("investment_roi", InvestmentRoiRow, lambda f: investment_roi(f.events, f.projects, f.newest_day)),
    PayloadSpec(
        "investment_validation",
        ValidationRow,
        lambda f: investment_validation(f.indices.comunal, works()),
    ),
    PayloadSpec("eda_quality_stats", QualityRow, lambda f: eda_quality_stats(f.imputation, f.events)),
    PayloadSpec("eda_projects_dist", ProjectDistributionRow, lambda f: eda_projects_dist(f.projects)),
    PayloadSpec(
        "reliability", ReliabilityRow, lambda f: rows_of(ReliabilityRow, f.indices.reliability), dashboard=False
    ),
    PayloadSpec(
        "quality",
        MonthQualityRow,
        lambda f: rows_of(MonthQualityRow, quality(f.indices.reliability, f.calendar, f.monthly.imputed, f.calendar)),
        dashboard=False,
    ),
    PayloadSpec(
        "sensitivity",
        SensitivityRow,
        lambda f: rows_of(SensitivityRow, sensitivity(f.aggregated_panel(), f.loads, f.rules)),
        dashboard=False,
    ),
    PayloadSpec("official_comparison", OfficialRow, official_comparison, dashboard=False),
    PayloadSpec("storms", StormRow, lambda f: rows_of(StormRow, largest(f.storms)), dashboard=False),
    PayloadSpec("coverage", CoverageRow, lambda f: coverage(f.calendar), dashboard=False),
    PayloadSpec("meta", MetaRow, meta),
)
