"""The SEC's API over HTTP: five endpoints, typed answers, one layer of retries, and bounds on everything.

Each attempt passes the throttle anew, so that waiting between attempts holds nothing. Callers must not retry what this
module already did; a whole day's work may be tried again much later.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html import unescape
from typing import TYPE_CHECKING, Final, Self, TypeVar

import orjson
from loguru import logger

from sec_core.clock import Clock, SystemClock
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
from sec_core.source.circuit import LONG_REST, LONGEST_REST
from sec_core.source.shapes import Classified, classify
from sec_core.source.throttle import LONG_WAIT_S, Failure
from sec_core.source.transport import Reply, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sec_core.config import Settings
    from sec_core.source.throttle import Permit, Throttle

T = TypeVar("T")

PROJECT: Final = "sec-outages/0.1 (research pipeline for Chile's power-outage data)"
BACKOFF_FIRST_S: Final = 1.0
BACKOFF_MOST_S: Final = 60.0
_PROBE_TIMEOUT_S: Final = 40.0
"""A probe must be answered within its lease, or two could be out at once."""

_HEAD_BYTES: Final = 65_536
_TITLE_CHARS: Final = 120


@dataclass(frozen=True, slots=True)
class Question:
    """One question to the API.

    Attributes:
        endpoint: Name of the endpoint.
        fields: Its JSON body.
    """

    endpoint: str
    fields: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        """The endpoint and the values, the same for each attempt."""
        return " ".join([self.endpoint, *map(str, self.fields.values())])


_TIME: Final = Question("GetHoraServer")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as received.

    Attributes:
        body: The bytes.
        received_at: When the last of them came, UTC.
    """

    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class HourAnswer:
    """An answer of `GetPorFecha`.

    Attributes:
        answer: The bytes, and when they came.
        verdict: Which shape they have; unknown shapes are given back too, for quarantine.
    """

    answer: Answer
    verdict: Classified


@dataclass(frozen=True, slots=True)
class NationalSeries:
    """An answer of `Get`.

    Attributes:
        answer: The bytes, and when they came.
        totals: Customers affected in the whole country by hour, D-7 00h to the open hour.
    """

    answer: Answer
    totals: dict[datetime, int]


@dataclass(frozen=True, slots=True)
class RegionalCustomers:
    """An answer of `GetClientesRegional`.

    Attributes:
        answer: The bytes, and when they came.
        regions: Regions whose full name contains the name asked for.
    """

    answer: Answer
    regions: tuple[RegionCustomers, ...]


@dataclass(frozen=True, slots=True)
class NationalCustomers:
    """An answer of `GetClientesNacional`.

    Attributes:
        answer: The bytes, and when they came.
        customers: Customers of the whole country.
    """

    answer: Answer
    customers: int


