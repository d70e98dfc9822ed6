"""Rows of the payloads that are made from the panel of hours, not from events: a month has what its own hours hold.

`reliability`: SAIDI with its interval, SAIFI and CAIDI by region and month, with and without major event days.
`quality`: how far to trust these, part by part. `sensitivity`: what the threshold of aggregated events decides.
The formulas are the functions of these names in `indices`, what they rest on is in `panel`.
`official_comparison`: the official SAIDI, as the press quotes it, beside the estimate of the same months. The official
index leaves out cuts of 3 minutes or less, states force majeure apart, and comes from the companies' own reports. Its
distance is published whatever it is; nothing is fitted to it.
"""

from typing import Annotated, Literal

import polars as pl
from pydantic import Field

from sec_core.gold.model import Count, MonthStart, PayloadRow, Share
from sec_core.gold.universe import COUNTRY
from sec_core.reference.tables import read_rows, regiones

Index = Annotated[float, Field(ge=0)]


class ReliabilityRow(PayloadRow):
    """One region, or the country as `CHILE`, in one month with a loaded hour."""

    mes: MonthStart
    """Month, Chile wall clock."""
    nombre_region: str
    """Region or `CHILE`, which also counts places that did not resolve."""
    clientes: Count
    """Customers served: the denominator."""
    meses_denominador: Count
    """Months between this month and the denominator's."""
    metodo: Literal["medido", "estimado", "insuficiente"]
    """`medido`: every ended hour is loaded. `estimado`: half of them or more are loaded or lie between two loaded ones
    at most 12 hours apart, and at most 120 in a row are neither. `insuficiente`: less."""
    saidi: Index | None
    """Hours without supply per customer, estimated for all ended hours; null where metodo is insuficiente."""
    saidi_inf: Index | None
    """Lower bound of its 95% interval; equal to saidi where metodo is medido."""
    saidi_sup: Index | None
    """Upper bound of its 95% interval."""
    saidi_observado: Index | None
    """Hours without supply per customer in loaded hours alone."""
    saifi: Index | None
    """Customers newly out, as snapshots show them, per customer; a lower bound where cubierto is false."""
    saifi_eventos: Index
    """High-water marks of the events that begin in the month, per customer."""
    caidi: Index | None
    """Hours per interruption: saidi over saifi; null where saifi is a lower bound or 0."""
    saidi_sin_med: Index | None
    """saidi without major event days; null where no threshold can be computed (see nota)."""
    saifi_sin_med: Index | None
    """saifi without major event days; null where it is a lower bound."""
    caidi_sin_med: Index | None
    """caidi without major event days."""
    dias_med: Count | None
    """Major event days in the month."""
    umbral_med: Index | None
    """Estimated daily SAIDI above which a day is one, hours per customer."""
    dias_base: Count
    """Days that the threshold rests on: only those of years that were seen alike."""
    punta: Index | None
    """Highest share of customers out in one loaded hour. Above 1 where the denominator is older than the customers."""
    cobertura: Share
    """Share of the month's ended hours that are loaded and not suspect."""
    interpolada: Share
    """Share of the month's ended hours that are interpolated."""
    cubierto: bool
    """Whether cobertura reaches 95%."""
    estancado: Share | None
    """Share of the observed customer-hours from values that stood still for 168 hours or more."""
    nota: str | None
    """Why something is null or a bound."""
    etiqueta: str
    """Where the figures come from."""


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


class SensitivityRow(PayloadRow):
    """Aggregated events of one year under one threshold, before any cap."""

    umbral: Count
    """Customers from which an hour of a comuna belongs to an event."""
    anho: int
    """Year of the events' first hours, Chile wall clock."""
    eventos: Count
    """Number of events."""
    clientes: Count
    """Sum of their high-water marks."""
    cliente_horas: Count
    """Sum of their customer-hours over loaded hours."""


class OfficialRow(PayloadRow):
    """One official figure."""

    anho: int
    """Year."""
    nombre_region: str
    """Region, or `CHILE`."""
    saidi_oficial: Index
    """Official SAIDI, hours for each customer."""
    parcial: str | None
    """The months of the year that it holds; null for all."""
    verificado: bool
    """Whether two sources agree on it."""
    fuente: str
    """Where it was read."""
    saidi: Index | None
    """The estimate of the same months, hours for each customer; null where too little was seen of them."""
    saidi_inf: Index | None
    """Lower bound of its 95% interval."""
    saidi_sup: Index | None
    """Upper bound of its 95% interval."""
    razon: Index | None
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
