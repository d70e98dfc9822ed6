"""Leave for one request, and what a request tells the gate afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request failed.

    Attributes:
        code: Stable name of the failure.
        error: The failure in one line.
        rest_s: Seconds for which the source asked to be left alone.
    """

    code: str
    error: str
    rest_s: float = 0.0


@dataclass(slots=True)
class Turn:
    """Leave for one request. Told nothing (the request was cancelled), it counts as neither success nor failure.

    Attributes:
        probe: Name of the probe, if this request is the one that tries whether the source is back.
        answered: Whether the outcome is known.
        failure: Why it failed; None for a usable answer.
    """

    probe: UUID | None = None
    answered: bool = field(default=False, init=False)
    failure: Failure | None = field(default=None, init=False)

    def succeeded(self) -> None:
        """The source gave a usable answer."""
        self.answered, self.failure = True, None

    def failed(self, failure: Failure) -> None:
        """The source gave none."""
        self.answered, self.failure = True, failure


class RequestGate(Protocol):
    """What a client needs of a gate."""

    def turn(self) -> AbstractAsyncContextManager[Turn]:
        """Wait for leave; the block is the request. Raises CircuitOpen while no request may leave."""
        ...
