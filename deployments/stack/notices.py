"""Notices of failed and crashed runs, storms under way, and health no longer checked: by webhook and by e-mail.

The stack sends them itself, so that the webhook's address and the mail password stay in its environment: what Prefect
keeps in blocks, every caller of its API can read. Each flow is told of at most once an hour, each storm once.
"""

from __future__ import annotations

import os
import re
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
from loguru import logger
from pydantic import BaseModel, Field, SecretStr, ValidationError

from deployments.stack.api import api_client
from sec_core.text import for_chat, for_line, for_mail
from sec_core.usecases.monitor import STORM_UNDER_WAY

if TYPE_CHECKING:
    from pathlib import Path

    from deployments.stack.settings import StackSettings
    from sec_core.config import Settings

TOLD_ONCE_IN = timedelta(hours=1)
STORM_FORGOTTEN = timedelta(days=60)
"""Longer than any storm lasts."""
_STORM = re.compile(r"(.+) \[([0-9a-f-]{36})\]")
HEALTH_OVERDUE = timedelta(hours=3)
_LOOK_EVERY_S = 15
# A run's end may be recorded a while after it.
_LOOK_BACK = timedelta(minutes=10)
_LOOK_BACK_AT_MOST = timedelta(days=1)
_LONGEST_TEXT = 2000
_OVERDUE = "Alert: no health check finished for 3 hours. Is a worker running? See sec doctor."


class Notice(BaseModel):
    """What is sent. The webhook gets it as JSON with `text`, which Slack, Mattermost and others read.

    `run` and `url`, the run's page in the UI, are empty if the notice is about no run.
    """

    flow: str
    run: str = ""
    state: str
    message: str
    url: str = ""

    @property
    def text(self) -> str:
        """All of it in one line, in which nothing acts."""
        return for_chat(f"sec: {self.run or self.flow} {self.state}. {self.message}")


class Told(BaseModel):
    """What is remembered from one look to the next, in `SEC_STATE_DIR/run/notices.json`.

    Attributes:
        looked: When the server was asked last.
        healthy: When a health check finished last, or when this began.
        flows: When each flow was told of last.
    """

    looked: datetime
    healthy: datetime
    flows: dict[str, datetime] = Field(default_factory=dict)

    def may_tell(self, flow: str, now: datetime, every: timedelta = TOLD_ONCE_IN) -> bool:
        """Whether it is time to tell of a flow (again)."""
        return flow not in self.flows or now - self.flows[flow] >= every


class Notifier:
    """Asks the Prefect server for failures every few seconds, until `ended` is set, and tells whoever is to be told."""

    def __init__(self, settings: Settings, options: StackSettings, api: str, ended: threading.Event) -> None:
        self._options = options
        self._api = api
        self._ui = os.environ.get("PREFECT_UI_API_URL", api).removesuffix("/api")
        self._ended = ended
        self._file = settings.run_dir / "notices.json"
        self._log = logger.bind(stage="notices")

    def start(self) -> None:
        """Begin, in a thread of its own; does nothing where nobody is to be told."""
        if self._options.notify_url is not None or self._options.mail is not None:
            threading.Thread(target=self._run, name="sec-notices", daemon=True).start()

    def _run(self) -> None:
        now = datetime.now(UTC)
        told = _read(self._file) or Told(looked=now, healthy=now)
        # While the stack was down no health check could finish.
        told.healthy = max(told.healthy, now)
        while not self._ended.wait(_LOOK_EVERY_S):
            self.look(told, datetime.now(UTC))
            try:
                self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._file.write_text(told.model_dump_json(), encoding="utf-8")
            except OSError as error:  # a full disk is a reason to go on telling
                self._log.warning("{} can't be written: {}", self._file, error.strerror)

    def look(self, told: Told, now: datetime) -> None:
        """Ask once, and send what is due; `told` is brought up to date."""
        since = max(told.looked - _LOOK_BACK, now - _LOOK_BACK_AT_MOST)
        try:
            with api_client(self._api) as client:
                failures = failed_since(client, since, self._ui)
                told.healthy = max(told.healthy, last_health(client) or told.healthy)
                storms = storms_since(client, since, self._ui)
        except (httpx.HTTPError, ValueError) as error:
            self._log.warning("The Prefect server could not be asked for failed runs: {}", type(error).__name__)
        else:
            due = [notice for notice in failures if told.may_tell(notice.flow, now)]
            newest = {notice.flow: notice for notice in reversed(due)}
            sent = {flow: now for flow, notice in newest.items() if self._send(notice)}
            told.flows |= sent
            for storm, notice in storms.items():
                if told.may_tell(storm, now, STORM_FORGOTTEN) and self._send(notice):
                    told.flows[storm] = now
            if len(sent) == len(newest):  # else the next look finds them again
                told.looked = now
        overdue = now - told.healthy >= HEALTH_OVERDUE and told.may_tell("overdue", now, HEALTH_OVERDUE)
        if overdue and self._send(Notice(flow="health", state="Overdue", message=_OVERDUE)):
            told.flows["overdue"] = now

    def _send(self, notice: Notice) -> bool:
        """Tell everybody; returns whether anybody was told. Errors are logged without addresses, which are secrets."""
        told = []
        if self._options.notify_url is not None:
            try:
                body = notice.model_dump() | {"text": notice.text}
                httpx.post(self._options.notify_url.get_secret_value(), json=body, timeout=20).raise_for_status()
                told.append("webhook")
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                self._log.bind(code="notice").error("The webhook took no notice: {}", type(error).__name__)
        if self._options.mail is not None:
            if _send_mail(self._options.mail, notice):
                told.append("e-mail")
            else:
                self._log.bind(code="notice").error("The mail server took no notice")
        if told:
            self._log.info("Sent a notice by {}: {}", " and ".join(told), notice.text)
        return bool(told)


