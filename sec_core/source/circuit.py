"""When the source is left alone: the circuit breaker's rules, as pure transitions of one shared state.

closed -- enough failures in a row --> open -- cooldown over, one probe leaves --> half-open -- success --> closed
                                        ^------------------ the probe fails -----------|

Failures of one request alone don't open it, however often it is repeated: an hour that the source can't answer must
not keep everybody from the others.

A probe holds a lease: if its process dies, another probe may leave when the lease has run out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self
from uuid import UUID

# How long a probe may be out before another one may leave: under the minute that a dead process may cost.
PROBE_LEASE: Final = timedelta(seconds=50)

# A Retry-After above this opens the circuit at once, for that long: no run sits and waits for it.
LONG_REST: Final = timedelta(seconds=120)

# A longer Retry-After counts as this.
LONGEST_REST: Final = timedelta(days=1)

# So far apart the clocks of two machines may be.
_SKEW: Final = timedelta(minutes=1)


class CircuitStatus(StrEnum):
    """States of the circuit (column `estado`)."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class CircuitRules:
    """Settings: how many failures in a row open the circuit, and for how long.

    With more than one needed, failures of one request alone never do.
    """

    failures: int
    cooldown: timedelta


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request failed."""

    code: str
    error: str
    rest: timedelta = timedelta(0)  # how long the source asked to be left alone (Retry-After)
    subject: str | None = None  # what was asked for; None for a failure that concerns whatever is asked


@dataclass(frozen=True, slots=True)
class Circuit:
    """The shared state, a row of `circuito_fuente`; its columns have these values."""

    status: CircuitStatus = CircuitStatus.CLOSED
    failures: int = 0  # in a row
    opened_at: datetime | None = None
    reopens_at: datetime | None = None  # from when a probe may leave
    probe_until: datetime | None = None  # until when the probe that is out holds its lease
    probe: UUID | None = None
    code: str | None = None  # of the last failure; None after a success
    error: str | None = None
    only: str | None = None  # the request that had all failures in a row; None if several had, or they concern all

    @classmethod
    def of(cls, row: Sequence[Any]) -> Self:
        """A row of `circuito_fuente`, its columns in the order of the attributes."""
        return cls(CircuitStatus(row[0]), *row[1:])


class Leave(StrEnum):
    """What a request that wants to leave is told."""

    GO = "go"
    PROBE = "probe"  # leave, as the one probe
    WAIT = "wait"  # a probe is out: its outcome is known within its lease
    REFUSED = "refused"  # the circuit is open


def ask_leave(circuit: Circuit, now: datetime, probe: UUID) -> tuple[Leave, Circuit]:
    """Whether a request may leave, as the probe under this name if one is due; and the state after it."""
    if circuit.status is CircuitStatus.CLOSED:
        return Leave.GO, circuit
    if circuit.status is CircuitStatus.OPEN and circuit.reopens_at is not None and now < circuit.reopens_at:
        return Leave.REFUSED, circuit
    if circuit.status is CircuitStatus.HALF_OPEN and circuit.probe_until is not None and now < circuit.probe_until:
        return Leave.WAIT, circuit
    return Leave.PROBE, replace(circuit, status=CircuitStatus.HALF_OPEN, probe=probe, probe_until=now + PROBE_LEASE)


def bounded(circuit: Circuit, now: datetime, rules: CircuitRules) -> Circuit:
    """The state without instants further ahead than they can be, as a changed clock leaves them."""
    opened, reopens, probe_until = circuit.opened_at, circuit.reopens_at, circuit.probe_until
    if reopens is not None and reopens > now + max(rules.cooldown, LONGEST_REST) + _SKEW:
        reopens = now + rules.cooldown
    if opened is not None and opened > now + _SKEW:
        opened = now
        reopens = None if reopens is None else min(reopens, now + rules.cooldown)
    if probe_until is not None and probe_until > now + PROBE_LEASE + _SKEW:
        probe_until = now + PROBE_LEASE
    return replace(circuit, opened_at=opened, reopens_at=reopens, probe_until=probe_until)


def after_success(circuit: Circuit, probe: UUID | None) -> Circuit:
    """The state after a usable answer, which changes nothing if its request left before the circuit opened."""
    if circuit.status is CircuitStatus.CLOSED or (probe is not None and circuit.probe == probe):
        return Circuit(opened_at=circuit.opened_at)
    return circuit


def after_failure(
    circuit: Circuit, failure: Failure, now: datetime, rules: CircuitRules, probe: UUID | None = None
) -> Circuit:
    """The state after a failure; `probe` is the request's name if it was a probe."""
    failures = circuit.failures + 1
    reopens_at = now + max(rules.cooldown, failure.rest)
    opened = Circuit(CircuitStatus.OPEN, failures, now, reopens_at, code=failure.code, error=failure.error)
    if circuit.status is CircuitStatus.CLOSED:
        only = failure.subject if circuit.failures == 0 or failure.subject == circuit.only else None
        enough = failures >= rules.failures and (only is None or rules.failures == 1)
        if enough or failure.rest > LONG_REST:
            return opened
        return replace(circuit, failures=failures, code=failure.code, error=failure.error, only=only)
    if circuit.status is CircuitStatus.HALF_OPEN and probe is not None and circuit.probe == probe:
        return opened
    return circuit
