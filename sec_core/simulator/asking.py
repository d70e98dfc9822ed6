"""What a request asks for."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import orjson

from sec_core.hours import from_wall

if TYPE_CHECKING:
    from starlette.types import Receive

_LARGEST_BODY = 65_536


async def read_body(receive: Receive) -> bytes:
    """The body of a request, cut where no honest one ends."""
    body = b""
    while len(body) < _LARGEST_BODY:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            break
    return body


def payload_of(raw: bytes) -> dict[str, Any] | None:
    """The object of a JSON body; nothing given counts as an empty one, and None is what is no object at all."""
    if not raw.strip():
        return {}
    try:
        payload = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return payload if isinstance(payload, dict) else None


def hour_of(payload: dict[str, Any]) -> datetime | None:
    """Hour asked for; without `hora` it is hour 0. None for what no calendar or no Chilean clock has."""
    try:
        day = date(*(int(payload.get(key) or 0) for key in ("anho", "mes", "dia")))
        number = int(payload.get("hora") or 0)
    except (TypeError, ValueError):
        return None
    return from_wall(day, number) if 0 <= number <= 23 and 2000 <= day.year <= 2999 else None
