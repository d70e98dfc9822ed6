"""Flows over months: the main job, its parts, and work on many months."""

from collections.abc import Awaitable, Sequence
from typing import Annotated, Literal, cast

from loguru import logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import arun_deployment
from prefect.flow_runs import wait_for_flow_run
from prefect.runtime import flow_run as this_run
from prefect.states import Cancelling
from pydantic import Field, WithJsonSchema

from flows.telling import OtherSource, flow
from sec_core.clock import SystemClock
from sec_core.hours import Month
from sec_core.text import counted
from sec_core.usecases import months as usecases
from sec_core.usecases.months import ALL_FAILED, ALL_PARTS, Order, Part, month_or_last
from sec_core.usecases.reports import SyncReport
from tasks.runtime import adapters

RERUN_MONTH = "rerun-month/rerun-month"

MOST_MONTHS = 240
MonthText = Annotated[
    str, Field(pattern=r"^20[0-9]{2}-(0?[1-9]|1[0-2])$", examples=["2024-08"], title="Month (YYYY-MM)")
]
WaitForSource = Annotated[bool, Field(title="Wait for the source")]

# The form leaves a constant blank, and then refuses it as missing: a list of one choice can be chosen.
AllFailed = Annotated[
    Literal["all failed"],
    WithJsonSchema({"type": "string", "enum": ["all failed"], "title": "All closed months that miss hours"}),
]


def months_run_name() -> str:
    """Name of a run: its flow and the months that it is about, as months are written."""
    chosen = this_run.parameters
    wanted = chosen.get("months") or [chosen["first"], chosen["last"]]
    texts = [wanted] if isinstance(wanted, str) else wanted
    written = [text if text == ALL_FAILED else str(Month.parse(text)) for text in texts]
    return f"{this_run.flow_name} {(', ' if 'months' in chosen else ' to ').join(written)}"


def month_run_name() -> str:
    """Name of a run: its flow and the month that it is about."""
    return f"{this_run.flow_name} {month_or_last(this_run.parameters.get('month'), SystemClock())}"


@flow(name="monthly-sync", flow_run_name=month_run_name)
async def monthly_sync(
    month: MonthText | None = None, wait_for_circuit: WaitForSource = True, other_source: OtherSource = False
) -> SyncReport:
    """Capture a month, load it, build Gold and publish it.

    Only hours that are not settled are requested, so running it again is cheap and mends what failed.

    Args:
        month: The month as YYYY-MM. Without one, the month before the present one in Chile.
        wait_for_circuit: Wait out the pause after repeated errors of the source (the circuit); without, the run ends.
        other_source: Publish to Supabase also data of the simulator or of another host than the SEC's.
    """
    return await usecases.sync_month(adapters(), month, wait_for_circuit=wait_for_circuit, other_source=other_source)


@flow(name="capture", flow_run_name=month_run_name)
async def capture(
    month: MonthText | None = None,
    wait_for_circuit: WaitForSource = True,
    force: Annotated[bool, Field(title="Ask for settled hours too")] = False,
) -> SyncReport:
    """Ask the source for the hours of a month that are not settled, and keep what it says.

    Args:
        month: The month as YYYY-MM. Without one, the month before the present one in Chile.
        wait_for_circuit: Wait out the pause after repeated errors of the source (the circuit); without, the run ends.
        force: Ask for every hour of the month again; what differs is kept as a new revision.
    """
    return await usecases.capture_month(adapters(), month, wait_for_circuit=wait_for_circuit, force=force)


@flow(name="load", flow_run_name=month_run_name)
async def load(month: MonthText | None = None) -> SyncReport:
    """Bring PostgreSQL up to what Bronze holds of a month, without a request to the source.

    Args:
        month: The month as YYYY-MM. Without one, the month before the present one in Chile.
    """
    return await usecases.load_month(adapters(), month)


