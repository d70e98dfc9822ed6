"""Which payloads exist, what their rows are, and what they are computed from. A new payload is one line here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import polars as pl

from sec_core.gold.index_tables import official_comparison
from sec_core.gold.indices import quality, sensitivity
from sec_core.gold.model import PayloadRow
from sec_core.gold.payloads import coverage, projects, reliability, seen
from sec_core.gold.payloads.investment_validation import ValidationRow, investment_validation
from sec_core.gold.payloads.meta import MetaRow, meta
from sec_core.gold.payloads.storms import StormRow, largest
from sec_core.gold.seia.works import works

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sec_core.gold.frames import GoldFrames

Row = TypeVar("Row", bound=PayloadRow)


def rows_of(row: type[Row], table: pl.DataFrame) -> list[Row]:
    """The rows of a table with the columns of a payload."""
    return [row.model_validate(values) for values in table.select(list(row.model_fields)).to_dicts()]


@dataclass(frozen=True, slots=True)
class PayloadSpec:
    """A payload: its id, the model of its rows, what they are made from, and whether the public dashboard reads it.

    The dashboard's are in table `dashboard_stats` of Supabase, all others in `estadisticas`.
    """

    id: str
    row: type[PayloadRow]
    made: Callable[[GoldFrames], pl.DataFrame | Sequence[PayloadRow]]
    dashboard: bool = False

    def build(self, frames: GoldFrames) -> Sequence[PayloadRow]:
        """Its rows, validated."""
        made = self.made(frames)
        return rows_of(self.row, made) if isinstance(made, pl.DataFrame) else made


PAYLOADS = (
    PayloadSpec("market_map", seen.MarketMapRow, lambda f: seen.market_map(f.events, f.customers), True),
    PayloadSpec("time_series", seen.TimeSeriesRow, lambda f: seen.time_series(f.events, f.loads), True),
    PayloadSpec("company_ranking", seen.CompanyRankingRow, lambda f: seen.company_ranking(f.events), True),
    PayloadSpec(
        "investment_roi",
        projects.InvestmentRoiRow,
        lambda f: projects.investment_roi(f.events, f.projects, f.newest_day),
        True,
    ),
    PayloadSpec(
        "investment_validation", ValidationRow, lambda f: investment_validation(f.indices.comunal, works()), True
    ),
    PayloadSpec(
        "eda_quality_stats", coverage.QualityRow, lambda f: coverage.eda_quality_stats(f.imputation, f.events), True
    ),
    PayloadSpec(
        "eda_projects_dist", projects.ProjectDistributionRow, lambda f: projects.eda_projects_dist(f.projects), True
    ),
    PayloadSpec("reliability", reliability.ReliabilityRow, lambda f: f.indices.reliability),
    PayloadSpec(
        "quality",
        reliability.MonthQualityRow,
        lambda f: quality(f.indices.reliability, f.calendar, f.monthly.imputed, f.calendar),
    ),
    PayloadSpec(
        "sensitivity",
        reliability.SensitivityRow,
        lambda f: sensitivity(f.aggregated_panel(), f.loads, f.rules),
    ),
    PayloadSpec(
        "official_comparison",
        reliability.OfficialRow,
        lambda f: official_comparison(reliability.official(), f.monthly, f.seen, f.customers),
    ),
    PayloadSpec("storms", StormRow, lambda f: largest(f.storms)),
    PayloadSpec("coverage", coverage.CoverageRow, lambda f: coverage.coverage(f.calendar)),
    PayloadSpec("meta", MetaRow, meta, True),
)
