"""The reviewed list of works whose effect is validated, `obras.csv`. A new work is a line there."""

from dataclasses import dataclass
from functools import cache

from sec_core.hours import Month
from sec_core.reference.tables import read_rows


@dataclass(frozen=True, slots=True)
class Work:
    """A work of transmission that went into service.

    Attributes:
        regions: Regions that it serves, in the dashboard's short form.
        comunas: Comunas that it serves, upper case without accents; empty for the whole of the regions.
        first: First month of the time in which it went into service.
        last: Last month of that time: the same, or December where only the year is known.
    """

    name: str
    regions: tuple[str, ...]
    comunas: tuple[str, ...]
    first: Month
    last: Month


@cache
def works() -> tuple[Work, ...]:
    """All works of the file."""
    return tuple(_work(row) for row in read_rows("obras.csv"))


def _work(row: dict[str, str]) -> Work:
    year, _, month = row["en_servicio"].partition("-")
    return Work(
        name=row["nombre"],
        regions=tuple(filter(None, row["regiones"].split("|"))),
        comunas=tuple(filter(None, row["comunas"].split("|"))),
        first=Month(int(year), int(month or 1)),
        last=Month(int(year), int(month or 12)),
    )
