"""Thousands of bodies gone wrong: each is accepted with all its rows accounted for, or refused with a reason."""

import json
import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.fuzz_bodies import SHAPES_KEYS, VALUES, body_from

from sec_core.source import shapes
from sec_core.source.shapes import MAX_BODY_BYTES, BodyKind, classify, customer_count

CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def hold(body: bytes) -> BodyKind:
    """Classify a body and hold the verdict against another JSON reader."""
    found = classify(body)
    if found.usable:
        rows = json.loads(body)
        assert isinstance(rows, list)
        assert found.rows == len(rows)
        assert (found.shape is None) == (rows == [])
        # The last of two values for one key counts, for both readers.
        assert SHAPES_KEYS.issuperset(map(frozenset, rows))
        assert len(set(map(frozenset, rows))) <= 1
        assert found.customers == sum(customer_count(row["CLIENTES_AFECTADOS"]) or 0 for row in rows)
    else:
        assert found.shape is None
        assert (found.rows, found.customers) == (0, 0)
        assert found.reason
        assert len(found.reason) < 1500
        assert not CONTROL.search(found.reason)
        found.reason.encode()
    return found.kind


@settings(max_examples=examples(3000), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=48))
def test_bodies_gone_wrong(script: bytes) -> None:
    hold(script)
    body = body_from(script)
    hold(body)
    # The fast way to a verdict is no other verdict.
    assert classify(body) == shapes._classify_any(body)


def test_the_fuzzer_makes_every_kind_of_body() -> None:
    kinds = [
        hold(body_from(bytes([number % 256, number // 7 % 256, number // 3 % 256] * 12))) for number in range(3000)
    ]
    assert all(kinds.count(kind) > 20 for kind in BodyKind)


def test_every_odd_value_in_every_field() -> None:
    for shape in (b"\x00", b"\x00\x03"):
        sound = body_from(shape)
        for value in VALUES:
            for field in re.findall(rb'"[A-Z_]+":', sound):
                start = sound.index(field) + len(field)
                end = re.compile(rb'[,}](?=["\]])').search(sound, start)
                assert end is not None
                hold(sound[:start] + value + sound[end.start() :])


def test_the_largest_bodies() -> None:
    row = body_from(b"")[1:-1]
    rows = MAX_BODY_BYTES // (len(row) + 1)
    full = b"[" + b",".join([row] * rows) + b"]"
    assert len(full) <= MAX_BODY_BYTES
    found = classify(full)
    assert (found.kind, found.rows, found.customers) == (BodyKind.DETAILED, rows, 3 * rows)
    assert classify(full + b" " * (MAX_BODY_BYTES + 1 - len(full))).kind is BodyKind.UNKNOWN_SHAPE
    text = b'[{"NOMBRE_REGION":"' + b"x" * (MAX_BODY_BYTES - 100) + b'","NOMBRE_COMUNA":"","CLIENTES_AFECTADOS":1}]'
    assert classify(text).kind is BodyKind.AGGREGATED
    assert classify(b"[" * MAX_BODY_BYTES).kind is not BodyKind.DETAILED
