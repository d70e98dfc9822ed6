"""The monitor's steps as Prefect tasks, apart from those of months: a run every ten minutes loads little."""

from datetime import datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from sec_core.silver.load import LoadReport
from sec_core.usecases import upkeep
from sec_core.usecases.upkeep import Watched
from tasks.runtime import PLAIN, adapters


@task(name="watch-hours", task_run_name="ask for the newest hours", cache_policy=NO_CACHE, persist_result=False)
async def ask_newest(closed: int) -> Watched:
    """Ask for the open hour and for those closed ones that may have changed; the next try comes in ten minutes."""
    return await upkeep.ask_newest(adapters(), closed)


@task(name="load-hours", task_run_name="load the newest hours", retries=2, retry_delay_seconds=[2, 10], **PLAIN)
async def load_newest(hours: list[datetime]) -> list[LoadReport]:
    """Bring Silver, and with it the views of the last 30 days, up to what was captured."""
    return await upkeep.load_newest(adapters(), hours)
