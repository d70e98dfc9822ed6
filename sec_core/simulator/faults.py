"""Requests and their log; and faults on demand: which request meets which, and what becomes of a body.

The same requests meet a fault for the same seed.
"""

import dataclasses
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Annotated, Any, BinaryIO, Self

import orjson
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sec_core.errors import InputError
from sec_core.simulator.country import parse_wall_hour
from sec_core.source.shapes import Shape


class FaultKind(StrEnum):
    """What can go wrong with an answer."""

    STATUS = "status"
    DROP = "drop"
    DROP_MID_BODY = "drop_mid_body"
    SLOW = "slow"
    HTML = "html"
    EMPTY = "empty"
    COLLAPSED = "collapsed"
    RENAMED_KEY = "renamed_key"
    MISSING_KEY = "missing_key"
    NEW_KEY = "new_key"
    WRONG_TYPE = "wrong_type"
    OVERSIZE = "oversize"
    ENDLESS = "endless"
    NESTED = "nested"
    BAD_UTF8 = "bad_utf8"
    TRUNCATED = "truncated"


class Endpoint(StrEnum):
    """The five endpoints, by the last part of their address."""

    POR_FECHA = "GetPorFecha"
    GET = "Get"
    REGIONAL = "GetClientesRegional"
    NACIONAL = "GetClientesNacional"
    HORA = "GetHoraServer"


@dataclass(slots=True)
class Request:
    """One request."""

    endpoint: str  # last part of the address
    hour: datetime | None  # hour asked for, UTC; None without one, and for an hour that Chile does not have
    body: str
    client_port: int  # of the client's end: one for each connection
    user_agent: str
    arrived: float  # monotonic seconds
    number: int = 0  # from 1 in the order of arrival
    attempt: int = 0  # how often this hour (or this endpoint) was asked for, this time included
    in_flight: int = 0  # requests in flight at its arrival, this one included
    arrived_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: float | None = None  # monotonic seconds; None while it is in flight
    status: int = 0  # 0 when none was sent
    fault: str | None = None  # that it met; `ban` for a ban
    revision: int | None = None  # of the hour that was answered
    shape: Shape | None = None  # of that answer
    sent: int = 0  # bytes of the answer's body

    @property
    def sound(self) -> bool:
        """Whether it was answered as the source would on a good day (a slow answer is sound)."""
        return self.status == 200 and self.fault is None


class RequestLog:
    """All requests since the start, in memory and, when they end, as lines of JSON in a file. One thread writes it."""

    def __init__(self, path: Path | None = None) -> None:
        self.requests: list[Request] = []
        self._in_flight = 0
        self._attempts: Counter[object] = Counter()
        self._served: Counter[datetime] = Counter()
        self._file: BinaryIO | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)

    def begin(self, request: Request) -> None:
        """Take a request in: sets its number, its attempt and the requests in flight."""
        self._in_flight += 1
        subject = request.hour if request.hour is not None else f"{request.endpoint} {request.body}"
        self._attempts[subject] += 1
        request.number, request.attempt = len(self.requests) + 1, self._attempts[subject]
        request.in_flight = self._in_flight
        self.requests.append(request)

    def end(self, request: Request, ended: float) -> None:
        """Note that a request is over, once."""
        if request.ended is not None:
            return
        self._in_flight -= 1
        request.ended = ended
        if request.sound and request.hour is not None and request.revision is not None:
            self._served[request.hour] += 1
        if self._file is not None:
            self._file.write(orjson.dumps(dataclasses.asdict(request)) + b"\n")

    def served(self, hour: datetime) -> int:
        """How often an hour was answered soundly."""
        return self._served[hour]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


