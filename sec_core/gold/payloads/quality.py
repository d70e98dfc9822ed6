"""`quality`: how far to trust the figures of a month and region, part by part. The formula is `indices.quality`."""

from __future__ import annotations

from sec_core.gold.model import MonthStart, PayloadRow, Share


class MonthQualityRow(PayloadRow):
    """One region, or the country as `CHILE`, in one month with a loaded hour. Every part is 0 to 1, null if unknown."""

    mes: MonthStart
    """Month, Chile wall clock."""
    nombre_region: str
    """Region or `CHILE`."""
    cobertura: Share
    """Ended hours that are loaded and not suspect; 1 is best."""
    interpolada: Share
    """Ended hours that are interpolated; 0 is best, as for all that follow."""
    imputadas: Share | None
    """Source rows in observations that an imputation rule touched."""
    sospechosas: Share
    """Ended hours that hold a corrupt cycle which stayed."""
    diferencia: Share | None
    """Differences from the source's own national series over that series, in the hours that it has; at most 1."""
    antiguedad: Share
    """Age of the denominator over ten years; at most 1."""
    estancado: Share | None
    """Customer-hours from values that stood still for 168 hours or more."""
