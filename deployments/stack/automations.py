"""Prefect automations as code: what happens without anybody looking.

- A run whose process or machine died is marked Crashed, since its heartbeat stops. It can then be retried as it is.
- A run that fails or crashes, and a pipeline whose health is no longer looked at, is told to a webhook
  (`SEC_NOTIFY_URL`), by e-mail (`SEC_NOTIFY_EMAIL`), or both, at most once an hour for each flow.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from prefect.blocks.webhook import Webhook
from prefect.client.schemas.objects import StateType
from prefect.events.actions import CallWebhook, ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.types import SecretDict

from deployments.stack.mail_block import MailNotification

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import PrefectClient
    from pydantic import SecretStr

    from deployments.stack.settings import StackSettings

HEARTBEAT_S = 30
"""How often a run says that it lives (`PREFECT_FLOWS_HEARTBEAT_FREQUENCY`)."""

CRASHED_AFTER = timedelta(seconds=90)
"""Silence after which a run counts as dead: three heartbeats."""

HEALTH_OVERDUE = timedelta(hours=3)
TOLD_ONCE_IN = timedelta(hours=1)
WEBHOOK = "sec-notify"
MAIL = "sec-mail"

DEAD_PROCESSES = "Mark runs crashed whose process died"
FAILED_RUNS = "Tell of failed runs"
HEALTH_STANDS_STILL = "Tell when nobody looks at health"


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told, as Jinja templates of Prefect.

    Attributes:
        payload: JSON for the webhook. The receiver may be Slack, Mattermost or a program of one's own: all read `text`.
        subject: Subject of the e-mail.
        body: Its text.
    """

    payload: str
    subject: str
    body: str


@dataclass(frozen=True, slots=True)
class Receivers:
    """Who is told: Prefect blocks that hold the addresses encrypted, at least one of them.

    Attributes:
        webhook: The webhook.
        mail: The e-mail addresses and their server.
    """

    webhook: UUID | None = None
    mail: UUID | None = None

    def actions(self, notice: Notice) -> list[CallWebhook | SendNotification]:
        """The actions by which everybody is told."""
        told: list[CallWebhook | SendNotification] = []
        if self.webhook is not None:
            told.append(CallWebhook(block_document_id=self.webhook, payload=notice.payload))
        if self.mail is not None:
            told.append(SendNotification(block_document_id=self.mail, subject=notice.subject, body=notice.body))
        return told


_FAILED_RUN = Notice(
    payload="""{
  "text": {{ ("sec: " ~ flow_run.name ~ " " ~ flow_run.state.name ~ ". " ~ (flow_run.state.message or "")) | tojson }},
  "flow": {{ flow.name | tojson }},
  "run": {{ flow_run.name | tojson }},
  "state": {{ flow_run.state.name | tojson }},
  "message": {{ (flow_run.state.message or "") | tojson }},
  "url": {{ (flow_run | ui_url or "") | tojson }}
}""",
    subject="sec: {{ flow_run.name }} {{ flow_run.state.name }}",
    body="""{{ flow_run.state.message or "No reason was given." }}

{{ flow_run | ui_url or "" }}""",
)
_OVERDUE = "the pipeline's health was not looked at for three hours. Is a worker running? See `sec doctor`."
_NO_HEALTH = Notice(
    payload=f"""{{
  "text": "sec: {_OVERDUE}",
  "flow": "health",
  "run": "",
  "state": "Overdue",
  "message": "No run of the deployment health ended in three hours.",
  "url": ""
}}""",
    subject="sec: nobody looks at the pipeline's health",
    body=f"It seems that the pipeline stands still: {_OVERDUE}",
)


