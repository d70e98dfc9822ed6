"""Damaged bodies: what a sound answer becomes under a fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from sec_core.simulator.faults import FaultKind, FaultRule

HTML = (
    b"<!DOCTYPE html><html><head><title>Mantenimiento</title></head>"
    b"<body><h1>Sitio en mantenimiento</h1><p>Intente m\xc3\xa1s tarde.</p></body></html>"
)
_NEW_KEY = "NOMBRE_ALIMENTADOR"


def damaged(body: bytes, rule: FaultRule) -> bytes:
    """A body after a fault that changes it; other kinds leave it as it is."""
    change = _CHANGES.get(rule.kind)
    return body if change is None else change(body, rule)


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


def _with_changed_key(body: bytes, rule: FaultRule) -> bytes:
    rows: list[dict[str, Any]] = orjson.loads(body)
    return orjson.dumps([_changed(row, rule) for row in rows])


def _changed(row: dict[str, Any], rule: FaultRule) -> dict[str, Any]:
    match rule.kind:
        case FaultKind.RENAMED_KEY:
            return {f"{key}_2" if key == rule.key else key: value for key, value in row.items()}
        case FaultKind.MISSING_KEY:
            return {key: value for key, value in row.items() if key != rule.key}
        case FaultKind.NEW_KEY:
            return {**row, _NEW_KEY: "A-1"}
        case _:
            return {key: {"valor": value} if key == rule.key else value for key, value in row.items()}


_CHANGES: dict[FaultKind, Callable[[bytes, FaultRule], bytes]] = {
    FaultKind.HTML: lambda _body, _rule: HTML,
    FaultKind.EMPTY: lambda _body, _rule: b"[]",
    FaultKind.NESTED: lambda _body, rule: b"[" * rule.amount + b"]" * rule.amount,
    FaultKind.TRUNCATED: lambda body, _rule: body[: len(body) // 2],
    FaultKind.BAD_UTF8: _bad_utf8,
    FaultKind.COLLAPSED: _collapsed,
    FaultKind.RENAMED_KEY: _with_changed_key,
    FaultKind.MISSING_KEY: _with_changed_key,
    FaultKind.NEW_KEY: _with_changed_key,
    FaultKind.WRONG_TYPE: _with_changed_key,
}