class SourceClient:
    """Asks the SEC's API. Use it as an asynchronous context; one event loop only.

    Args:
        settings: Address, limits, contact.
        throttle: What every request passes.
        clock: Tells the time and waits.
        jitter: Gives a number from 0 up to its argument, for backoff.
    """

    def __init__(
        self,
        settings: Settings,
        throttle: Throttle,
        clock: Clock | None = None,
        *,
        jitter: Callable[[float], float] | None = None,
    ) -> None:
        self._throttle = throttle
        self._clock = clock or SystemClock()
        self.max_concurrency = settings.max_concurrency
        self._retries = settings.retries
        self._timeout_s = settings.timeout_s
        # Spreading requests out needs no unguessable numbers.
        self._jitter = jitter or (lambda most: random.uniform(0, most))  # noqa: S311
        self._transport = Transport(
            base_url=str(settings.base_url),
            user_agent=user_agent(settings.contact),
            max_connections=settings.max_concurrency,
        )
        self._answered: Question | None = None
        """The last hour that was answered well: what a probe asks for."""
        self.requests = 0
        """Requests that left so far."""

    async def __aenter__(self) -> Self:
        """Nothing to open before the first request."""
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close all connections."""
        await self._transport.close()

    async def hour(self, hour: datetime, *, on_failure: Callable[[SourceError], None] | None = None) -> HourAnswer:
        """Ask `GetPorFecha` for an hour.

        Args:
            hour: The hour, aware instant of its beginning.
            on_failure: Told of each attempt that failed, for callers that may be interrupted.

        Returns:
            The answer and what it is. A body that is not JSON or fits no shape is asked for again like any failure; if
            it stays so, the last one is given back.

        Raises:
            SourceUnavailable: No answer after all attempts.
            SourceRefused: 403 or 429 after all attempts, or a long Retry-After.
            UnexpectedBody: The answer is too large to be read.
            CircuitOpen: No request may leave now.
        """
        wall = hour.astimezone(CHILE)
        fields = {"anho": wall.year, "mes": wall.month, "dia": wall.day, "hora": wall.hour}

        try:
            return await self._ask(Question("GetPorFecha", fields), _read_hour, on_failure)
        except OddBody as odd:
            return odd.answer

    async def national_series(self) -> NationalSeries:
        """Ask `Get` for the national total of each hour of the last week; raises as `hour` does."""

        def read(answer: Answer) -> NationalSeries:
            totals, odd = read_series(answer.body)
            if odd:
                logger.bind(stage="capture", code="odd_value").warning(
                    "Get: {} rows passed over, the first because of {}", len(odd), odd[0]
                )
            return NationalSeries(answer, totals)

        return await self._ask(Question("Get"), read)

    async def regional_customers(self, name: str) -> RegionalCustomers:
        """Ask `GetClientesRegional` for the regions whose full name contains a text; raises as `hour` does."""
        question = Question("GetClientesRegional", {"region": name})
        return await self._ask(question, lambda answer: RegionalCustomers(answer, read_regions(answer.body)))

    async def national_customers(self) -> NationalCustomers:
        """Ask `GetClientesNacional` for the customers of the country; raises as `hour` does."""
        question = Question("GetClientesNacional")
        return await self._ask(question, lambda answer: NationalCustomers(answer, read_country(answer.body)))

    async def server_time(self) -> datetime:
        """Ask `GetHoraServer` what time it is at the source; an aware instant. Raises as `hour` does."""
        return await self._ask(_TIME, lambda answer: read_server_time(answer.body))

    async def _ask(
        self,
        question: Question,
        read: Callable[[Answer], T],
        on_failure: Callable[[SourceError], None] | None = None,
    ) -> T:
        """Ask and read; again after transient failures: exponential backoff, full jitter, Retry-After obeyed."""
        attempt = 0
        while True:
            try:
                return await self._attempt(question, read)
            except (SourceUnavailable, SourceRefused, OddBody) as failure:
                if on_failure is not None:
                    on_failure(failure)
                wait_s = self._jitter(min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2**attempt))
                rest_s = _rest_s(failure)
                if attempt >= self._retries or rest_s > LONG_REST.total_seconds():
                    raise
                wait_s = max(wait_s, rest_s)
                logger.bind(stage="capture", code=failure.code).log(
                    "INFO" if wait_s > LONG_WAIT_S else "DEBUG",
                    "{}, attempt {}: {} Again in {:.1f} s.", question, attempt + 1, failure.message, wait_s,
                )  # fmt: skip
            attempt += 1
            await self._clock.sleep(wait_s)

    async def _attempt(self, question: Question, read: Callable[[Answer], T]) -> T:
        async with self._throttle.permit() as permit:
            if permit.probe is None or question == _TIME:
                return await self._exchange(permit, question, read)
            # Not the question itself, which may be the one that the source can't answer.
            failed: SourceError | None = None
            try:
                if self._answered is not None:
                    await self._exchange(permit, self._answered, _read_hour)
                else:
                    await self._exchange(permit, _TIME, lambda answer: read_server_time(answer.body))
            except SourceError as error:
                failed = error
        if failed is not None:
            # The failure is the source's, not this question's.
            reopens_at = (await self._throttle.circuit()).reopens_at or self._clock.now()
            raise CircuitOpen(f"The source still doesn't answer: {failed.message}", reopens_at=reopens_at) from failed
        return await self._attempt(question, read)

    async def _exchange(self, permit: Permit, question: Question, read: Callable[[Answer], T]) -> T:
        try:
            self.requests += 1
            timeout_s = min(self._timeout_s, _PROBE_TIMEOUT_S) if permit.probe else self._timeout_s
            endpoint = question.endpoint
            reply = await self._transport.post(endpoint, orjson.dumps(question.fields), timeout_s=timeout_s)
            _check_status(endpoint, reply, self._clock.now())
            result = _read(endpoint, read, Answer(reply.body, self._clock.now()))
        except SourceError as error:
            # A refusal is meant for this address, whatever was asked.
            subject = None if isinstance(error, SourceRefused) else str(question)
            permit.outcome = Failure(error.code, error.message, _rest_s(error), subject)
            raise
        permit.outcome = True
        if endpoint == "GetPorFecha":
            self._answered = question
        return result


class OddBody(UnexpectedBody):
    """An answer of `GetPorFecha` that is not JSON or fits no shape.

    It is asked for again like any failure: one odd cycle passes, a change of the source stays.

    Attributes:
        answer: The answer and its verdict.
    """

    def __init__(self, answer: HourAnswer) -> None:
        super().__init__(f"GetPorFecha answered with {answer.verdict.reason}.", body=answer.answer.body)
        self.answer = answer


def user_agent(contact: str | None) -> str:
    """The User-Agent: the project, and whom to write to."""
    return f"{PROJECT} contact: {contact}" if contact else PROJECT


def _read_hour(answer: Answer) -> HourAnswer:
    verdict = classify(answer.body)
    if not verdict.usable:
        raise OddBody(HourAnswer(answer, verdict))
    return HourAnswer(answer, verdict)


def _read(endpoint: str, read: Callable[[Answer], T], answer: Answer) -> T:
    start = answer.body[:_HEAD_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start:
        raise SourceUnavailable(f"{endpoint} answered 200 with an empty body.")
    if start.startswith(b"<"):
        raise SourceUnavailable(f"{endpoint} answered 200 with a page instead of data: {_title(start)}.")
    try:
        return read(answer)
    except ValueError as error:
        raise UnexpectedBody(
            f"{endpoint} answered in another form: {error}; it starts {answer.body[:60].decode('utf-8', 'replace')!r}.",
            body=answer.body,
            next_step="The source has changed: see docs/source.md.",
        ) from error


def _title(page: bytes) -> str:
    text = page.decode("utf-8", "replace")
    small = text.lower()
    start = small.find(">", small.find("<title")) + 1 if "<title" in small else len(text)
    end = small.find("</title", start)
    words = "".join(char if char.isprintable() else " " for char in unescape(text[start:end])).split()
    return f'"{" ".join(words)[:_TITLE_CHARS]}"' if words else "it has no title"


def _rest_s(error: SourceError) -> float:
    named = error.retry_after_s if isinstance(error, SourceRefused | SourceUnavailable) else None
    return named or 0.0


def _check_status(endpoint: str, reply: Reply, now: datetime) -> None:
    status = reply.status
    if status == 200:
        return
    rest_s = retry_after_s(reply.retry_after, now)
    if status in {403, 429}:
        raise SourceRefused(f"{endpoint} answered {status}.", retry_after_s=rest_s)
    # A redirect leads to a login or maintenance page, or to a network's own portal.
    if is_transient_status(status) or status < 400:
        raise SourceUnavailable(f"{endpoint} answered {status}.", retry_after_s=rest_s)
    raise SourceError(f"{endpoint} answered {status}.", next_step="Check SEC_BASE_URL.")


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks to wait: a number, or an HTTP date.

    Args:
        header: The header's value.
        now: The present instant.

    Returns:
        Seconds from now, 0 or more, at most a day; None without a readable header.
    """
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
