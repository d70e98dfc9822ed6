"""What a request asks for: the hour in a body, the span in a query; and the truth about that span."""

from __future__ import annotations

import dataclasses
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import orjson

from sec_core.errors import InputError
from sec_core.hours import Month, from_wall
from sec_core.simulator.calendar import parse_wall_hour

if TYPE_CHECKING:
    from starlette.types import Receive

    from sec_core.simulator.truth import Truth

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


def truth_body(truth: Truth, query: dict[str, str], now: datetime) -> bytes:
    """Truth of a month (`month`) or of a span (`from`, `to`: Chile hours, both included) as JSON."""
    if "month" in query:
        hours = [hour for hour in Month.parse(query["month"]).hours() if hour <= now]
    elif "from" in query and "to" in query:
        first, last = parse_wall_hour(query["from"]), parse_wall_hour(query["to"])
        months = [Month.of(first)]
        while months[-1] < Month.of(last):
            months.append(months[-1].shift(1))
        hours = [hour for month in months for hour in month.hours() if first <= hour <= min(last, now)]
    else:
        raise InputError("No span is given.", next_step="Add ?month=YYYY-MM, or ?from= and &to= as YYYY-MM-DDTHH.")
    rules = {
        key: int(query[key]) for key in ("threshold", "close_hours", "max_gap_hours") if query.get(key, "").isdigit()
    }
    with_data = truth.hours_with_data(hours)
    events = truth.events(hours, **rules) if with_data else []
    return orjson.dumps(
        {
            "hours": len(hours),
            "hours_with_data": len(with_data),
            "rows": sum(truth.row_count(hour) for hour in with_data),
            "customers": sum(truth.national(hour) for hour in with_data),
            "events": [{"identity": event.identity, **dataclasses.asdict(event)} for event in events],
        }
    )
