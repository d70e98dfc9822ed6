"""What a run reports: news while it works, and at its end the figures of its months, for people and for `--json`."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import ParamSpec, TypeVar, cast

from pydantic import BaseModel, Field

from sec_core.bronze.calendar import hours_text
from sec_core.bronze.ledger_rules import HourState
from sec_core.errors import CircuitOpen, IncompleteError, SecError, UnexpectedBody
from sec_core.hours import Month
from sec_core.silver.reports import month_figures
from sec_core.text import counted
from sec_core.usecases.adapters import Adapters

Item = TypeVar("Item")
P = ParamSpec("P")
T = TypeVar("T")

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


@dataclass(frozen=True, slots=True)
class Step:
    """One piece of news.

    Attributes:
        stage: capture, universe, load, gold, publish or months.
        month: The month at work as `YYYY-MM`, or an empty string.
        total: Units of work that are to be done now, for capture hours; None if that is not new.
        done: Units done since the last piece of news.
        label: What became of them, such as a state of an hour.
        note: What the work waits for, or says before it begins; empty when it goes on, None if that is not new.
    """

    stage: str
    month: str = ""
    total: int | None = None
    done: int = 0
    label: str = ""
    note: str | None = None


_listeners: list[Callable[[Step], None]] = []


def report(step: Step) -> None:
    """Tell every listener."""
    for listener in tuple(_listeners):
        listener(step)


@contextmanager
def listening(listener: Callable[[Step], None]) -> Iterator[None]:
    """Tell `listener` of every step inside the block."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


async def in_thread(stage: str, month: str, work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Do blocking work in a thread, as one unit of a stage."""
    report(Step(stage, month, total=1))
    result = await asyncio.to_thread(partial(work, *arguments, **options))
    report(Step(stage, month, done=1))
    return result


async def side_by_side(work: Callable[[Item], Awaitable[T]], items: Iterable[Item], at_once: int) -> list[T]:
    """Work on items, so many at once, and give the results in their order.

    What is under way when one fails ends by itself; what waits does not begin. Then the gravest failure is raised: a
    changed source first, an open circuit, which follows from others, last.
    """
    places, failures = asyncio.Semaphore(at_once), list[SecError]()

    async def one(item: Item) -> T | None:
        async with places:
            if not failures:
                try:
                    return await work(item)
                except SecError as error:
                    failures.append(error)
            return None

    results = await asyncio.gather(*map(one, items))
    if failures:
        raise min(
            failures, key=lambda failure: (isinstance(failure, CircuitOpen), not isinstance(failure, UnexpectedBody))
        )
    return cast("list[T]", results)


@dataclass(slots=True)
class Tally:
    """What was reported so far of a stage of a month."""

    total: int = 0
    states: Counter[str] = field(default_factory=Counter)
    note: str = ""

    def take(self, step: Step) -> None:
        """Count a step in."""
        if step.total is not None:
            self.total = self.done + step.total
        self.states[step.label] += step.done
        self.note = self.note if step.note is None else step.note

    @property
    def done(self) -> int:
        """Units done."""
        return self.states.total()

    @property
    def text(self) -> str:
        """What became of them, as `3 empty, 24 captured`, and what it waits for."""
        counts = ", ".join(f"{count} {label}" for label, count in sorted(self.states.items()) if label)
        return ". ".join(filter(None, (counts, self.note)))


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
            text = f"{first.month}: {counted(first.failed, 'hour')} failed, {first.quarantined} in quarantine, "
            text += f"{first.pending} not asked for, of {first.expected}.{which}"
            command = f"`sec sync --month {first.month}`"
        else:
            missing = [each for each in reports if each.missing]
            names = [f"{each.month} ({each.missing_hours})" if each.missing_hours else each.month for each in missing]
            few = ", ".join(names[:6] + ["..."] * (len(names) > 6))
            hours = counted(sum(each.missing for each in missing), "hour")
            miss = "misses" if len(missing) == 1 else "miss"
            text = f"{len(missing)} of {counted(len(reports), 'month')} {miss} {hours}: {few}."
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
