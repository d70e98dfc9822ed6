"""The SEC's API over HTTP: five endpoints, typed answers, one layer of retries, and bounds on everything.

Each attempt passes the throttle anew, so that waiting between attempts holds nothing. Callers must not retry what this
module already did; a whole day's work may be tried again much later.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Self, TypeVar

import orjson
from loguru import logger

from sec_core.clock import Clock, SystemClock
from sec_core.errors import SourceError, SourceRefused, SourceUnavailable, UnexpectedBody
from sec_core.hours import CHILE, from_wall
from sec_core.source.circuit import LONG_REST
from sec_core.source.customers import RegionCustomers, list_of, read_country, read_regions
from sec_core.source.shapes import Classified, classify
from sec_core.source.throttle import Failure
from sec_core.source.transport import Reply, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sec_core.config import Settings
    from sec_core.source.throttle import Throttle

T = TypeVar("T")

PROJECT: Final = "sec-outages/0.1 (research pipeline for Chile's power-outage data)"
BACKOFF_FIRST_S: Final = 1.0
BACKOFF_MOST_S: Final = 60.0
_PROBE_TIMEOUT_S: Final = 40.0
"""A probe must be answered within its lease, or two could be out at once."""


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

        def read(answer: Answer) -> HourAnswer:
            verdict = classify(answer.body)
            if not verdict.usable:
                raise OddBody(HourAnswer(answer, verdict))
            return HourAnswer(answer, verdict)

        try:
            return await self._ask("GetPorFecha", fields, read, on_failure)
        except OddBody as odd:
            return odd.answer

    async def national_series(self) -> NationalSeries:
        """Ask `Get` for the national total of each hour of the last week; raises as `hour` does."""

        def read(answer: Answer) -> NationalSeries:
            totals: dict[datetime, int] = {}
            for row in list_of(answer.body, "Get"):
                wall = datetime(row["anho"], row["mes"], row["dia"], tzinfo=CHILE)
                instant = from_wall(wall.date(), row["hora"])
                if instant is not None:
                    totals[instant] = int(row["clientes_afectados"])
            return NationalSeries(answer, totals)

        return await self._ask("Get", {}, read)

    async def regional_customers(self, name: str) -> RegionalCustomers:
        """Ask `GetClientesRegional` for the regions whose full name contains a text; raises as `hour` does."""

        def read(answer: Answer) -> RegionalCustomers:
            return RegionalCustomers(answer, read_regions(answer.body))

        return await self._ask("GetClientesRegional", {"region": name}, read)

    async def national_customers(self) -> NationalCustomers:
        """Ask `GetClientesNacional` for the customers of the country; raises as `hour` does."""

        def read(answer: Answer) -> NationalCustomers:
            return NationalCustomers(answer, read_country(answer.body))

        return await self._ask("GetClientesNacional", {}, read)

    async def server_time(self) -> datetime:
        """Ask `GetHoraServer` what time it is at the source; an aware instant. Raises as `hour` does."""

        def read(answer: Answer) -> datetime:
            text = list_of(answer.body, "GetHoraServer")[0]["FECHA"]
            return datetime.strptime(text, "%d/%m/%Y %H:%M").replace(tzinfo=CHILE).astimezone(UTC)

        return await self._ask("GetHoraServer", {}, read)

    async def _ask(
        self,
        endpoint: str,
        fields: Mapping[str, object],
        read: Callable[[Answer], T],
        on_failure: Callable[[SourceError], None] | None = None,
    ) -> T:
        """Ask and read; again after transient failures: exponential backoff, full jitter, Retry-After obeyed."""
        attempt = 0
        while True:
            try:
                return await self._attempt(endpoint, fields, read)
            except (SourceUnavailable, SourceRefused, OddBody) as failure:
                if on_failure is not None:
                    on_failure(failure)
                wait_s = self._jitter(min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2**attempt))
                rest_s = failure.retry_after_s if isinstance(failure, SourceRefused | SourceUnavailable) else None
                if attempt >= self._retries or (rest_s or 0) > LONG_REST.total_seconds():
                    raise
                wait_s = max(wait_s, rest_s or 0)
                logger.bind(stage="capture", code=failure.code).debug(
                    "{} attempt {}: {} Again in {:.1f} s.", endpoint, attempt + 1, failure.message, wait_s
                )
            attempt += 1
            await self._clock.sleep(wait_s)

    async def _attempt(self, endpoint: str, fields: Mapping[str, object], read: Callable[[Answer], T]) -> T:
        async with self._throttle.permit() as permit:
            try:
                self.requests += 1
                timeout_s = min(self._timeout_s, _PROBE_TIMEOUT_S) if permit.probe else self._timeout_s
                reply = await self._transport.post(endpoint, orjson.dumps(fields), timeout_s=timeout_s)
                _check_status(endpoint, reply, self._clock.now())
                received_at = self._clock.now()
                result = _read(endpoint, read, Answer(reply.body, received_at))
            except SourceError as error:
                rest_s = error.retry_after_s if isinstance(error, SourceRefused | SourceUnavailable) else None
                permit.outcome = Failure(error.code, error.message, rest_s or 0.0)
                raise
            permit.outcome = True
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


def _read(endpoint: str, read: Callable[[Answer], T], answer: Answer) -> T:
    try:
        return read(answer)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        start = answer.body[:60].decode("utf-8", "replace")
        raise UnexpectedBody(
            f"{endpoint} answered in another form ({type(error).__name__}: {error}); it starts {start!r}.",
            body=answer.body,
            next_step="The source has changed: see docs/source.md.",
        ) from error


def _check_status(endpoint: str, reply: Reply, now: datetime) -> None:
    status = reply.status
    if status == 200:
        return
    rest_s = retry_after_s(reply.retry_after, now)
    if status in {403, 429}:
        raise SourceRefused(f"{endpoint} answered {status}.", retry_after_s=rest_s)
    if status >= 500 or status < 400:
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
    from email.utils import parsedate_to_datetime  # noqa: PLC0415  (rarely needed)

    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])
    else:
        try:
            instant = parsedate_to_datetime(text)
        except ValueError:
            return None
        instant = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
        seconds = (instant - now).total_seconds()
    return min(max(seconds, 0.0), 86_400.0)
