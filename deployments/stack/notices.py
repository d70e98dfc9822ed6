"""Notices of failures, storms under way, health no longer checked, and of what is over: by webhook and by e-mail.

The stack sends them itself, so that the webhook's address and the mail password stay in its environment: what Prefect
keeps in blocks, every caller of its API can read. What is worth a notice: `deployments.stack.matters`.
"""

import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
from loguru import logger
from pydantic import SecretStr, ValidationError

from deployments.stack.api import api_client, find, is_scheduled, own_id
from deployments.stack.history import keep_told
from deployments.stack.matters import Notice, Told, learn_all
from deployments.stack.settings import StackSettings
from sec_core.config import Settings
from sec_core.db.address import Address
from sec_core.errors import DatabaseError
from sec_core.text import for_mail

_LOG = logger.bind(stage="notices")
HEALTH_OVERDUE = timedelta(hours=3)
_LOOK_EVERY_S = 15
# A run's end may be recorded a while after it.
_LOOK_BACK = timedelta(minutes=10)
_LOOK_BACK_AT_MOST = timedelta(days=1)
_PAGE = 200
_OVERDUE = "No health check finished for 3 hours. Is a worker running? See `sec doctor`."


@dataclass(frozen=True)
class Notifier:
    """Asks the Prefect server for failures every few seconds, until `ended` is set, and tells whoever is to be told."""

    settings: Settings
    options: StackSettings
    api: str
    place: Address
    ended: threading.Event

    def start(self) -> None:
        """Begin, in a thread of its own; does nothing where nobody is to be told."""
        if self.options.notify_url is not None or self.options.smtp_url is not None:
            owner = own_id(self.settings)
            threading.Thread(target=self._run, args=(owner,), name="sec-notices", daemon=True).start()

    def _run(self, owner: str) -> None:
        began = datetime.now(UTC)
        told = Told(looked=began, healthy=began)

        def look(kept: str) -> str:
            nonlocal told
            told = _read(kept) or told
            # While the stack was down no health check could finish.
            told.healthy = max(told.healthy, began)
            self.look(told, datetime.now(UTC))
            return told.model_dump_json()

        while not self.ended.wait(_LOOK_EVERY_S):
            try:
                keep_told(self.place, owner, look)
            except (DatabaseError, psycopg.Error) as error:
                _LOG.warning("What was told can't be read or kept: {}", type(error).__name__)
                self.look(told, datetime.now(UTC))

    def look(self, told: Told, now: datetime) -> None:
        """Ask once, and send what is due; `told` is brought up to date."""
        since = max(told.looked - _LOOK_BACK, now - _LOOK_BACK_AT_MOST)
        expected = True
        try:
            with api_client(self.api) as client:
                ui = os.environ.get("PREFECT_UI_API_URL", self.api).removesuffix("/api")
                learn_all(told, ended_since(client, since), ui)
                expected = now - told.healthy < HEALTH_OVERDUE or is_scheduled(client, "health")
            told.looked = now
        except (httpx.HTTPError, ValueError) as error:
            _LOG.warning("The Prefect server could not be asked for ended runs: {}", type(error).__name__)
        kinds = {"no health check for 3 hours"} if expected and now - told.healthy >= HEALTH_OVERDUE else set[str]()
        told.see(now, {"overdue"}, kinds, Notice(flow="health", state="is overdue", message=_OVERDUE))
        for due in told.due(now):
            if self._send(due.notice):
                told.tell(due, now)
        told.forget(now)

    def _send(self, notice: Notice) -> bool:
        """Tell everybody; returns whether anybody was told. Errors are logged without addresses, which are secrets."""
        told = []
        if self.options.notify_url is not None:
            try:
                body = notice.model_dump() | {"text": notice.text}
                httpx.post(self.options.notify_url.get_secret_value(), json=body, timeout=20).raise_for_status()
                told.append("webhook")
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                _LOG.bind(code="notice").error("The webhook took no notice: {}", type(error).__name__)
        if self.options.smtp_url is not None:
            if _send_mail(self.options.smtp_url, notice):
                told.append("e-mail")
            else:
                _LOG.bind(code="notice").error("The mail server took no notice")
        if told:
            _LOG.info("Sent a notice by {}: {}", " and ".join(told), notice.text)
        return bool(told)


def ended_since(client: httpx.Client, since: datetime) -> list[tuple[dict[str, Any], str]]:
    """Runs that ended, with the names of their flows.

    Raises:
        httpx.HTTPError: The Prefect API does not answer as it should.
    """
    ended = {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}}, "end_time": {"after_": since.isoformat()}}
    runs: list[dict[str, Any]] = []
    page = {"flow_runs": ended, "sort": "END_TIME_DESC", "limit": _PAGE}
    while not len(runs) % _PAGE and (more := find(client, "flow_runs", **page, offset=len(runs))):
        runs += more
    if not runs:
        return []
    flows = find(client, "flows", flows={"id": {"any_": list({run["flow_id"] for run in runs})}})
    names = {flow["id"]: flow["name"] for flow in flows}
    return [(run, names.get(run["flow_id"], "")) for run in runs]


def _send_mail(url: SecretStr, notice: Notice) -> bool:
    from apprise import Apprise  # noqa: PLC0415 - few installations send mail

    sender = Apprise()
    title = for_mail(f"sec: {notice.run or notice.flow} {notice.state}")
    body = f"{for_mail(notice.message)}\n\n{notice.url}"
    return bool(sender.add(url.get_secret_value()) and sender.notify(title=title, body=body))


def _read(text: str) -> Told | None:
    with suppress(ValidationError):  # nothing yet, or another version's
        return Told.model_validate_json(text)
    return None
