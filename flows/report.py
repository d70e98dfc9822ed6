"""What a run says at its end: figures for a person, for `--json` and for artifacts."""

from __future__ import annotations

from pydantic import BaseModel, Field

from sec_core.errors import IncompleteError

IMPUTATION_TEXT = {
    "clientes": "rows imputed: customers to 0",
    "geografia": "rows imputed: place to UNKNOWN",
    "empresa": "rows imputed: company to UNKNOWN",
    "fecha": "rows imputed: start date to the hour's",
    "tope": "events capped at the region's customers",
}
"""What a person reads for each rule of imputation; the cap counts events, the others rows."""


class SyncReport(BaseModel):
    """Outcome of one month's run.

    Attributes:
        month: The month as `YYYY-MM`.
        expected: Hours of the month that have ended and can be asked for.
        captured: Hours with data.
        empty: Hours for which the source says that it has no data.
        failed: Hours that could not be had.
        quarantined: Hours whose only answers fit no known shape.
        pending: Hours not asked for yet.
        requests: Requests that this run sent.
        revisions: Bodies kept by this run.
        rows: Rows of the month's captures that Silver holds.
        observations: Observations that they became.
        customers: Sum of customers over the month's rows.
        events: Events with an hour in the month.
        events_begun: Those of them that begin in it, which Gold counts under this month.
        imputed: Rows (events for the cap) touched by each imputation rule.
        unresolved: Rows whose place or company did not resolve.
        loaded_hours: Hours that this run wrote to Silver.
        outputs: Where the outputs lie, by name.
        notes: Lines that a reader should not miss.
    """

    month: str
    expected: int = 0
    captured: int = 0
    empty: int = 0
    failed: int = 0
    quarantined: int = 0
    pending: int = 0
    requests: int = 0
    revisions: int = 0
    rows: int = 0
    observations: int = 0
    customers: int = 0
    events: int = 0
    events_begun: int = 0
    imputed: dict[str, int] = Field(default_factory=dict)
    unresolved: int = 0
    loaded_hours: int = 0
    outputs: dict[str, str] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)

    @property
    def missing(self) -> int:
        """Hours that the run should have settled and did not."""
        return self.failed + self.quarantined + self.pending


class MonthIncomplete(IncompleteError):
    """A month's run ended in good order without every hour; carries the report."""

    def __init__(self, report: SyncReport) -> None:
        super().__init__(
            f"{report.month}: {report.failed} hours failed, {report.quarantined} in quarantine, "
            f"{report.pending} not asked for, of {report.expected}.",
            next_step=f"Run `sec sync --month {report.month}` again: only these hours are asked for.",
        )
        self.report = report


class MonthsIncomplete(IncompleteError):
    """A run over several months ended in good order without every hour; carries the reports."""

    def __init__(self, reports: list[SyncReport]) -> None:
        missing = [report for report in reports if report.missing]
        hours = sum(report.missing for report in missing)
        super().__init__(
            f"{len(missing)} of {len(reports)} months miss {hours} hours: {', '.join(_few(missing))}.",
            next_step="Run the same again: only these hours are asked for.",
        )
        self.reports = reports


def _few(reports: list[SyncReport]) -> list[str]:
    names = [report.month for report in reports[:6]]
    return names if len(reports) <= len(names) else [*names, "..."]
