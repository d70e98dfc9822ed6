"""Which request meets which fault, and what becomes of a body."""

from datetime import datetime

import orjson
import pytest

from sec_core.errors import InputError
from sec_core.hours import Month
from sec_core.simulator.faults import Ban, BanWatch, Endpoint, FaultKind, FaultOptions, FaultRule, Request, damaged

HOURS = Month(2025, 1).hours()
BODY = orjson.dumps([{"NOMBRE_COMUNA": f"C{i // 2}", "CLIENTES_AFECTADOS": i} for i in range(100)])


def ask(hour: datetime | None = HOURS[0], attempt: int = 1, number: int = 1) -> Request:
    return Request(Endpoint.POR_FECHA if hour else Endpoint.GET, hour, "", 0, "", 0, number=number, attempt=attempt)


def test_a_rate_meets_about_its_share_and_always_the_same_requests() -> None:
    options = FaultOptions(rules=(FaultRule(kind=FaultKind.HTML, rate=0.2),))
    met = [options.decide(ask(hour))[0] is not None for hour in HOURS]
    assert 0.14 < sum(met) / len(met) < 0.26
    assert met == [options.decide(ask(hour))[0] is not None for hour in HOURS]
    assert met != [options.decide(ask(hour, attempt=2))[0] is not None for hour in HOURS]


def test_faults_of_a_rough_day_heal_after_their_attempts() -> None:
    kinds = ("status,status=500", "status,status=503", "drop", "drop_mid_body", "html")
    options = FaultOptions(rules=tuple(FaultRule.parse(f"{kind},rate=0.1,attempts=1..2") for kind in kinds))
    failing = [[options.decide(ask(hour, attempt))[0] is not None for hour in HOURS] for attempt in (1, 2, 3)]
    assert failing[0] == failing[1]
    assert 0.3 < sum(failing[0]) / len(HOURS) < 0.5
    assert not any(failing[2])


def test_a_rule_keeps_to_its_hours_attempts_requests_and_endpoint() -> None:
    rule = FaultRule.parse(
        "status,status=429,retry_after_s=2,hours=2025-01-01T05..2025-01-01T06,attempts=2,requests=3..9"
    )
    options = FaultOptions(rules=(rule,))
    inside = ask(HOURS[5], attempt=2, number=3)
    assert options.decide(inside) == (rule, 0)
    for outside in (
        ask(HOURS[4], attempt=2, number=3),
        ask(HOURS[7], attempt=2, number=3),
        ask(HOURS[5], attempt=1, number=3),
        ask(HOURS[5], attempt=2, number=10),
        ask(None, attempt=2, number=3),
    ):
        assert options.decide(outside) == (None, 0)
    assert FaultOptions(rules=(FaultRule.parse("drop,endpoint=all"),)).decide(ask(None))[0] is not None


def test_slow_answers_add_up_and_leave_the_search_going() -> None:
    options = FaultOptions.model_validate({"rules": ["slow,delay_s=3", "empty,attempts=1"], "latency_s": 1})
    rule, wait = options.decide(ask())
    assert (rule and rule.kind, wait) == (FaultKind.EMPTY, 4)


@pytest.mark.parametrize(
    "text", ["nonsense", "status,rate=2", "status,rate", "html,hours=yesterday", "html,colour=red"]
)
def test_a_rule_that_can_not_be_read_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError) as caught:
        FaultRule.parse(text)
    assert text.split(",", maxsplit=1)[0] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_ban_begins_above_the_rate_and_ends_when_it_is_borne_again() -> None:
    watch = BanWatch(Ban(max_rate=2, window_s=5, duration_s=20))
    assert [watch.banned(0.4 * i) for i in range(10)] == [False] * 10
    assert watch.banned(4.0)
    assert watch.banned(23.9)
    assert not watch.banned(24.1)


def test_a_collapsed_body_keeps_less_than_a_tenth_of_the_rows() -> None:
    rows = orjson.loads(damaged(BODY, FaultRule(kind=FaultKind.COLLAPSED)))
    assert rows == orjson.loads(BODY)[:4]


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        (FaultKind.RENAMED_KEY, {"NOMBRE_COMUNA": "C0", "CLIENTES_AFECTADOS_2": 1}),
        (FaultKind.MISSING_KEY, {"NOMBRE_COMUNA": "C0"}),
        (FaultKind.NEW_KEY, {"NOMBRE_COMUNA": "C0", "CLIENTES_AFECTADOS": 1, "NOMBRE_ALIMENTADOR": "A-1"}),
        (FaultKind.WRONG_TYPE, {"NOMBRE_COMUNA": "C0", "CLIENTES_AFECTADOS": {"valor": 1}}),
    ],
)
def test_changed_fields(kind: FaultKind, row: dict[str, object]) -> None:
    assert orjson.loads(damaged(BODY, FaultRule(kind=kind)))[1] == row


@pytest.mark.parametrize("kind", [FaultKind.HTML, FaultKind.BAD_UTF8, FaultKind.TRUNCATED, FaultKind.NESTED])
def test_bodies_that_no_json_reader_takes(kind: FaultKind) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(damaged(BODY, FaultRule(kind=kind)))


def test_other_kinds_leave_a_body_as_it_is() -> None:
    assert damaged(BODY, FaultRule(kind=FaultKind.SLOW)) is BODY
    assert damaged(BODY, FaultRule(kind=FaultKind.EMPTY)) == b"[]"