class Strict(BaseModel):
    """Options that know all their names and never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _wall_hour(text: object) -> object:
    try:
        return parse_wall_hour(text) if isinstance(text, str) else text
    except InputError as error:
        raise ValueError(str(error)) from None


# YYYY-MM-DDTHH in Chile wall clock.
WallHour = Annotated[AwareDatetime, BeforeValidator(_wall_hour)]


class FaultRule(Strict):
    """One kind of fault and the requests that meet it. Every condition that is given must hold.

    With `attempts`, `rate` is a share of the hours: a chosen hour fails in all these attempts and then heals.
    """

    kind: FaultKind
    endpoint: Endpoint | None = Endpoint.POR_FECHA  # None means all
    rate: float = Field(default=1.0, ge=0, le=1)  # share of the requests
    hours: tuple[WallHour, WallHour] | None = None  # first and last hour asked for
    attempts: tuple[int, int] | None = None  # first and last request for the same hour, from 1
    requests: tuple[int, int] | None = None  # first and last request at all, from 1
    status: int = Field(default=503, ge=400, le=599)  # of `status`
    retry_after_s: float | None = Field(default=None, ge=0)  # of `status`
    delay_s: float | None = Field(default=None, ge=0)  # see `wait_s`
    size: int | None = Field(default=None, ge=1)  # see `amount`
    key: str = "CLIENTES_AFECTADOS"  # that renamed_key, missing_key, new_key and wrong_type change

    @property
    def amount(self) -> int:
        """Bytes of `oversize` (by default 200 MB), depth of `nested` (100 000)."""
        return self.size or (100_000 if self.kind is FaultKind.NESTED else 200_000_000)

    @property
    def wait_s(self) -> float:
        """Seconds of `slow` (by default 5), and between the 64 KiB pieces of `endless` (0.02)."""
        return self.delay_s if self.delay_s is not None else (0.02 if self.kind is FaultKind.ENDLESS else 5)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a rule as written on a command line: `kind[,name=value]...`; ranges are `first..last`.

        For example `status,rate=0.1,status=429,retry_after_s=2` or `html,hours=2024-08-01T00..2024-08-01T05`.
        """
        kind, *rest = [part.strip() for part in text.split(",")]
        values: dict[str, object] = {"kind": kind}
        for part in rest:
            name, sign, value = part.partition("=")
            if not sign:
                raise InputError(f"{part!r} in the fault {text!r} has no value.", next_step="Write it as name=value.")
            is_range = name in {"hours", "attempts", "requests"}
            first, _, last = value.partition("..")
            if name == "endpoint" and value == "all":
                values[name] = None
            else:
                values[name] = (first, last or first) if is_range else value
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            raise InputError(f"The fault {text!r} can't be read: {problems}.") from None

    def meets(self, seed: int, number: int, request: Request) -> bool:
        """Whether a request meets this rule, the `number`-th of its list."""
        if self.endpoint is not None and request.endpoint != self.endpoint:
            return False
        if self.requests and not self.requests[0] <= request.number <= self.requests[1]:
            return False
        if self.attempts and not self.attempts[0] <= request.attempt <= self.attempts[1]:
            return False
        if self.hours and (request.hour is None or not self.hours[0] <= request.hour <= self.hours[1]):
            return False
        if self.rate >= 1:
            return True
        subject = request.hour.timestamp() if request.hour is not None else request.endpoint
        turn = "" if self.attempts else request.attempt
        return Random(f"fault {seed} {number} {subject} {turn}").random() < self.rate  # noqa: S311 - no secret


class Ban(Strict):
    """A ban of everybody, as the SEC is said to impose: too many requests, and nothing is answered for a while."""

    max_rate: float = Field(gt=0)  # requests a second over the window that are still borne
    window_s: float = Field(default=10, gt=0)
    duration_s: float = Field(default=60, ge=0)  # after the last request that exceeded the rate
    status: int | None = Field(default=403, ge=400, le=599)  # None drops the connections instead
    retry_after_s: float | None = None


def _from_text(rule: object) -> object:
    return FaultRule.parse(rule) if isinstance(rule, str) else rule


