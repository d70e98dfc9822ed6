"""Which payloads exist, what their rows are, and what they are computed from. A new payload is one line here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import polars as pl

from sec_core.gold.frames import GoldFrames
from sec_core.gold.model import PayloadRow
from sec_core.gold.payloads import basis, hours, seen
from sec_core.gold.payloads.investment_validation import ValidationRow, investment_validation, works
from sec_core.gold.payloads.storms import StormRow, largest

Row = TypeVar("Row", bound=PayloadRow)


def rows_of(row: type[Row], table: pl.DataFrame) -> list[Row]:
    """The rows of a table with the columns of a payload."""
    return [row.model_validate(values) for values in table.select(list(row.model_fields)).to_dicts()]


# What the public dashboard reads: table `dashboard_stats` of Supabase; all others are in `estadisticas`.
DASHBOARD = {
    "time_series", "company_ranking", "investment_roi", "eda_projects_dist", "market_map", "investment_validation",
    "eda_quality_stats", "meta",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PayloadSpec:
    """A payload: its id, the model of its rows, and what they are made from."""

    id: str
    row: type[PayloadRow]
    made: Callable[[GoldFrames], pl.DataFrame | Sequence[PayloadRow]]

    def build(self, frames: GoldFrames) -> Sequence[PayloadRow]:
        """Its rows, validated."""
        made = self.made(frames)
        return rows_of(self.row, made) if isinstance(made, pl.DataFrame) else made


PAYLOADS = (
    PayloadSpec("market_map", seen.MarketMapRow, lambda f: seen.market_map(f.events, f.customers)),
    PayloadSpec("time_series", seen.TimeSeriesRow, lambda f: seen.time_series(f.events, f.loads)),
    PayloadSpec("company_ranking", seen.CompanyRankingRow, lambda f: seen.company_ranking(f.events)),
    PayloadSpec(
        "investment_roi", seen.InvestmentRoiRow, lambda f: seen.investment_roi(f.events, f.projects, f.newest_day)
    ),
    PayloadSpec("investment_validation", ValidationRow, lambda f: investment_validation(f.indices.comunal, works())),
    PayloadSpec("eda_quality_stats", basis.QualityRow, lambda f: basis.eda_quality_stats(f.imputation, f.events)),
    PayloadSpec("eda_projects_dist", seen.ProjectDistributionRow, lambda f: seen.eda_projects_dist(f.projects)),
    PayloadSpec("reliability", hours.ReliabilityRow, lambda f: f.indices.reliability),
    PayloadSpec(
        "quality",
        hours.MonthQualityRow,
        lambda f: hours.quality(f.indices.reliability, f.calendar, f.monthly.imputed),
    ),
    PayloadSpec(
        "sensitivity", hours.SensitivityRow, lambda f: hours.sensitivity(f.aggregated_panel(), f.loads, f.rules)
    ),
    PayloadSpec(
        "official_comparison",
        hours.OfficialRow,
        lambda f: hours.official_comparison(hours.official(), f.monthly, f.seen, f.customers),
    ),
    PayloadSpec("storms", StormRow, lambda f: largest(f.storms)),
    PayloadSpec("coverage", basis.CoverageRow, lambda f: basis.coverage(f.calendar)),
    PayloadSpec("meta", basis.MetaRow, basis.meta),
)
