"""`coverage`, `eda_quality_stats`, `meta`: what figures rest on, and when and from what they were made.

What is missing is shown as missing, never as zero. How often an imputation rule was needed: 0 is the ideal.
"""

from importlib.metadata import version
from typing import Final

import polars as pl

from sec_core.gold.customers import COUNTRY, newest
from sec_core.gold.frames import GoldFrames, one_word
from sec_core.gold.model import Count, Instant, MonthStart, PayloadRow, Share

STATES: Final = {
    "captured": "capturadas",
    "empty": "vacias",
    "failed": "fallidas",
    "quarantined": "en_cuarentena",
    "pending": "pendientes",
}
# A month below this share of captured hours is marked wherever it is shown.
MINIMUM_COVERAGE: Final = 0.95
# Rule in `calidad_imputacion` to the dashboard's category, in the dashboard's order.
CATEGORIES: Final = {
    "clientes": "Affected = 0 (Imputed)",
    "geografia": "Geography = UNKNOWN (Imputed)",
    "empresa": "Company = UNKNOWN (Imputed)",
    "fecha": "Start date = server time (Imputed)",
}
CAPPED: Final = "Affected capped at regional total"

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


class CoverageRow(PayloadRow):
    """One month, in hours that have ended; the columns of states add up to `horas_esperadas`."""

    mes: MonthStart
    """Month, `YYYY-MM-01`, Chile wall clock."""
    horas_esperadas: Count
    """Hours that the source can have and that have ended; the month of the September change has one less, since an
    hour is skipped (see `sec_core.hours`)."""
    capturadas: Count
    """Hours with data."""
    vacias: Count
    """Hours for which the source says that it has no data."""
    fallidas: Count
    """Hours that could not be had."""
    en_cuarentena: Count
    """Hours whose answer fits no known shape."""
    pendientes: Count
    """Hours not asked for yet."""
    cobertura: Share | None
    """`capturadas` over `horas_esperadas`; null while no hour has ended."""
    detalladas: Count
    """Captured hours in the detailed shape (with company and start date)."""
    agregadas: Count
    """Captured hours in the aggregated shape (by comuna only)."""
    cargadas: Count
    """Captured hours that are in Silver."""
    filas: Count
    """Source rows of the captured hours."""


class QualityRow(PayloadRow):
    """One imputation rule."""

    category: str
    """The rule, in the dashboard's words."""
    count: Count
    """Source rows that it touched (for the cap: events)."""
    percentage: Share
    """Their share, 0.0 to 1.0, of all source rows loaded (for the cap: of all events)."""


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


def coverage(calendar: pl.DataFrame) -> pl.DataFrame:
    """All months from the first to the newest that the ledger knows.

    Args:
        calendar: One row for each hour that is expected: mes, estado (`pending` where the ledger has no row), forma,
            cargada, n_filas; see `sec_core.gold.frames.hour_calendar`.
    """
    captured = pl.col("estado") == "captured"
    return (
        calendar.group_by("mes")
        .agg(
            pl.len().alias("horas_esperadas"),
            *((pl.col("estado") == state).sum().alias(name) for state, name in STATES.items()),
            detalladas=(captured & (pl.col("forma") == "detailed")).sum(),
            agregadas=(captured & (pl.col("forma") == "aggregated")).sum(),
            cargadas=(captured & pl.col("cargada")).sum(),
            filas=pl.col("n_filas").filter(captured).sum(),
        )
        .with_columns(cobertura=(pl.col("capturadas") / pl.col("horas_esperadas")).round(6))
        .sort("mes")
    )


def eda_quality_stats(imputation: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """The five rules in the contract's order; nothing at all as long as no source row was loaded.

    Args:
        imputation: `calidad_imputacion`: mes, regla, filas, total.
        events: topado.
    """
    rules = (
        imputation.filter(pl.col("regla").is_in(list(CATEGORIES))).group_by("regla").agg(pl.col("filas", "total").sum())
    )
    counts, loaded = dict(rules.select("regla", "filas").iter_rows()), rules["total"].max() or 0
    touched = {category: (counts.get(rule, 0), loaded) for rule, category in CATEGORIES.items()}
    touched[CAPPED] = (events["topado"].sum(), events.height)
    rows = [(name, count, count / total if total else 0.0) for name, (count, total) in touched.items() if loaded]
    return pl.DataFrame(rows, ["category", "count", "percentage"], orient="row")


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
    months = _number(latest) - _number(pl.coalesce(stated, "mes"))
    return figures.sort(pl.col("nombre_region") == COUNTRY, "nombre_region").select(
        "nombre_region", "universo", "mes", "periodo_star", antiguedad_meses=months
    )


def _number(month: pl.Expr) -> pl.Expr:
    return month.dt.year() * 12 + month.dt.month()
