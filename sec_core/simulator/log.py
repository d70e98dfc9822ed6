"""The log of requests: what was asked, when, and what became of it; in a file also for other processes."""

import dataclasses
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import orjson

from sec_core.source.shapes import Shape


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