def failed_since(client: httpx.Client, since: datetime, ui: str) -> list[Notice]:
    """Runs that failed or crashed, newest first.

    Raises:
        httpx.HTTPError: The Prefect API does not answer as it should.
    """
    ended = {"state": {"type": {"any_": ["FAILED", "CRASHED"]}}, "end_time": {"after_": since.isoformat()}}
    runs = _filter(client, "/flow_runs/filter", flow_runs=ended, sort="END_TIME_DESC")
    if not runs:
        return []
    flows = _filter(client, "/flows/filter", flows={"id": {"any_": list({run["flow_id"] for run in runs})}})
    names = {flow["id"]: flow["name"] for flow in flows}
    return [
        Notice(
            flow=names.get(run["flow_id"], ""),
            run=for_line(run["name"]),
            state=for_line(run["state"]["name"]),
            message=for_line(run["state"]["message"] or "No reason was given.", _LONGEST_TEXT),
            url=f"{ui}/runs/flow-run/{run['id']}",
        )
        for run in runs
    ]


def storms_since(client: httpx.Client, since: datetime, ui: str) -> dict[str, Notice]:
    """What the monitor last said of each storm that it saw under way, by the storm's identity.

    Raises:
        httpx.HTTPError: The Prefect API does not answer as it should.
    """
    ended = {"state": {"name": {"any_": [STORM_UNDER_WAY]}}, "end_time": {"after_": since.isoformat()}}
    found: dict[str, Notice] = {}
    for run in _filter(client, "/flow_runs/filter", flow_runs=ended, sort="END_TIME_DESC"):
        for text, storm in _STORM.findall(run["state"]["message"] or ""):
            url = f"{ui}/runs/flow-run/{run['id']}"
            found.setdefault(storm, Notice(flow="monitor", state="saw a storm", message=for_line(text), url=url))
    return found


def last_health(client: httpx.Client) -> datetime | None:
    """When a health check finished last, whatever its verdict; None if none ever did."""
    ended = {"state": {"type": {"any_": ["COMPLETED", "FAILED"]}}}
    found = _filter(
        client,
        "/flow_runs/filter",
        flows={"name": {"any_": ["health"]}},
        flow_runs=ended,
        sort="END_TIME_DESC",
        limit=1,
    )
    return datetime.fromisoformat(found[0]["end_time"]) if found and found[0]["end_time"] else None


def _filter(client: httpx.Client, path: str, **what: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.post(path, json=what).raise_for_status().json()
    return found


def _send_mail(url: SecretStr, notice: Notice) -> bool:
    from apprise import Apprise  # noqa: PLC0415 - few installations send mail

    sender = Apprise()
    title = for_mail(f"sec: {notice.run or notice.flow} {notice.state}")
    body = f"{for_mail(notice.message)}\n\n{notice.url}"
    return bool(sender.add(url.get_secret_value()) and sender.notify(title=title, body=body))


def _read(file: Path) -> Told | None:
    try:
        return Told.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
