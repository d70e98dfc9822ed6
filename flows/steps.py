"""Steps that several flows take, in terms of tasks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loguru import logger

from flows.artifacts import show_report
from flows.capturing import capture_month
from flows.parameters import Part
from flows.report import SyncReport
from sec_core.bronze.capture import CaptureReport
from sec_core.errors import SourceError
from sec_core.silver.reports import month_figures
from tasks.capture import reconcile_week
from tasks.gold import build_gold_task
from tasks.load import load_month_task
from tasks.publish import publish_task
from tasks.universe import capture_universe, universe_is_known

if TYPE_CHECKING:
    from collections.abc import Collection

    from sec_core.gold.build import GoldReport
    from sec_core.gold.publish import PublishReport
    from sec_core.hours import Month
    from sec_core.silver.load import LoadReport
    from tasks.runtime import Runtime


@dataclass(slots=True)
class Work:
    """What a run has done so far.

    Attributes:
        captured: What asking for hours came to.
        loaded: Report of the load.
        gold: Report of the build of Gold.
        published: Report of the publication.
        notes: Lines that a reader should not miss.
    """

    captured: CaptureReport = field(default_factory=CaptureReport)
    loaded: LoadReport | None = None
    gold: GoldReport | None = None
    published: PublishReport | None = None
    notes: list[str] = field(default_factory=list)


async def work_on_month(
    run: Runtime, month: Month, parts: Collection[Part], *, wait_for_circuit: bool, force: bool = False
) -> Work:
    """Do parts of the work on a month, in their order.

    Args:
        run: Adapters of the run.
        month: The month.
        parts: What to do.
        wait_for_circuit: Whether to wait until an open circuit lets a probe out, and go on then.
        force: Ask for settled hours too.

    Returns:
        What was done.

    Raises:
        SecError: What a person should know; what was captured before stays.
    """
    work = Work()
    if Part.CAPTURE in parts:
        work.captured = await capture_month(run, month, wait_for_circuit=wait_for_circuit, force=force)
        work.notes += await _side_questions(run, month)
    if Part.LOAD in parts:
        work.loaded = await load_month_task(str(month))
    await finish(work, parts)
    return work


async def finish(work: Work, parts: Collection[Part]) -> None:
    """Build Gold and publish it, as far as asked for; the last steps of a run, whatever the number of its months."""
    if Part.GOLD in parts:
        work.gold = await build_gold_task()
        await show_report(work.gold.page)
    if Part.PUBLISH in parts:
        work.published = await publish_task()


async def _side_questions(run: Runtime, month: Month) -> list[str]:
    """Ask what belongs to a capture besides the hours: the national series, and customers once a month.

    A failure here costs no hour: it is noted, and the next run asks again.
    """
    notes: list[str] = []
    try:
        if not await asyncio.to_thread(universe_is_known, run):
            await capture_universe()
        await reconcile_week(str(month))
    except SourceError as error:
        logger.bind(stage="capture", code=error.code).warning("not all could be asked for: {error}", error=error)
        notes.append(f"Not all could be asked for besides the hours: {error}")
    return notes


def describe_month(run: Runtime, month: Month, work: Work) -> SyncReport:
    """Put together what a run of a month came to.

    Args:
        run: Adapters of the run.
        month: The month.
        work: What the run did.

    Returns:
        Figures of the whole month as it stands, besides what this run did.
    """
    summary = run.ledger.month_summary([month], run.clock.now())[0]
    figures = month_figures(run.database, month)
    report = SyncReport(
        month=str(month),
        expected=summary.expected,
        captured=summary.captured,
        empty=summary.empty,
        failed=summary.failed,
        quarantined=summary.quarantined,
        pending=summary.pending,
        requests=work.captured.requests,
        revisions=work.captured.captured,
        rows=figures.rows,
        observations=figures.observations,
        customers=figures.customers,
        events=figures.events,
        events_begun=figures.events_begun,
        imputed=figures.imputed,
        unresolved=figures.unresolved_rows,
        loaded_hours=work.loaded.hours_loaded if work.loaded else 0,
        outputs={"bronze": str(run.settings.bronze), "silver": repr(run.database)},
        notes=list(work.notes),
    )
    if work.gold:
        folder = work.gold.folder
        report.outputs |= {"events": str(work.gold.events_file), "payloads": str(folder / "dashboard_stats")}
        report.outputs["report"] = str(work.gold.page)
    if summary.suspect:
        report.notes.append(
            f"{summary.suspect} hours look cut short at the source; they are asked for again for a week."
        )
    if summary.differing:
        report.notes.append(f"{summary.differing} hours differ from the national series; they are asked for again.")
    if figures.unresolved_rows:
        report.notes.append(
            f"{figures.unresolved_rows} rows carry unknown names and count as UNKNOWN: see `sec names`."
        )
    if work.published:
        report.notes.append(work.published.line())
    return report
