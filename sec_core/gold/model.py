"""What a payload is: typed rows that are validated before anybody sees them, and one way to write them as JSON."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Annotated

import orjson
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer


class PayloadRow(BaseModel):
    """One object of a payload's JSON list. Its fields (aliases included) are exactly the keys that are published.

    The text below a field is its description in the contract. Unknown keys, infinities and NaN are refused: JSON has
    no such numbers, and the dashboard no use for them.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True, use_attribute_docstrings=True
    )


# A number of things; never negative.
Count = Annotated[int, Field(ge=0)]

# A part of a whole, 0.0 to 1.0.
Share = Annotated[float, Field(ge=0.0, le=1.0)]

# A part of a whole, 0 to 100.
Percent = Annotated[float, Field(ge=0.0, le=100.0)]

# A month, written as its first day `YYYY-MM-01`.
MonthStart = Annotated[date, PlainSerializer(lambda day: day.strftime("%Y-%m-01"), return_type=str)]

# A UTC instant, written `YYYY-MM-DDTHH:MM:SSZ`.
Instant = Annotated[datetime, PlainSerializer(lambda instant: instant.strftime("%Y-%m-%dT%H:%M:%SZ"), return_type=str)]


def as_json(rows: Sequence[PayloadRow]) -> list[dict[str, object]]:
    """Rows as JSON-ready objects, with the keys that are published."""
    return [row.model_dump(mode="json", by_alias=True) for row in rows]


def dump(rows: Sequence[Mapping[str, object]]) -> bytes:
    """JSON-ready rows as the bytes of a payload file: a UTF-8 JSON list, one object a line, with a final newline.

    The same rows give the same bytes.
    """
    lines = [orjson.dumps(row) for row in rows]
    return b"[" + b",".join(b"\n" + line for line in lines) + b"\n]\n" if lines else b"[]\n"
