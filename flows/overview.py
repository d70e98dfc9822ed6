"""The overview of all months in the UI: one artifact of a fixed key, kept current by every run that works on months."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from prefect.artifacts import acreate_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey
from prefect.client.schemas.objects import ArtifactCollection

from sec_core.bronze.ledger_table import MonthSummary
from sec_core.clock import in_chile
from sec_core.hours import Month
from tasks.limits import OVERVIEW
from tasks.runtime import adapters

_PAGE = 200
_HOW = (
    "To mend a month: open its last run and press Retry, or run the deployment rerun-month (Custom run). "
    "A run that failed stays red; this table says how its month stands."
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
