"""`meta`: when and from what the other payloads were made; a list of one object."""

from importlib.metadata import version

import polars as pl

from sec_core.gold.frames import GoldFrames
from sec_core.gold.model import Count, Instant, MonthStart, PayloadRow
from sec_core.gold.origin import one_word
from sec_core.gold.universe import COUNTRY, newest

# Version of the method: 1 summed what was seen, 2 estimates the hours in between (see docs/definitions.md).
METHOD = "2"
SOURCE = "Superintendencia de Electricidad y Combustibles (SEC), Chile: Interrupciones en línea"
SOURCE_URL = "https://apps.sec.cl/INTONLINEv1/index.aspx"
CITA = (
    "Superintendencia de Electricidad y Combustibles (SEC), Interrupciones en línea, instantáneas horarias; "
    "procesadas por sec-outages."
)
LICENCIA = (
    "Información del sector público (SEC) sin licencia propia; cite a la SEC como fuente. "
    "Procesamiento: sec-outages, licencia MIT."
)
CITATION = (
    "Superintendencia de Electricidad y Combustibles (SEC), Interrupciones en línea, hourly snapshots; "
    "processed by sec-outages."
)
LICENCE = (
    "Public-sector information of the SEC without a licence of its own; cite the SEC as the source. "
    "Processing by sec-outages, MIT licence."
)


class ShapeMonth(PayloadRow):
    """Loaded hours of a month by shape. Only the detailed shape names companies and start dates."""

    mes: MonthStart
    detalladas: Count
    agregadas: Count


class Denominator(PayloadRow):
    """The newest customer figure of a region and how old it is."""

    nombre_region: str
    """Region, or `CHILE` for the country."""
    universo: Count
    """Customers that indices are divided by."""
    mes: MonthStart
    """Month for which the figure was had."""
    periodo_star: str | None
    """`MMYYYY` as the SEC states it, or null."""
    antiguedad_meses: int | None
    """Months from the period that the SEC states (else `mes`) to the newest loaded hour; null before anything is
    loaded."""


class Thresholds(PayloadRow):
    """The settings that decide what an aggregated event is, what is interpolated, and what counts as covered."""

    umbral_evento: Count
    horas_cierre: Count
    horas_sin_datos_max: Count
    horas_interpoladas_max: Count
    cobertura_minima: float


class ShapeMix(PayloadRow):
    """Loaded hours of the whole history by form: sums over both forms count what was seen in different ways."""

    detalladas: Count
    agregadas: Count


class Outside(PayloadRow):
    """Events that begin in a month without a loaded hour: they stand in no month of `time_series`."""

    eventos: Count
    clientes: Count


class OriginHours(PayloadRow):
    """How many loaded hours come from one source; 0 where only customers (`denominadores`) do."""

    origen: str
    """`SEC` (its host, or an import), `SIMULACIÓN`, `REPETICIÓN`, another host by its name, or `desconocido`: from
    before the host was kept."""
    horas: Count


class Totals(PayloadRow):
    """Sizes, over the whole history."""

    eventos: Count
    eventos_abiertos: Count
    clientes_afectados: Count
    horas_cargadas: Count
    filas: Count
    observaciones: Count


class MetaRow(PayloadRow):
    """What the publication rests on."""

    generado: Instant
    """When it was made, UTC."""
    primera_hora: Instant | None
    """First loaded hour, UTC, or null."""
    ultima_hora: Instant | None
    """Newest loaded hour, UTC, or null."""
    formas: list[ShapeMonth]
    """Shapes of the loaded hours by month."""
    meses_con_empresa: list[MonthStart]
    """Months in which the source names companies (at least one detailed hour)."""
    umbrales: Thresholds
    """Thresholds in force."""
    denominadores: list[Denominator]
    """Newest denominator of each region."""
    totales: Totals
    """Sizes."""
    mezcla: ShapeMix
    """Mix of forms behind the sums of what was seen."""
    fuera_de_ventana: Outside
    """What began before anything of its month was seen."""
    origen: str
    """Where the data comes from: the word of `origenes` if there is one; `desconocido` for the SEC's and unknown hours
    together or none at all, `mixto` for any others together. What is not `SEC` or `desconocido` is not the SEC's."""
    origenes: list[OriginHours]
    """Loaded hours by where they come from."""
    version_metodo: str
    """Version of the method; docs/definitions.md says what changed with each."""
    version: str
    """Version of the code."""
    fuente: str
    """The source's name."""
    fuente_url: str
    """The source's address."""
    cita: str
    """How to cite."""
    licencia: str
    """Terms."""


def meta(frames: GoldFrames) -> list[MetaRow]:
    """The one object of `meta`."""
    events, loads, origins = frames.events, frames.loads, frames.origins
    outside = events.select("mes", "clientes_afectados").join(loads, on="mes", how="anti")
    forms = {"detalladas": pl.col("forma") == "detailed", "agregadas": pl.col("forma") == "aggregated"}
    shapes = loads.group_by("mes").agg(each.sum().alias(name) for name, each in forms.items()).sort("mes")
    row = {
        "generado": frames.now,
        "primera_hora": loads["hora"].min(),
        "ultima_hora": loads["hora"].max(),
        "formas": shapes.to_dicts(),
        "meses_con_empresa": shapes.filter(pl.col("detalladas") > 0)["mes"].to_list(),
        "umbrales": dict(frames.thresholds),
        "denominadores": ages(newest(frames.customers), pl.lit(shapes["mes"].max(), pl.Date)).to_dicts(),
        "totales": {
            "eventos": events.height,
            "eventos_abiertos": events["fin"].null_count(),
            "clientes_afectados": events["clientes_afectados"].sum(),
            "horas_cargadas": loads.height,
            "filas": loads["n_filas"].sum(),
            "observaciones": loads["n_observaciones"].sum(),
        },
        "mezcla": shapes.select(pl.col(*forms).sum()).row(0, named=True),
        "fuera_de_ventana": {"eventos": outside.height, "clientes": outside["clientes_afectados"].sum()},
        "origen": one_word(origins),
        "origenes": origins.to_dicts(),
        "version_metodo": METHOD,
        "version": version("sec-outages"),
        "fuente": SOURCE,
        "fuente_url": SOURCE_URL,
        "cita": CITA,
        "licencia": LICENCIA,
    }
    return [MetaRow.model_validate(row)]


def ages(figures: pl.DataFrame, latest: pl.Expr) -> pl.DataFrame:
    """Denominators, the country's last, with their months up to a later one: to the newest with a loaded hour."""
    stated = pl.col("periodo_star").str.strptime(pl.Date, "%m%Y", strict=False)
    months = _number(latest) - _number(pl.coalesce(stated, "mes_denominador"))
    return figures.sort(pl.col("nombre_region") == COUNTRY, "nombre_region").select(
        "nombre_region", "universo", "periodo_star", mes="mes_denominador", antiguedad_meses=months
    )


def _number(month: pl.Expr) -> pl.Expr:
    return month.dt.year() * 12 + month.dt.month()
