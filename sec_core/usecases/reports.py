"""What a run of months reports: figures for a person, for `--json` and for artifacts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from sec_core.bronze.calendar import hours_text
from sec_core.bronze.ledger_rules import HourState
from sec_core.errors import IncompleteError, SecError
from sec_core.hours import Month
from sec_core.silver.reports import month_figures

if TYPE_CHECKING:
    from sec_core.bronze.capture import CaptureReport
    from sec_core.gold.publish import PublishReport
    from sec_core.gold.standing import BuiltGold
    from sec_core.silver.load import LoadReport
    from sec_core.usecases.adapters import Adapters
    from sec_core.usecases.gold import SiteReport

# What a person reads for each rule of imputation; the cap counts events, the others rows.
IMPUTATION_TEXT = {
    "clientes": "rows imputed: customers to 0",
    "geografia": "rows imputed: place to UNKNOWN",
    "empresa": "rows imputed: company to UNKNOWN",
    "fecha": "rows imputed: start date to the hour's",
    "tope": "events capped at the region's customers",
}


_TROUBLED = {HourState.FAILED, HourState.QUARANTINED}


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


@dataclass(slots=True)
class Done:
    """What a run has done so far; parts that it did not do are empty.

    Attributes:
        trouble: What ended the capture early; the run raises it when all else is done.
    """

    captured: CaptureReport | None = None
    loaded: LoadReport | None = None
    gold: BuiltGold | None = None
    published: PublishReport | None = None
    site: SiteReport | None = None
    trouble: SecError | None = None
    notes: list[str] = field(default_factory=list)


def describe_month(adapters: Adapters, month: Month, done: Done) -> SyncReport:
    """Figures of the whole month as it stands, and what a run did."""
    (summary,) = adapters.ledger.month_summary([month], adapters.clock.now())
    figures = month_figures(adapters.database, month)
    standing = asdict(summary) | asdict(figures)
    report = SyncReport.model_validate(
        {name: standing[name] for name in SyncReport.model_fields if name in standing}
        | {
            "month": str(month),
            "unresolved": figures.unresolved_rows,
            "requests": done.captured.requests if done.captured else 0,
            "revisions": done.captured.captured if done.captured else 0,
            "loaded_hours": done.loaded.hours_loaded if done.loaded else 0,
            "outputs": {"bronze": str(adapters.settings.bronze), "silver": str(adapters.database.address)},
            "notes": [*done.notes],
        }
    )
    if summary.failed or summary.quarantined:
        states = adapters.ledger.states(month)
        report.missing_hours = hours_text(hour for hour, state in states.items() if state in _TROUBLED)
    if done.gold:
        gold = adapters.settings.gold
        report.outputs |= {what: str(gold / name) for what, name in done.gold.outputs.items()}
    found = {
        "hours look cut short at the source; runs request them again for a week.": summary.suspect,
        f"hours have lost their kept body to damage: run `sec sync --month {month}`, which asks for them again, or "
        "restore the files from a backup and run `sec reprocess`.": summary.damaged,
        "hours differ from the national series; the next run requests them again.": summary.differing,
        "rows carry unknown names and count as UNKNOWN: see `sec names`.": report.unresolved,
    }
    report.notes += [f"{count} {what}" for what, count in found.items() if count]
    if done.published:
        report.notes.append(done.published.line())
    if done.site and done.site.target:
        report.notes.append(done.site.line())
    return report
