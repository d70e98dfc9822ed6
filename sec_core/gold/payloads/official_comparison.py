"""`official_comparison`: the official SAIDI, as the press quotes it, beside the estimate of the same months.

They differ by definition: the official index leaves out cuts of 3 minutes or less and states force majeure apart, and
comes from the companies' own reports. Its distance is published whatever it is; nothing is fitted to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import polars as pl
from pydantic import Field

from sec_core.gold.index_tables import official_comparison as compare
from sec_core.gold.model import PayloadRow, Share
from sec_core.gold.universe import COUNTRY
from sec_core.reference.tables import read_rows, regiones

if TYPE_CHECKING:
    from sec_core.gold.frames import GoldFrames

Hours = Annotated[float, Field(ge=0)]


class OfficialRow(PayloadRow):
    """One official figure."""

    anho: int
    """Year."""
    nombre_region: str
    """Region, or `CHILE`."""
    saidi_oficial: Hours
    """Official SAIDI, hours for each customer."""
    parcial: str | None
    """The months of the year that it holds; null for all."""
    verificado: bool
    """Whether two sources agree on it."""
    fuente: str
    """Where it was read."""
    saidi: Hours | None
    """The estimate of the same months, hours for each customer; null where too little was seen of them."""
    saidi_inf: Hours | None
    """Lower bound of its 95% interval."""
    saidi_sup: Hours | None
    """Upper bound of its 95% interval."""
    razon: Hours | None
    """saidi over saidi_oficial."""
    cobertura: Share | None
    """Share of the hours of these months that are loaded; null where none is expected."""


def official() -> pl.DataFrame:
    """The project's copy of the official figures, see `index_tables.official_comparison`."""
    names = {region.codigo: region.nombre for region in regiones()} | {"": COUNTRY}
    return pl.DataFrame(read_rows("saidi_oficial.csv")).select(
        pl.col("anho").cast(pl.Int32),
        pl.col("codigo_region").replace_strict(names).alias("nombre_region"),
        pl.col("saidi_horas").cast(pl.Float64).alias("saidi_oficial"),
        "parcial",
        pl.col("verificado") == "si",
        "fuente",
    )


def official_comparison(frames: GoldFrames) -> list[OfficialRow]:
    """All official figures, in the file's order."""
    table = compare(official(), frames.monthly, frames.seen, frames.customers)
    return [OfficialRow.model_validate(row) for row in table.select(list(OfficialRow.model_fields)).to_dicts()]
