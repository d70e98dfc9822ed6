"""The SEC's API over HTTP: five endpoints, typed answers, one layer of retries, and bounds on everything.

Each attempt passes the throttle anew, so that waiting between attempts holds nothing. Callers must not retry what this
module already did; a whole day's work may be tried again much later.
"""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Final, Generic, Self, TypeVar

import orjson
from loguru import logger

from sec_core.clock import Clock
from sec_core.config import Settings
from sec_core.errors import (
    CircuitOpen,
    SourceError,
    SourceRefused,
    SourceUnavailable,
    UnexpectedBody,
    is_transient_status,
)
from sec_core.hours import CHILE
from sec_core.source.answers import RegionCustomers, read_country, read_regions, read_series, read_server_time
from sec_core.source.circuit import LONG_REST, LONGEST_REST, Failure
from sec_core.source.shapes import AnsweredBy, Classified, classify
from sec_core.source.throttle import LONG_WAIT_S, Permit, Throttle
from sec_core.source.transport import Reply, Transport
from sec_core.text import counted

T = TypeVar("T")

PROJECT: Final = "sec-outages/0.1 (research pipeline for Chile's power-outage data)"
BACKOFF_FIRST_S: Final = 1.0
BACKOFF_MOST_S: Final = 60.0
# A probe must be answered within its lease, or two could be out at once.
_PROBE_TIMEOUT_S: Final = 40.0

_HEAD_BYTES: Final = 65_536
_TITLE: Final = re.compile(rb"<title[^<>]*>([^<]*)</title", re.IGNORECASE)
_TITLE_CHARS: Final = 120


@dataclass(frozen=True, slots=True)
class Question:
    """An endpoint and the JSON fields that it is asked with."""

    endpoint: str
    fields: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        """The endpoint and the values, the same for each attempt."""
        return " ".join([self.endpoint, *map(str, self.fields.values())])


_TIME: Final = Question("GetHoraServer")


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What an answer says, its bytes as received, when the last of them came, UTC, and who answered."""

    value: T
    body: bytes
    received_at: datetime
    answered_by: AnsweredBy


class SourceClient:
    """Asks the SEC's API. Use it as an asynchronous context; one event loop only.

    Args:
        settings: Address, limits, contact.
        throttle: What every request passes.
        clock: Tells the time and waits.
    """

    def __init__(self, settings: Settings, throttle: Throttle, clock: Clock) -> None:
        self._throttle = throttle
        self._clock = clock
        self.max_concurrency = settings.max_concurrency
        self._retries = settings.retries
        self._timeout_s = settings.timeout_s
        # From 0 up to its argument: spreading requests out needs no unguessable numbers.
        self._jitter: Callable[[float], float] = lambda most: random.uniform(0, most)  # noqa: S311
        self._transport = Transport(str(settings.base_url), user_agent(settings.contact), settings.max_concurrency)
        # The last hour that was answered well: what a probe asks for.
        self._answered: Question | None = None
        # Those that left so far.
        self.requests = 0

    async def __aenter__(self) -> Self:
        """Nothing to open before the first request."""
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close all connections."""
        await self._transport.close()

    async def hour(
        self, hour: datetime, *, on_failure: Callable[[SourceError], None] | None = None
    ) -> Answer[Classified]:
        """Ask `GetPorFecha` for an hour.

        Args:
            hour: The hour, aware instant of its beginning.
            on_failure: Told of each attempt that failed, for callers that may be interrupted.

        Returns:
            The answer and what it is. A body that is not JSON or fits no shape is asked for again like any failure; if
            it stays so, the last one is given back.

        Raises:
            SourceUnavailable: No answer, or a page instead of data, after all attempts.
            SourceRefused: 403 or 429 after all attempts, or a long Retry-After.
            UnexpectedBody: The answer is too large to be read, or holds a value that can't be.
            CircuitOpen: No request may leave now.
        """
        wall = hour.astimezone(CHILE)
        fields = {"anho": wall.year, "mes": wall.month, "dia": wall.day, "hora": wall.hour}
        try:
            return await self._ask(Question("GetPorFecha", fields), classify, on_failure)
        except OddBody as odd:
            return odd.answer

    async def national_series(self) -> Answer[dict[datetime, int]]:
        """Ask `Get` for the customers affected in the country in each hour of the last week; raises as `hour` does."""

        def read(body: bytes) -> dict[datetime, int]:
            totals, odd = read_series(body)
            if odd:
                logger.bind(stage="capture", code="odd_value").warning(
                    "Get: {} passed over, the first because of {}", counted(len(odd), "row"), odd[0]
                )
            return totals

        return await self._ask(Question("Get"), read)

    async def regional_customers(self, name: str) -> Answer[tuple[RegionCustomers, ...]]:
        """Ask `GetClientesRegional` for the regions whose full name contains a text; raises as `hour` does."""
        return await self._ask(Question("GetClientesRegional", {"region": name}), read_regions)

    async def national_customers(self) -> Answer[int]:
        """Ask `GetClientesNacional` for the customers of the country; raises as `hour` does."""
        return await self._ask(Question("GetClientesNacional"), read_country)

    async def server_time(self) -> datetime:
        """Ask `GetHoraServer` what time it is at the source; an aware instant. Raises as `hour` does."""
        return (await self._ask(_TIME, read_server_time)).value

    async def _ask(
        self, question: Question, read: Callable[[bytes], T], on_failure: Callable[[SourceError], None] | None = None
    ) -> Answer[T]:
        """Ask and read; again after transient failures: exponential backoff, full jitter, Retry-After obeyed."""
        attempt = 0
        while True:
            try:
                return await self._attempt(question, read)
            except (SourceUnavailable, SourceRefused, OddBody) as failure:
                if on_failure is not None:
                    on_failure(failure)
                wait_s = self._jitter(min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2**attempt))
                if attempt >= self._retries or failure.retry_after_s > LONG_REST.total_seconds():
                    raise
                wait_s = max(wait_s, failure.retry_after_s)
                logger.bind(stage="capture", code=failure.code).log(
                    "INFO" if wait_s > LONG_WAIT_S else "DEBUG",
                    "{}, attempt {}: {} Again in {:.1f} s.", question, attempt + 1, failure.message, wait_s,
                )  # fmt: skip
            attempt += 1
            await self._clock.sleep(wait_s)

    async def _attempt(self, question: Question, read: Callable[[bytes], T]) -> Answer[T]:
        async with self._throttle.permit() as permit:
            if permit.probe is None or question == _TIME:
                return await self._exchange(permit, question, read)
            failure = await self._probe(permit)
        if failure is not None:
            # It is the source's, not this question's.
            reopens_at = (await self._throttle.circuit()).reopens_at or self._clock.now()
            raise CircuitOpen(f"The source still doesn't answer: {failure.message}", reopens_at=reopens_at) from failure
        return await self._attempt(question, read)

    async def _probe(self, permit: Permit) -> SourceError | None:
        """Ask for an hour that was answered before, else for the time: the question at hand may be the bad one."""
        try:
            if self._answered is not None:
                await self._exchange(permit, self._answered, classify)
            else:
                await self._exchange(permit, _TIME, read_server_time)
        except SourceError as error:
            return error
        return None

    async def _exchange(self, permit: Permit, question: Question, read: Callable[[bytes], T]) -> Answer[T]:
        try:
            self.requests += 1
            timeout_s = min(self._timeout_s, _PROBE_TIMEOUT_S) if permit.probe else self._timeout_s
            endpoint = question.endpoint
            reply = await self._transport.post(endpoint, orjson.dumps(question.fields), timeout_s=timeout_s)
            _check_status(endpoint, reply, self._clock.now())
            answer = _read(endpoint, read, reply, self._clock.now())
        except SourceError as error:
            # A refusal is meant for this address, whatever was asked.
            subject = None if isinstance(error, SourceRefused) else str(question)
            permit.outcome = Failure(error.code, error.message, timedelta(seconds=error.retry_after_s), subject)
            raise
        permit.outcome = True
        if endpoint == "GetPorFecha":
            self._answered = question
        return answer