def crash_detection() -> AutomationCore:
    """Marks a run Crashed that began and then fell silent without ending."""
    ended = {f"prefect.flow-run.{name}" for name in ("Completed", "Failed", "Cancelled", "Crashed")}
    # A run that waits for a person or for its next attempt sends none either.
    waiting = {f"prefect.flow-run.{name}" for name in ("Paused", "Suspended", "AwaitingRetry", "Scheduled")}
    return AutomationCore(
        name=DEAD_PROCESSES,
        description="A run says every 30 seconds that it lives. After 90 silent seconds its process is dead.",
        trigger=EventTrigger(
            # A process may die before its first heartbeat, or before it says that it runs.
            after={f"prefect.flow-run.{name}" for name in ("Pending", "Running", "heartbeat")},
            expect={"prefect.flow-run.Running", "prefect.flow-run.heartbeat", *ended, *waiting},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=CRASHED_AFTER,
        ),
        actions=[
            ChangeFlowRunState(
                name=None,
                state=StateType.CRASHED,
                message="The process or machine of this run died: it sent no sign of life for 90 seconds. "
                "Nothing that was captured is lost; press Retry, or run the same month again.",
            )
        ],
    )


def failure_notice(receivers: Receivers) -> AutomationCore:
    """Tells of a run that failed or crashed, at most once an hour for each flow."""
    return AutomationCore(
        name=FAILED_RUNS,
        description="Tells SEC_NOTIFY_URL and SEC_NOTIFY_EMAIL, at most once an hour for each flow. "
        "A bad verdict of health is a failed run.",
        trigger=EventTrigger(
            expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut"},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            for_each={"related:flow:prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=TOLD_ONCE_IN,
        ),
        actions=[*receivers.actions(_FAILED_RUN)],
    )


def overdue_notice(receivers: Receivers) -> AutomationCore:
    """Tells when health has not ended for hours: nobody would notice a pipeline that stands still."""
    return AutomationCore(
        name=HEALTH_STANDS_STILL,
        description="Tells SEC_NOTIFY_URL and SEC_NOTIFY_EMAIL when no health run ended for three hours.",
        trigger=EventTrigger(
            expect={"prefect.flow-run.Completed", "prefect.flow-run.Failed"},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={"prefect.resource.role": "flow", "prefect.resource.name": "health"},
            posture=Posture.Proactive,
            threshold=1,
            within=HEALTH_OVERDUE,
        ),
        actions=[*receivers.actions(_NO_HEALTH)],
    )


async def ensure_automations(client: PrefectClient, options: StackSettings) -> None:
    """Bring the automations to what is written here; without anybody to tell there are no notices.

    Args:
        client: The Prefect API.
        options: Name the webhook and the e-mail addresses.
    """
    await _ensure(client, crash_detection())
    mail = options.mail
    if options.notify_url is None and mail is None:
        for name in (FAILED_RUNS, HEALTH_STANDS_STILL):
            await _remove(client, name)
        return
    receivers = Receivers(
        webhook=None if options.notify_url is None else await _ensure_webhook(options.notify_url),
        mail=None if mail is None else await MailNotification(url=mail).asave(MAIL, overwrite=True),
    )
    await _ensure(client, failure_notice(receivers))
    await _ensure(client, overdue_notice(receivers))


async def _ensure_webhook(url: SecretStr) -> UUID:
    """The webhook as a Prefect block: its address is kept encrypted and is not shown."""
    block = Webhook(method="POST", url=url, headers=SecretDict({"Content-Type": "application/json"}))
    return await block.asave(WEBHOOK, overwrite=True)


async def _ensure(client: PrefectClient, wanted: AutomationCore) -> None:
    found = await client.read_automations_by_name(wanted.name)
    if not found:
        await client.create_automation(wanted)
        return
    for extra in found[1:]:
        await client.delete_automation(extra.id)
    # A changed automation begins to count anew: leave an unchanged one alone.
    if _essence(found[0]) != _essence(wanted):
        await client.update_automation(found[0].id, wanted)


async def _remove(client: PrefectClient, name: str) -> None:
    for found in await client.read_automations_by_name(name):
        await client.delete_automation(found.id)


def _essence(automation: AutomationCore) -> object:
    """What an automation does, comparable: as JSON without what the server adds."""
    return AutomationCore.model_validate(automation.model_dump(exclude={"id"})).model_dump(mode="json")
