"""The work pool and its queues as code: what may run beside what.

How often the source is asked is not decided here but by the throttle that all processes share
(`sec_core.source.throttle`). Queues only keep heavy work from filling the machine while small, punctual work waits.
The global limit on days that are requested at once shows who holds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.workers.process import ProcessWorker

from sec_core.usecases.capture import days_at_once
from tasks.steps import SOURCE_LIMIT

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

    from sec_core.config import Settings

WORK_POOL = "residential"
_POOL_TEXT = "Processes on the residential machine: the SEC drops requests from datacentres."


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue of the work pool.

    Attributes:
        name: Its name.
        priority: 1 goes first.
        limit: Runs at once; None for no limit.
        text: What belongs here.
    """

    name: str
    priority: int
    limit: int | None
    text: str


QUEUES = (
    Queue(
        "light", 1, None, "Small and punctual: the monitor, health, maintenance, and a backfill that hands out months."
    ),
    Queue("months", 10, 4, "Whole months and all of Gold: a few at once, each takes up to 1 GB of memory."),
)


async def ensure_pool(client: PrefectClient) -> None:
    """Make the work pool and its queues, or bring them to what is written here. Safe to do any number of times."""
    template = ProcessWorker.get_default_base_job_template()
    try:
        await client.create_work_pool(
            WorkPoolCreate(name=WORK_POOL, type="process", description=_POOL_TEXT, base_job_template=template)
        )
    except ObjectAlreadyExists:
        await client.update_work_pool(WORK_POOL, WorkPoolUpdate(description=_POOL_TEXT, base_job_template=template))
    for queue in QUEUES:
        await _ensure_queue(client, queue)


async def make_source_limit(settings: Settings) -> None:
    """Make the global concurrency limit whose slots day tasks hold, or bring it to what the settings say."""
    runs = next(queue.limit for queue in QUEUES if queue.name == "months") or 1
    async with get_client() as client:
        limit = runs * days_at_once(settings.max_concurrency)
        await client.upsert_global_concurrency_limit_by_name(SOURCE_LIMIT, limit)


async def _ensure_queue(client: PrefectClient, queue: Queue) -> None:
    try:
        found = await client.read_work_queue_by_name(queue.name, work_pool_name=WORK_POOL)
    except ObjectNotFound:
        try:
            await client.create_work_queue(
                name=queue.name,
                description=queue.text,
                concurrency_limit=queue.limit,
                priority=queue.priority,
                work_pool_name=WORK_POOL,
            )
        except ObjectAlreadyExists:  # another process was quicker
            return
    else:
        await client.update_work_queue(
            found.id, description=queue.text, concurrency_limit=queue.limit, priority=queue.priority
        )
