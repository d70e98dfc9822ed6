"""Health: a look at everything once an hour. A bad verdict is a failed run, which the webhook is told of."""

from __future__ import annotations

from prefect import flow
from prefect.artifacts import acreate_table_artifact
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from sec_core.clock import SystemClock
from sec_core.config import load_settings
from sec_core.errors import SecError
from sec_core.health.facts import find_facts
from sec_core.health.verdict import Check, Level, Verdict, judge
from tasks.run_log import ensure_logging

_MARKS = {Level.GOOD: "✅ good", Level.WARN: "⚠️ look", Level.BAD: "❌ bad"}
MONITOR = "monitor/monitor"


class PipelineUnhealthy(SecError):
    """Something needs a person now; carries the checks that say so.

    Attributes:
        troubles: Checks that came out bad, one or more.
    """

    code = "unhealthy"

    def __init__(self, troubles: list[Check]) -> None:
        found = " ".join(f"{check.name}: {check.text}" for check in troubles)
        super().__init__(found, next_step=" ".join(check.next_step for check in troubles if check.next_step))
        self.troubles = troubles


@flow(name="health", flow_run_name="health", persist_result=False)
async def health() -> Verdict:
    """Look at the source, the circuit, the database, the disk, the newest capture, names, quarantine and publication.

    Sends one request to the source, through the shared limits and the circuit.

    Returns:
        The verdict.

    Raises:
        PipelineUnhealthy: Something is bad; the artifact and the message say what, and what to do next.
    """
    settings = load_settings()
    ensure_logging(settings)
    facts = await find_facts(settings, SystemClock(), monitored=await _monitor_is_scheduled())
    verdict = judge(facts)
    await acreate_table_artifact(
        key="health",
        table=[
            {"": _MARKS[check.level], "what": check.name, "found": check.text, "next": check.next_step}
            for check in verdict.checks
        ],
        description=f"# Health: {_MARKS[verdict.level]}",
    )
    if verdict.troubles:
        raise PipelineUnhealthy(verdict.troubles)
    return verdict


async def _monitor_is_scheduled() -> bool:
    """Whether the monitor is meant to run: its deployment exists, is not paused, and has a schedule that is on."""
    async with get_client() as client:
        try:
            deployment = await client.read_deployment_by_name(MONITOR)
        except ObjectNotFound:
            return False
    return not deployment.paused and any(schedule.active for schedule in deployment.schedules)
