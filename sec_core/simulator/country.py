"""The simulated country: its places and companies as the SEC spells them, and hours as plain numbers.

`regions.csv` and `comunas.csv` hold facts written down from answers of the SEC: its names of regions and comunas, in
its order (accents dropped, some kept, some misspelled), the customers of each region as of May 2019, and which company
has which share of a region's outages. They are kept apart from the pipeline's own reference on purpose: what is wrong
in one shows against the other.

An hour's number is the hours since 1970 in UTC: cheap to count and to compare.
"""

import csv
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from importlib import resources

from sec_core.errors import InputError
from sec_core.hours import CHILE, from_wall


@dataclass(frozen=True, slots=True)
class Region:
    """A region as the SEC knows it."""

    number: str  # REGION_ID, unpadded
    name: str  # as in GetPorFecha
    full_name: str  # as in GetClientesRegional
    customers: int  # in May 2019
    companies: tuple[tuple[str, int], ...]  # with their shares of its outages
    comunas: tuple[tuple[str, str], ...]  # official code (CUT) and spelling

    @property
    def code(self) -> str:
        """Official two-digit code."""
        return self.number.zfill(2)


def _rows(name: str) -> list[dict[str, str]]:
    text = resources.files("sec_core.simulator").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _shares(row: dict[str, str]) -> tuple[tuple[str, int], ...]:
    return tuple((company, int(share)) for company, share in (each.split(":") for each in row["companies"].split()))


_COMUNAS = _rows("comunas.csv")
# Companies of a comuna where it is known better than from its region.
COMUNA_COMPANIES = {row["code"]: _shares(row) for row in _COMUNAS if row["companies"]}
# In the order in which the SEC lists them.
REGIONS = tuple(
    Region(
        row["number"], row["name"], row["full_name"], int(row["customers"]), _shares(row),
        tuple((each["code"], each["name"]) for each in _COMUNAS if each["code"][:2] == row["number"].zfill(2)),
    )
    for row in _rows("regions.csv")
)  # fmt: skip


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
