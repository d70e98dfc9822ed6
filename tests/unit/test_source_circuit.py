"""The circuit's transitions."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from sec_core.source.circuit import (
    PROBE_LEASE,
    Circuit,
    CircuitRules,
    CircuitStatus,
    Failure,
    Leave,
    after_failure,
    after_success,
    ask_leave,
    bounded,
)

NOW = datetime(2024, 8, 2, 12, tzinfo=UTC)
RULES = CircuitRules(failures=5, cooldown=timedelta(minutes=30))
SECOND = timedelta(seconds=1)


def failing(circuit: Circuit, times: int, now: datetime = NOW, rest: timedelta = timedelta(0)) -> Circuit:
    for _ in range(times):
        circuit = after_failure(circuit, Failure("source_unavailable", "503", rest), now, RULES)
    return circuit


def test_the_fifth_failure_in_a_row_opens_it() -> None:
    assert failing(Circuit(), 4).status is CircuitStatus.CLOSED
    broken = after_success(failing(Circuit(), 4), None)
    assert failing(broken, 4).status is CircuitStatus.CLOSED
    opened = failing(broken, 5)
    assert (opened.status, opened.reopens_at) == (CircuitStatus.OPEN, NOW + RULES.cooldown)
    assert opened.code == "source_unavailable"


def test_nothing_leaves_in_the_cooldown_and_stragglers_change_nothing() -> None:
    opened = failing(Circuit(), 5)
    assert ask_leave(opened, NOW + RULES.cooldown - SECOND, uuid4()) == (Leave.REFUSED, opened)
    assert after_success(opened, None) == opened
    assert failing(opened, 3, NOW + SECOND) == opened


def test_exactly_one_probe_leaves_and_its_outcome_decides() -> None:
    later = NOW + RULES.cooldown
    name = uuid4()
    leave, half = ask_leave(failing(Circuit(), 5), later, name)
    assert (leave, half.status) == (Leave.PROBE, CircuitStatus.HALF_OPEN)
    assert ask_leave(half, later + SECOND, uuid4())[0] is Leave.WAIT
    assert after_success(half, None) == half
    assert after_success(half, uuid4()) == half
    assert after_success(half, name).status is CircuitStatus.CLOSED
    again = after_failure(half, Failure("x", "y"), later + SECOND, RULES, name)
    assert (again.status, again.reopens_at) == (CircuitStatus.OPEN, later + SECOND + RULES.cooldown)


def test_a_dead_prober_costs_less_than_a_minute() -> None:
    later = NOW + RULES.cooldown
    dead = uuid4()
    _, half = ask_leave(failing(Circuit(), 5), later, dead)
    assert timedelta(0) < PROBE_LEASE < timedelta(minutes=1)
    assert ask_leave(half, later + PROBE_LEASE - SECOND, uuid4())[0] is Leave.WAIT
    leave, taken_over = ask_leave(half, later + PROBE_LEASE, uuid4())
    assert leave is Leave.PROBE
    # Whatever the first probe comes to now is too late.
    assert after_success(taken_over, dead) == taken_over


def test_a_long_retry_after_opens_it_at_once_for_that_long() -> None:
    opened = failing(Circuit(), 1, rest=timedelta(hours=2))
    assert (opened.status, opened.reopens_at) == (CircuitStatus.OPEN, NOW + timedelta(hours=2))
    assert failing(Circuit(), 1, rest=timedelta(seconds=30)).status is CircuitStatus.CLOSED


def test_failures_of_one_request_alone_never_open_it() -> None:
    def fail(circuit: Circuit, subject: str | None, rules: CircuitRules = RULES) -> Circuit:
        return after_failure(circuit, Failure("c", "e", subject=subject), NOW, rules)

    alone = Circuit()
    for _ in range(50):
        alone = fail(alone, "hour 3")
    assert (alone.status, alone.failures) == (CircuitStatus.CLOSED, 50)
    assert fail(alone, "hour 4").status is CircuitStatus.OPEN
    assert fail(alone, None).status is CircuitStatus.OPEN, "a refusal is meant for whatever is asked"
    several = fail(fail(fail(Circuit(), "hour 3"), "hour 4"), "hour 3")
    assert fail(fail(several, "hour 3"), "hour 3").status is CircuitStatus.OPEN
    assert fail(after_success(several, None), "hour 3").only == "hour 3"
    assert fail(Circuit(), "hour 3", CircuitRules(1, RULES.cooldown)).status is CircuitStatus.OPEN


@given(
    st.sampled_from(list(CircuitStatus)),
    *[st.none() | st.timedeltas(timedelta(days=-9), timedelta(days=900)).map(lambda ahead: NOW + ahead)] * 3,
)
def test_no_stored_instant_is_waited_for_longer_than_it_can_be(
    status: CircuitStatus, opened: datetime | None, reopens: datetime | None, probe_until: datetime | None
) -> None:
    stored = Circuit(status, 5, opened, reopens, probe_until, uuid4())
    now_bounded = bounded(stored, NOW, RULES)
    limit = timedelta(days=1, minutes=1)
    assert now_bounded.reopens_at is None or now_bounded.reopens_at <= NOW + limit
    assert now_bounded.probe_until is None or now_bounded.probe_until <= NOW + PROBE_LEASE + timedelta(minutes=1)
    if opened is not None and opened > NOW + timedelta(minutes=1):
        assert now_bounded.reopens_at is None or now_bounded.reopens_at <= NOW + RULES.cooldown
    assert bounded(now_bounded, NOW, RULES) == now_bounded
    possible = Circuit(status, 5, NOW - SECOND, NOW + timedelta(hours=20), NOW + PROBE_LEASE, uuid4())
    assert bounded(possible, NOW, RULES) == possible


@given(st.lists(st.sampled_from(["ask", "success", "failure", "wait", "long wait"]), max_size=60))
def test_never_two_probes_at_once_whatever_happens(steps: list[str]) -> None:
    circuit, now = Circuit(), NOW
    out = None
    for step in steps:
        if step == "ask":
            name = uuid4()
            leave, circuit = ask_leave(circuit, now, name)
            if leave is Leave.PROBE:
                assert out is None or now >= out[1]
                out = (name, now + PROBE_LEASE)
            elif leave is Leave.GO:
                assert circuit.status is CircuitStatus.CLOSED
        elif step == "success":
            circuit, out = after_success(circuit, out[0] if out else None), None
        elif step == "failure":
            probe = out[0] if out else None
            circuit, out = after_failure(circuit, Failure("c", "e"), now, RULES, probe), None
        else:
            now += SECOND if step == "wait" else RULES.cooldown
        assert (circuit.status is CircuitStatus.CLOSED) == (circuit.reopens_at is None)