async def _cancel_months(flow: object, flow_run: FlowRun, state: object) -> None:  # noqa: ARG001 - so they are passed
    """Cancel the runs that a cancelled backfill has made; those that have not begun never will."""
    under_way = {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING", "PAUSED"]}}
    wanted = FlowRunFilter.model_validate({"parent_flow_run_id": {"any_": [flow_run.id]}, "state": under_way})
    async with get_client() as client:
        for page in (200, 0):
            for each in await client.read_flow_runs(flow_run_filter=wanted, limit=200, offset=page):
                await client.set_flow_run_state(each.id, Cancelling(message=f"{flow_run.name} was cancelled."))


@flow(name="backfill", flow_run_name=months_run_name, on_cancellation=[_cancel_months])
async def backfill(
    first: MonthText,
    last: MonthText,
    order: Order = Order.NEWEST_FIRST,
    wait_for_circuit: WaitForSource = True,
    share: Annotated[bool, Field(title="Share among workers")] = False,
    other_source: OtherSource = False,
) -> list[SyncReport]:
    """Capture and load many months, then build and publish Gold once.

    It can be stopped at any time: run again, it asks only for what is missing.

    Args:
        first: The earliest month as YYYY-MM.
        last: The latest month as YYYY-MM.
        order: Whether to begin with the newest month or the oldest.
        wait_for_circuit: Wait out the pause after repeated errors of the source (the circuit); without, the run ends.
        share: Make a run of `rerun-month` of each month, which any number of workers can take; needs deployments.
            Otherwise this run works through them one after the other.
        other_source: Publish to Supabase also data of the simulator or of another host than the SEC's.
    """
    chosen = {"wait_for_circuit": wait_for_circuit, "other_source": other_source}
    if not share:
        return await usecases.backfill(adapters(), first, last, order=order, **chosen)
    months = usecases.in_order(first, last, order, adapters().clock)
    await _share_out(months, wait_for_circuit=wait_for_circuit)
    return await usecases.conclude(adapters(), months, other_source=other_source)


@flow(name="rerun-month", flow_run_name=months_run_name)
async def rerun_month(
    months: MonthText
    | Annotated[list[MonthText], Field(min_length=1, max_length=MOST_MONTHS, title="Several months")]
    | AllFailed,
    redo: Annotated[list[Part], Field(min_length=1, max_length=len(ALL_PARTS))] = ALL_PARTS,
    wait_for_circuit: WaitForSource = True,
    other_source: OtherSource = False,
) -> list[SyncReport]:
    """Mend months: ask only for what is missing or unsettled, load, build and publish again.

    Args:
        months: A month as YYYY-MM, a list of months, or "all failed" for every closed month that misses hours.
        redo: What to do again: ask the source, load the answers, build Gold, publish.
        wait_for_circuit: Wait out the pause after repeated errors of the source (the circuit); without, the run ends.
        other_source: Publish to Supabase also data of the simulator or of another host than the SEC's.
    """
    return await usecases.rerun(
        adapters(), months, redo=redo, wait_for_circuit=wait_for_circuit, other_source=other_source
    )


@flow(name="reprocess", flow_run_name=months_run_name)
async def reprocess(first: MonthText, last: MonthText, other_source: OtherSource = False) -> list[SyncReport]:
    """Make Silver and Gold again from Bronze, asking the source nothing.

    Bodies in quarantine whose shape the code knows by now are taken in. The customers of regions, which cap events, are
    made again for all months that Bronze has them of.

    Args:
        first: The earliest month as YYYY-MM.
        last: The latest month as YYYY-MM.
        other_source: Publish to Supabase also data of the simulator or of another host than the SEC's.
    """
    return await usecases.reprocess(adapters(), first, last, other_source=other_source)


async def _share_out(months: Sequence[Month], *, wait_for_circuit: bool) -> None:
    """Make a run of each month for whichever worker is free, and wait for all of them; see `_cancel_months`."""
    parameters = {"redo": [Part.CAPTURE.value, Part.LOAD.value], "wait_for_circuit": wait_for_circuit}
    started = [
        await arun_deployment(RERUN_MONTH, parameters={**parameters, "months": str(month)}, timeout=0)
        for month in months
    ]
    logger.bind(stage="run").info("Made {} for the workers", counted(len(started), "month's run", "months' runs"))
    for month, started_run in zip(months, started, strict=True):
        ended = await cast("Awaitable[FlowRun]", wait_for_flow_run(started_run.id, timeout=None, poll_interval=2))
        state = ended.state.name if ended.state else "unknown"
        logger.bind(stage="run", month=str(month)).info("The run of {} ended as {}", month, state)
