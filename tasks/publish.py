"""Publishing Gold to Supabase."""

from __future__ import annotations

import asyncio

from prefect import task
from prefect.cache_policies import NO_CACHE

from sec_core.gold.publish import PublishReport, publish
from tasks.progress import Step, report
from tasks.retry import worth_another_try
from tasks.runtime import runtime


@task(
    name="publish",
    task_run_name="publish",
    retries=2,
    retry_delay_seconds=[30, 300],
    retry_condition_fn=worth_another_try,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def publish_task(force: bool = False) -> PublishReport:
    """Send what `gold/` holds to Supabase in one step; without a project, say so and send nothing.

    Args:
        force: Publish although a payload would lose much of what is published.

    Returns:
        What was published.

    Raises:
        PublicationError: Gold is invalid, would lose what is published, or Supabase refused it.
    """
    run = runtime()
    report(Step(stage="publish", total=1))
    published = await asyncio.to_thread(publish, run.settings, run.clock, force=force)
    report(Step(stage="publish", done=1))
    return published