class FaultOptions(Strict):
    """Everything that goes wrong. The first rule that a request meets decides; after `slow` the search goes on."""

    seed: int = 1  # which requests meet a fault with a rate
    rules: tuple[Annotated[FaultRule, BeforeValidator(_from_text)], ...] = ()
    latency_s: float = Field(default=0, ge=0)  # before every answer
    ban: Ban | None = None

    def decide(self, request: Request) -> tuple[FaultRule | None, float]:
        """The rule that a request meets, or None, and the seconds to wait before the answer."""
        wait = self.latency_s
        for number, rule in enumerate(self.rules):
            if rule.meets(self.seed, number, request):
                if rule.kind is not FaultKind.SLOW:
                    return rule, wait
                wait += rule.wait_s
        return None, wait


class BanWatch:
    """Counts requests over a sliding window and says who is banned; `rule` is what they meet."""

    def __init__(self, ban: Ban) -> None:
        self._ban = ban
        self.rule = (
            FaultRule(kind=FaultKind.DROP)
            if ban.status is None
            else FaultRule(kind=FaultKind.STATUS, status=ban.status, retry_after_s=ban.retry_after_s)
        )
        self._arrivals: deque[float] = deque()
        self._until = float("-inf")

    def banned(self, now: float) -> bool:
        """Count a request that arrived at `now`, monotonic seconds, and say whether it falls under the ban."""
        self._arrivals.append(now)
        while self._arrivals[0] <= now - self._ban.window_s:
            self._arrivals.popleft()
        if len(self._arrivals) > self._ban.max_rate * self._ban.window_s:
            self._until = now + self._ban.duration_s
        return now < self._until


# --- what becomes of a body -----------------------------------------------------------------------------------

_HTML = (
    b"<!DOCTYPE html><html><head><title>Mantenimiento</title></head>"
    b"<body><h1>Sitio en mantenimiento</h1><p>Intente m\xc3\xa1s tarde.</p></body></html>"
)


def damaged(body: bytes, rule: FaultRule) -> bytes:
    """A body after a fault that changes it; other kinds leave it as it is."""
    if rule.kind in _ROW_CHANGES:
        change = _ROW_CHANGES[rule.kind]
        return orjson.dumps([change(row, rule.key) for row in orjson.loads(body)])
    return _BODY_CHANGES[rule.kind](body, rule) if rule.kind in _BODY_CHANGES else body


def _bad_utf8(body: bytes, _rule: FaultRule) -> bytes:
    return body.replace(b'":"', b'":"\xff\xfe', 1) if b'":"' in body else b'["\xff\xfe"]'


def _collapsed(body: bytes, _rule: FaultRule) -> bytes:
    """The rows of two comunas, and always fewer than a tenth of all rows where there are more than ten."""
    rows: list[dict[str, Any]] = orjson.loads(body)
    if len(rows) <= 10:
        return orjson.dumps(rows[:1])
    comunas = list(dict.fromkeys(row.get("NOMBRE_COMUNA") for row in rows))[:2]
    left = [row for row in rows if row.get("NOMBRE_COMUNA") in comunas]
    return orjson.dumps(left[: max(1, (len(rows) - 1) // 10)])


_ROW_CHANGES: dict[FaultKind, Callable[[dict[str, Any], str], dict[str, Any]]] = {
    FaultKind.RENAMED_KEY: lambda row, key: {f"{name}_2" if name == key else name: row[name] for name in row},
    FaultKind.MISSING_KEY: lambda row, key: {name: value for name, value in row.items() if name != key},
    FaultKind.NEW_KEY: lambda row, _key: row | {"NOMBRE_ALIMENTADOR": "A-1"},
    FaultKind.WRONG_TYPE: lambda row, key: row | ({key: {"valor": row[key]}} if key in row else {}),
}
_BODY_CHANGES: dict[FaultKind, Callable[[bytes, FaultRule], bytes]] = {
    FaultKind.HTML: lambda _body, _rule: _HTML,
    FaultKind.EMPTY: lambda _body, _rule: b"[]",
    FaultKind.NESTED: lambda _body, rule: b"[" * rule.amount + b"]" * rule.amount,
    FaultKind.TRUNCATED: lambda body, _rule: body[: len(body) // 2],
    FaultKind.BAD_UTF8: _bad_utf8,
    FaultKind.COLLAPSED: _collapsed,
}
