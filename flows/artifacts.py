"""What a run leaves for people to see in the Prefect UI."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import httpx
from loguru import logger
from prefect.artifacts import (
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey
from prefect.client.schemas.objects import ArtifactCollection
from prefect.runtime import flow_run
from prefect.states import Running
from prefect.variables import Variable

from sec_core.bronze.calendar import PLAIN_MARKS, calendar_text
from sec_core.bronze.ledger_rules import HourState
from sec_core.bronze.ledger_table import MonthSummary
from sec_core.clock import in_chile
from sec_core.gold.customers import MOST_LISTED, Billing, billing_months
from sec_core.gold.payloads.storms import StormRow
from sec_core.gold.standing import BuiltGold
from sec_core.hours import CHILE, Month
from sec_core.text import counted, for_markdown
from sec_core.usecases.reports import IMPUTATION_TEXT, Step, SyncReport, Tally, listening
from tasks.limits import OVERVIEW, SITE_VARIABLE
from tasks.runtime import adapters, open_run
from tasks.steps import TASKS

_SHOW_EVERY_S = 5
_PAGE = 200
_HOW = (
    "To mend a month: open its last run and press Retry, or run the deployment rerun-month (Custom run). "
    "A run that failed stays red; this table says how its month stands."
)
# Units of a month's figures; the others are hours.
_UNITS = {
    "requests": "requests", "revisions": "kept answers", "rows": "rows", "observations": "observations",
    "customers": "customers, summed over rows", "events": "events", "events_begun": "events", "unresolved": "rows",
}  # fmt: skip


async def show_month(report: SyncReport, states: Mapping[datetime, HourState]) -> None:
    """A table of a month's figures, one of the quality of its data, the month as a calendar, the overview anew."""
    figures = report.model_dump(exclude={"month", "imputed", "outputs", "notes"})
    # The UI takes text for Markdown.
    figures["missing_hours"] = for_markdown(report.missing_hours)
    notes = "\n".join(f"- {for_markdown(note)}" for note in report.notes)
    await acreate_table_artifact(
        key=f"month-{report.month}",
        table=[
            {"what": name.replace("_", " "), "figure": value, "unit": _UNITS.get(name, "hours" if value else "")}
            for name, value in figures.items()
        ],
        description="\n\n".join([f"# Month {report.month}", standing(report), notes]),
    )
    await acreate_table_artifact(
        key=f"quality-{report.month}",
        table=quality_table(report),
        description=f"# Quality of the data of {report.month}\n\nNo row is dropped: what is imputed is counted.",
    )
    await acreate_markdown_artifact(
        key=f"hours-{report.month}",
        markdown=f"```\n{calendar_text(Month.parse(report.month), states, PLAIN_MARKS)}\n```",
        description=f"# Hours of {report.month}\n\nA line for each day, a mark for each hour of the Chile wall clock.",
    )
    await show_overview()


def standing(report: SyncReport) -> str:
    """Whether a month is complete; if not, which hours it lacks and how it is mended. Pure."""
    if not report.missing:
        captured = counted(report.captured, "hour")
        return f"Complete: {captured} captured, {report.empty} empty at the source, none missing."
    which = f": {report.missing_hours} (Chile)" if report.missing_hours else ""
    are = "is" if report.missing == 1 else "are"
    return (
        f"Incomplete: {report.missing} of {report.expected} hours {are} missing{which}. The run's log says why. "
        "To mend: press Retry in the run, or run rerun-month; only what is missing is asked for."
    )


def quality_table(report: SyncReport) -> list[dict[str, str | int]]:
    """How much of a month was imputed by each rule, as a count and a share. Pure."""
    counts = {
        rule: (report.imputed.get(rule, 0), report.events if rule == "tope" else report.rows)
        for rule in IMPUTATION_TEXT
    }
    return [
        {"what": IMPUTATION_TEXT[rule], "count": count, "of": whole, "share": f"{count / whole:.2%}" if whole else ""}
        for rule, (count, whole) in counts.items()
    ]


async def show_months(reports: list[SyncReport]) -> None:
    """A table of several months, a line each; a single month has its own already."""
    if len(reports) == 1:
        return
    columns = ("month", "expected", "captured", "empty", "failed", "quarantined", "pending", "rows", "events")
    await acreate_table_artifact(
        key="months",
        table=[{name: getattr(report, name) for name in columns} for report in reports],
        description=f"# {len(reports)} months\n\nHours; rows of the source, and events, are counts.",
    )


async def show_gold(built: BuiltGold) -> None:
    """Links to the site, as the stack serves it and where it is put up, and a table of storms that are new."""
    if built.new_storms:
        await acreate_table_artifact(
            key="storms", table=storm_table(built.new_storms), description="# New storms, the largest first"
        )
    public = adapters().settings.site_url
    served = await Variable.aget(SITE_VARIABLE, default="")
    for key, link in (("site", served), ("site-public", public)):
        if link:
            await acreate_link_artifact(key=key, link=str(link), link_text="The site", description="Its first page")


