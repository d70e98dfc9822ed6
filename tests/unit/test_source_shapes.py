"""Bodies against the two known shapes."""

from pathlib import Path

import orjson
from support.fuzz_bodies import AGGREGATED, DETAILED

from sec_core.source.shapes import (
    MAX_BODY_BYTES,
    BodyKind,
    Shape,
    classify,
)  # fmt: skip


def reason_of(rows: object) -> str:
    found = classify(orjson.dumps(rows))
    assert found.kind is BodyKind.UNKNOWN_SHAPE
    assert found.shape is None
    assert found.reason is not None
    return found.reason


def test_known_shapes_are_counted() -> None:
    assert classify(b" [] ").kind is BodyKind.EMPTY
    detailed = classify(orjson.dumps([DETAILED, DETAILED]))
    assert (detailed.shape, detailed.rows, detailed.customers) == (Shape.DETAILED, 2, 6)
    aggregated = classify(orjson.dumps([AGGREGATED, AGGREGATED | {"CLIENTES_AFECTADOS": "5"}]))
    assert (aggregated.shape, aggregated.rows, aggregated.customers) == (Shape.AGGREGATED, 2, 12)


def test_values_that_imputation_can_deal_with_are_accepted() -> None:
    odd = DETAILED | {"CLIENTES_AFECTADOS": None, "NOMBRE_COMUNA": None, "DIA_INT": "x", "FECHA_INT_STR": None}
    found = classify(orjson.dumps([odd, odd | {"CLIENTES_AFECTADOS": -4}, DETAILED]))
    assert (found.shape, found.rows, found.customers) == (Shape.DETAILED, 3, 3)


def test_reasons_name_what_changed() -> None:
    renamed = {("EMPRESA" if key == "NOMBRE_EMPRESA" else key): value for key, value in DETAILED.items()}
    reason = reason_of([DETAILED, renamed])
    assert "row 2 of 2" in reason
    assert "missing keys NOMBRE_EMPRESA" in reason
    assert "new keys EMPRESA, for example EMPRESA = a text 'CGE'" in reason
    assert "another type in CLIENTES_AFECTADOS, for example CLIENTES_AFECTADOS = a list of 1" in reason_of(
        [AGGREGATED | {"CLIENTES_AFECTADOS": [1]}]
    )
    assert "NOMBRE_COMUNA = an integer (3)" in reason_of([AGGREGATED | {"NOMBRE_COMUNA": 3}])
    assert "DIA_INT = a number (1.5)" in reason_of([DETAILED | {"DIA_INT": 1.5}])
    assert "rows of both shapes" in reason_of([AGGREGATED, DETAILED])
    assert "an object with the keys Message" in reason_of({"Message": "An error has occurred."})
    assert "row 1 of 1 is not an object but a list of 0" in reason_of([[]])
    assert "64 bits" in reason_of([AGGREGATED | {"CLIENTES_AFECTADOS": 10**15}] * 9500)


def test_what_is_not_json_is_told_apart() -> None:
    for body in (b"", b"<html>Service Unavailable</html>", b"\xff\xfe[]", b"[" * 100_000, b"[{]", b"[NaN]"):
        found = classify(body)
        assert found.kind is BodyKind.NOT_JSON
        assert found.reason is not None
        assert len(found.reason) <= 400


def test_hostile_bodies_are_refused_before_they_are_decoded() -> None:
    assert "bytes" in (classify(b" " * (MAX_BODY_BYTES + 1)).reason or "")
    assert "values" in (classify(b"[" + b"{}," * 4_000_000 + b"{}]").reason or "")
    assert classify(b"[" * 900 + b"]" * 900).kind is BodyKind.UNKNOWN_SHAPE
    assert "\\x00" in reason_of([AGGREGATED | {"\x00" * 500: 1}])


def test_real_captures(captures_dir: Path) -> None:
    for path in sorted((captures_dir / "por_fecha").glob("*/*.json")):
        found = classify(path.read_bytes())
        assert found.shape is not None, path.name
        assert found.shape.value == path.parent.name
    storm = classify((captures_dir / "por_fecha/aggregated/2024-08-02T12.json").read_bytes())
    assert (storm.rows, storm.customers) == (299, 1_176_268)
    ordinary = classify((captures_dir / "por_fecha/detailed/2025-01-29T12.json").read_bytes())
    assert (ordinary.rows, ordinary.customers) == (604, 21_759)
