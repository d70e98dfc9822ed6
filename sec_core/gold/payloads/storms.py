"""`storms`: the largest storms of the history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sec_core.gold.model import Count, Instant, PayloadRow, Share

if TYPE_CHECKING:
    import polars as pl

# How many are published.
LARGEST: Final = 50


class StormRow(PayloadRow):
    """A storm: connected comunas without power, measured above their usual level. Null is what a gap hides."""

    id: str
    """MD5 of `YYYYMMDDTHH|code`: first hour in Chile, lowest code hit in it; as a UUID."""
    nombre: str | None
    """Name from the reviewed list, in Spanish, or null."""
    inicio: Instant
    """First loaded hour in which a comuna is hit, UTC."""
    fin: Instant | None
    """Hour from which the curve stays at or under 5% of its peak, UTC; null while open."""
    hora_punta: Instant
    """Hour of the peak, UTC."""
    punta: Count
    """Most customers out above the usual level in a loaded hour."""
    cliente_horas: Count | None
    """Customer-hours above the usual level; null where a gap lies inside."""
    comunas: Count
    """Comunas hit."""
    regiones: str
    """Codes of their regions, parted by commas."""
    horas_hasta_punta: Count | None
    """Hours from the beginning to the peak."""
    horas_50: Count | None
    """Hours from the peak until half of it is restored."""
    horas_90: Count | None
    """Hours from the peak until 90% of it are restored."""
    horas_95: Count | None
    """Hours from the peak until 95% of it are restored."""
    salidas: Count | None
    """Sum of the rises of the curve from hour to hour: customers."""
    reposiciones: Count | None
    """Sum of the falls of the curve from hour to hour: customers."""
    reposicion_maxima: Count | None
    """Most customers restored in an hour."""
    cobertura: Share
    """Loaded hours over expected ones, from beginning to end."""
    abierta: bool
    """Whether it has no end yet."""
    nota: str | None
    """What to beware of, in Spanish, or null."""


def largest(storms: pl.DataFrame) -> pl.DataFrame:
    """The storms that are published, the largest first."""
    return storms.sort("punta", "inicio", "id", descending=[True, False, False]).head(LARGEST)