def storm_table(storms: Sequence[StormRow]) -> list[dict[str, str | int | None]]:
    """Storms as a person reads them. Pure."""
    return [
        {
            "begin (Chile)": f"{storm.inicio.astimezone(CHILE):%Y-%m-%d %Hh}",
            "name": for_markdown(storm.nombre or ""),
            "peak": storm.punta,
            "comunas": storm.comunas,
            "hours to 95%": storm.horas_95,
            "coverage": f"{storm.cobertura:.0%}",
            "note": for_markdown(storm.nota or ""),
        }
        for storm in storms
    ]


async def show_billing(file: str, found: Billing) -> None:
    """A table of a billing file's months, with the rows that were left out above it."""
    taken = f"{counted(found.rows, 'row')} taken in, {len(found.rejected)} left out."
    bad = [f"- Row {each.row} was left out: {for_markdown(each.reason)}" for each in found.rejected[:MOST_LISTED]]
    await acreate_table_artifact(
        key="customers",
        table=billing_months(found.customers).to_dicts(),
        description="\n".join([f"# {for_markdown(file)}", "", taken, *bad]),
    )


async def show_overview() -> None:
    """Bring the overview up to date."""
    run = adapters()
    now = run.clock.now()
    summaries = await asyncio.to_thread(lambda: run.ledger.month_summary(run.ledger.months()[::-1], now))
    async with get_client() as client:
        found: dict[str, ArtifactCollection] = {}
        for key in (OVERVIEW, "month-%"):
            wanted = ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(like_=key))
            for page in range(1 + len(summaries) // _PAGE):
                latest = await client.read_latest_artifacts(artifact_filter=wanted, limit=_PAGE, offset=page * _PAGE)
                found |= {each.key: each for each in latest}
        text = overview_text(summaries, found, now)
        if (shown := found.get(OVERVIEW)) is not None:
            # One artifact for ever: its address stays.
            await client.update_artifact(shown.latest_id, ArtifactUpdate(data=text))
        else:
            await acreate_markdown_artifact(key=OVERVIEW, markdown=text, description="All months")


def overview_text(summaries: Sequence[MonthSummary], artifacts: Mapping[str, ArtifactCollection], now: datetime) -> str:
    """A line for each month: what is missing, when a run was last at work on it, and links. Pure."""
    lines = [
        f"As of {in_chile(now)}. Counts of hours that have ended.",
        "",
        _HOW,
        "",
        "| month | state | hours | captured | empty at the source | missing | last run |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in summaries:
        missing = each.expected - each.captured - each.empty
        state = "✗ incomplete" if missing else "✓ complete"
        if each.month == Month.of(now):
            state = "… under way"
        shown = artifacts.get(f"month-{each.month}")
        month, last = str(each.month), ""
        if shown is not None and shown.updated is not None:
            month = f"[{month}](/artifacts/artifact/{shown.latest_id})"
            last = f"[{in_chile(shown.updated)}](/runs/flow-run/{shown.flow_run_id})"
        lines.append(f"| {month} | {state} | {each.expected} | {each.captured} | {each.empty} | {missing} | {last} |")
    return "\n".join(lines)


# The steps of a run as tasks, and what they show.
STEPS = replace(TASKS, show_month=show_month, show_months=show_months, show_gold=show_gold)


@asynccontextmanager
async def at_work() -> AsyncIterator[None]:
    """A run that takes its steps as tasks, with a bar in the UI for each month that is requested in it."""
    bars, ended = _Bars(), asyncio.Event()

    async def keep_showing() -> None:
        while not ended.is_set():
            await bars.show()
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), _SHOW_EVERY_S)
        await bars.show()

    with open_run(steps=STEPS), listening(bars.take):
        showing = asyncio.create_task(keep_showing())
        try:
            yield
        finally:
            ended.set()
            await showing


class _Bars:
    """A progress artifact for each month, with counts of what became of its hours."""

    def __init__(self) -> None:
        self._tallies: defaultdict[str, Tally] = defaultdict(Tally)
        self._bars: dict[str, tuple[UUID, tuple[int, str]]] = {}
        self._note = self._state = ""

    def take(self, step: Step) -> None:
        if step.stage == "capture":
            self._tallies[step.month].take(step)
        elif step.note is not None:
            self._note = step.note

    async def show(self) -> None:
        state = next((tally.note for tally in self._tallies.values() if tally.note), self._note)
        try:
            if state != self._state:
                # The run's state says what it waits for, or what lies before it.
                name = "Waiting" if state.startswith("Waiting") else "Running"
                async with get_client() as client:
                    await client.set_flow_run_state(UUID(flow_run.id), Running(name=name, message=state or None))
                self._state = state
            await self._draw()
        except httpx.HTTPError as error:
            # The hours matter, not the bar.
            logger.bind(stage="capture").debug("A bar in the UI can't be drawn: {error}", error=repr(error))

    async def _draw(self) -> None:
        for month, tally in self._tallies.items():
            bar, shown = self._bars.get(month, (None, None))
            drawn = tally.done, tally.note
            if drawn == shown or not (tally.total or tally.note):
                continue
            percent = 100 * min(tally.done / tally.total, 1) if tally.total else 0
            text = f"# {counted(tally.total, 'hour')} of {month} to request\n\n{for_markdown(tally.text)}"
            if bar is None:
                bar = await acreate_progress_artifact(percent, key=f"capture-{month}", description=text)
            else:
                await aupdate_progress_artifact(bar, percent, text)
            self._bars[month] = bar, drawn
