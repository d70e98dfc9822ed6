"""Hours as plain numbers: hours since 1970 in UTC, cheap to count and to compare."""

from datetime import UTC, date, datetime
from functools import lru_cache

from sec_core.errors import InputError
from sec_core.hours import CHILE, from_wall


def hour_index(instant: datetime) -> int:
    """Hours since 1970-01-01T00Z of an aware instant."""
    return int(instant.timestamp()) // 3600


@lru_cache(maxsize=16_384)
def _wall(index: int) -> datetime:
    return datetime.fromtimestamp(index * 3600, CHILE)


def chile_date(index: int) -> date:
    """Calendar day in Chile of an hour index."""
    return _wall(index).date()


def chile_hour(index: int) -> int:
    """Hour of the day in Chile of an hour index."""
    return _wall(index).hour


def parse_wall_hour(text: str) -> datetime:
    """UTC instant of `YYYY-MM-DDTHH` in Chile wall clock, or of `YYYY-MM-DDTHHZ` in UTC.

    Raises:
        InputError: The text has another form, or names an hour that Chile does not have.
    """
    try:
        wall = datetime.strptime(text.rstrip("Z"), "%Y-%m-%dT%H")  # noqa: DTZ007 - the zone is decided below
    except ValueError:
        raise InputError(f"{text!r} is not an hour.", next_step="Write it as YYYY-MM-DDTHH.") from None
    if text.endswith("Z"):
        return wall.replace(tzinfo=UTC)
    instant = from_wall(wall.date(), wall.hour)
    if instant is None:
        raise InputError(f"Chile has no hour {text}.", next_step="The clocks change in that night: name another hour.")
    return instant
