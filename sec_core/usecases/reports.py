"""What a run of months reports: figures for a person, for `--json` and for artifacts."""

from dataclasses import asdict

from pydantic import BaseModel, Field

from sec_core.bronze.calendar import hours_text
from sec_core.bronze.ledger_rules import HourState
from sec_core.errors import IncompleteError
from sec_core.hours import Month
from sec_core.silver.reports import month_figures
from sec_core.usecases.adapters import Adapters

# What a person reads for each rule of imputation; the cap counts events, the others rows.
IMPUTATION_TEXT = {
    "clientes": "rows imputed: customers to 0",
    "geografia": "rows imputed: place to UNKNOWN",
    "empresa": "rows imputed: company to UNKNOWN",
    "fecha": "rows imputed: start date to the hour's",
    "tope": "events capped at the region's customers",
}

_TROUBLED = {HourState.FAILED, HourState.QUARANTINED}
# Fields of a report that say what a run did.
_OF_THE_RUN = {"month", "requests", "revisions", "loaded_hours", "outputs", "notes"}


class SyncReport(BaseModel):
    """Figures of a whole month as it stands; `requests`, `revisions` and `loaded_hours` are what one run did.

    Attributes:
        expected: Hours of the month that have ended and can be asked for.
        empty: Hours for which the source says that it has no data.
        quarantined: Hours whose only answers fit no known shape.
        rows: Rows of the month's captures that Silver holds.
        customers: Sum of customers over the month's rows.
        events: Events with an hour in the month.
        events_begun: Those of them that begin in it, which Gold counts under this month.
        imputed: Rows (events for the cap) touched by each imputation rule.
        unresolved: Rows whose place or company did not resolve.
        missing_hours: Which hours failed or are in quarantine, in Chile's wall clock.
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
    missing_hours: str = ""
    outputs: dict[str, str] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)

    @property
    def missing(self) -> int:
        """Hours that the run should have settled and did not."""
        return self.failed + self.quarantined + self.pending


class MonthsIncomplete(IncompleteError):
    """A run ended in good order without every hour; carries the reports of its months."""

    def __init__(self, reports: list[SyncReport]) -> None:
        first, command = reports[0], "the same"
        if len(reports) == 1:
            which = f" {first.missing_hours}." if first.missing_hours else ""
            text = f"{first.month}: {first.failed} hours failed, {first.quarantined} in quarantine, "
            text += f"{first.pending} not asked for, of {first.expected}.{which}"
            command = f"`sec sync --month {first.month}`"
        else:
            missing = [each for each in reports if each.missing]
            names = [f"{each.month} ({each.missing_hours})" if each.missing_hours else each.month for each in missing]
            few = ", ".join(names[:6] + ["..."] * (len(names) > 6))
            text = f"{len(missing)} of {len(reports)} months miss {sum(each.missing for each in missing)} hours: {few}."
        super().__init__(text, next_step=f"Run {command} again: it requests only these hours.")
        self.reports = reports


def describe_month(adapters: Adapters, report: SyncReport) -> SyncReport:
    """What a run did with a month, completed by the figures of the whole month as it stands."""
    month = Month.parse(report.month)
    (summary,) = adapters.ledger.month_summary([month], adapters.clock.now())
    figures = month_figures(adapters.database, month)
    standing = asdict(summary) | asdict(figures) | report.model_dump(include=_OF_THE_RUN)
    report = SyncReport.model_validate(standing | {"unresolved": figures.unresolved_rows})
    if summary.failed or summary.quarantined:
        states = adapters.ledger.states(month)
        report.missing_hours = hours_text(hour for hour, state in states.items() if state in _TROUBLED)
    places = {"bronze": str(adapters.settings.bronze), "silver": str(adapters.database.address)}
    report.outputs = places | report.outputs
    found = {
        "hours look cut short at the source; runs request them again for a week.": summary.suspect,
        f"hours have lost their kept body to damage: run `sec sync --month {month}`, which asks for them again, or "
        "restore the files from a backup and run `sec reprocess`.": summary.damaged,
        "hours differ from the national series; the next run requests them again.": summary.differing,
        "rows carry unknown names and count as UNKNOWN: see `sec names`.": report.unresolved,
    }
    report.notes += [f"{count} {what}" for what, count in found.items() if count]
    return report
