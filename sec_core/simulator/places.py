"""The places and companies of the simulated country, spelled as the SEC spells them.

`regions.csv` and `comunas.csv` hold facts written down from answers of the SEC: its names of regions and comunas, in
its order (accents dropped, some kept, some misspelled), the customers of each region as of May 2019, and which company
has which share of a region's outages. They are kept apart from the pipeline's own reference on purpose: what is wrong
in one shows against the other.
"""

import csv
from dataclasses import dataclass
from importlib import resources


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


# Names that the detailed shape ends with a blank.
BLANK_ENDED = frozenset({"Arauco", "Castro", "Contulmo"})

# Month of the regional figures, and the country's figure of August 2026.
PERIODO_STAR = "052019"
CLIENTES_NACIONAL = 8_156_814


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