class OddBody(UnexpectedBody):
    """An answer of `GetPorFecha` that is not JSON or fits no shape; `answer` holds it.

    It is asked for again like any failure: one odd cycle passes, a change of the source stays.
    """

    def __init__(self, answer: Answer[Classified]) -> None:
        super().__init__(f"GetPorFecha answered with {answer.value.reason}.")
        self.answer = answer


def user_agent(contact: str | None) -> str:
    """The User-Agent: the project, and whom to write to."""
    return f"{PROJECT} contact: {contact}" if contact else PROJECT


def _read(endpoint: str, read: Callable[[bytes], T], reply: Reply, received_at: datetime) -> Answer[T]:
    body = reply.body
    start = body[:_HEAD_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start:
        raise SourceUnavailable(f"{endpoint} answered 200 with an empty body.")
    if start.startswith(b"<"):
        raise SourceUnavailable(f"{endpoint} answered 200 with a page instead of data: {_title(start)}.")
    try:
        value = read(body)
    except ValueError as error:
        raise UnexpectedBody(
            f"{endpoint} answered in another form: {error}; it starts {body[:60].decode('utf-8', 'replace')!r}.",
            next_step="The source has changed: see docs/source.md.",
        ) from error
    if isinstance(value, Classified) and not value.usable:
        raise OddBody(Answer(value, body, received_at, reply.answered_by))
    return Answer(value, body, received_at, reply.answered_by)


def _title(page: bytes) -> str:
    found = _TITLE.search(page)
    text = unescape(found[1].decode("utf-8", "replace")) if found else ""
    words = "".join(char if char.isprintable() else " " for char in text).split()
    return f'"{" ".join(words)[:_TITLE_CHARS]}"' if words else "it has no title"


def _check_status(endpoint: str, reply: Reply, now: datetime) -> None:
    status = reply.status
    if status == 200:
        return
    rest_s = retry_after_s(reply.retry_after, now)
    page = f" with a page: {_title(reply.body)}" if reply.body.lstrip().startswith(b"<") else ""
    if status in {403, 429}:
        raise SourceRefused(f"{endpoint} answered {status}{page}.", retry_after_s=rest_s)
    # A redirect leads to a login or maintenance page, or to a network's own portal.
    if is_transient_status(status) or status < 400:
        raise SourceUnavailable(f"{endpoint} answered {status}{page}.", retry_after_s=rest_s)
    raise SourceError(f"{endpoint} answered {status}{page}.", next_step="Check SEC_BASE_URL.")


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header (a number, or an HTTP date) asks to wait, 0 to a day; None if it says none."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])
    else:
        try:
            instant = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        instant = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
        seconds = (instant - now).total_seconds()
    return min(max(seconds, 0.0), LONGEST_REST.total_seconds())
