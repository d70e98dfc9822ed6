"""The reviewed list of works whose effect is validated, `obras.csv`. A new work is a line there."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from sec_core.hours import Month


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
    text = files("sec_core.gold.seia").joinpath("obras.csv").read_text(encoding="utf-8")
    return tuple(_work(row) for row in csv.DictReader(text.splitlines()))


def _work(row: dict[str, str]) -> Work:
    when = row["en_servicio"]
    year_only = len(when) == len("2021")
    return Work(
        name=row["nombre"],
        regions=tuple(filter(None, row["regiones"].split("|"))),
        comunas=tuple(filter(None, row["comunas"].split("|"))),
        first=Month(int(when), 1) if year_only else Month.parse(when),
        last=Month(int(when), 12) if year_only else Month.parse(when),
    )
