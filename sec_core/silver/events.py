"""Stretches to events, of both shapes: identity, beginning, cap, and what loaded hours say of their ends. Pure."""

from datetime import date, datetime
from functools import cache, lru_cache
from hashlib import md5

import polars as pl

from sec_core.hours import CHILE, HOUR, day_start, id_tiempo
from sec_core.reference import tables
from sec_core.silver.columns import HORA, conform, typed
from sec_core.silver.imputation import Imputacion
from sec_core.silver.stretches import aggregated_events, detailed_events, is_open
from sec_core.silver.timeline import EventRules, chile_date, source_index, usable_hours
from sec_core.source.shapes import Shape

# Columns of `fact_interrupciones`, in order; `hash_id` as its 16 bytes.
EVENT_SCHEMA = typed(
    "hash_id forma id_geografia id_empresa id_tiempo inicio fin clientes_afectados clientes_afectados_crudo",
    "hora_maximo cliente_horas n_observaciones imputaciones topado primera_hora ultima_hora meses_denominador",
    "censurado horas_sin_datos",
)
# Columns that follow from what is loaded around an event, not from its own observations.
ENDS = ["fin", "censurado", "horas_sin_datos"]
# What these are made of, and they.
ENDS_SCHEMA = typed("hash_id forma primera_hora ultima_hora", *ENDS)
# What the cap needs of `clientes_regionales`.
UNIVERSE_SCHEMA = typed("mes codigo_region clientes")
# What the cap says of an event.
CAPPED = ("clientes_afectados", "imputaciones", "topado", "meses_denominador")


def derive_events(
    stretches: pl.DataFrame, loaded: pl.DataFrame, rules: EventRules, newest: datetime | None, universe: pl.DataFrame
) -> pl.DataFrame:
    """Events by `EVENT_SCHEMA`, from stretches with all others that can belong to their events.

    Args:
        stretches: By `STRETCH_SCHEMA`.
        loaded: `hora` and `forma` of loaded hours: all of the whole days in Chile within `rules.reach` of the borders
            between the stretches' months, of the newest hour, and of the stretches themselves, two hours more.
        rules: Rules of aggregated events.
        newest: The newest loaded hour of the whole history.
        universe: Customers of regions, which cap events.
    """
    of_run = pl.col("forma") == Shape.AGGREGATED.value
    runs = aggregated_events(stretches.filter(of_run), usable_hours(loaded, rules), rules)
    merged = pl.concat([detailed_events(stretches.filter(~of_run)), runs])
    known = cap(identities(merged).rename({"maximo": "clientes_afectados_crudo"}), universe)
    return conform(with_ends(known, loaded, rules, newest), EVENT_SCHEMA)


def with_ends(events: pl.DataFrame, loaded: pl.DataFrame, rules: EventRules, newest: datetime | None) -> pl.DataFrame:
    """Add `ENDS`, needing `forma`, `primera_hora` and `ultima_hora`; the other arguments are those of `derive_events`.

    `fin` is null while an event is open: a detailed one while the newest hour lists it.
    """
    goes_on = pl.col("ultima_hora").eq_missing(pl.lit(newest, HORA))
    if newest is not None and (events["forma"] == Shape.AGGREGATED.value).any():
        by_run = is_open(events["ultima_hora"], usable_hours(loaded, rules), rules, newest)
        goes_on = pl.when(pl.col("forma") == Shape.DETAILED.value).then(goes_on).otherwise(by_run)
    return with_censoring(events, loaded).with_columns(fin=pl.when(~goes_on).then(pl.col("ultima_hora") + HOUR))


def with_censoring(events: pl.DataFrame, loaded: pl.DataFrame) -> pl.DataFrame:
    """Add `censurado` and `horas_sin_datos`.

    An event's hours with data are those that could show it: detailed ones, or aggregated ones of days without any
    detailed hour. Distances are counted in source hours.

    Args:
        events: forma, primera_hora, ultima_hora.
        loaded: hora, forma of the loaded hours of all days in Chile from the hour before the first event to the hour
            after the last one.

    Returns:
        The events in their order with `censurado` (`inicio`: the hour before `primera_hora` has no data; `fin`: the
        hour after `ultima_hora` has none; `inicio,fin`; null) and `horas_sin_datos` (hours without data between).
    """
    rows = events.with_row_index("_fila")
    shapes = [Shape(name) for name in rows["forma"].unique()] or [Shape.DETAILED]
    parts = [_unseen(rows.filter(pl.col("forma") == shape.value), _could_show(shape, loaded)) for shape in shapes]
    return pl.concat(parts).sort("_fila").drop("_fila")


def _could_show(shape: Shape, loaded: pl.DataFrame) -> pl.Series:
    """Source indices of the hours with data that could show events of a shape, in order."""
    if shape is Shape.AGGREGATED:
        return usable_hours(loaded, EventRules())["indice"]
    return source_index(loaded.filter(pl.col("forma") == shape.value)["hora"].sort())


def _unseen(events: pl.DataFrame, hours: pl.Series) -> pl.DataFrame:
    """The same of events of one shape, from the indices of all hours that could show them, in order."""
    first, last = source_index(events["primera_hora"]), source_index(events["ultima_hora"])
    begin, end = hours.search_sorted(first, "left"), hours.search_sorted(last, "right")
    before, after = hours.search_sorted(first - 1, "left") == begin, hours.search_sorted(last + 1, "right") == end
    missing = pl.concat_str(
        pl.when(before).then(pl.lit("inicio")), pl.when(after).then(pl.lit("fin")), separator=",", ignore_nulls=True
    )
    unseen = last - first + 1 - (end.cast(pl.Int64) - begin.cast(pl.Int64))
    return events.with_columns(censurado=missing.replace("", None), horas_sin_datos=unseen.cast(pl.Int32))


def identities(rows: pl.DataFrame) -> pl.DataFrame:
    """Beginning and `hash_id` of events, or of stretches, were each the first of its event. The rows keep their order.

    `hash_id` is the MD5 of `codigo_comuna|nombre_empresa|inicio`, `inicio` written `YYYYMMDD` (detailed) or
    `YYYYMMDDTHH` (aggregated) on the Chile wall clock, `codigo_comuna` empty for UNKNOWN. Added are `inicio`,
    `id_tiempo` and `hash_id`; needed are `forma`, `id_geografia`, `id_empresa`, `fecha_inicio` and `primera_hora`.
    """
    # Few different dates and hours stand for many rows: the calendar is asked once for each.
    keys = rows.select("forma", "fecha_inicio", hora=_own_hour()).unique()
    found = [
        (forma, day, hour, *(_of_day(day) if forma == Shape.DETAILED.value else _of_hour(hour)))
        for forma, day, hour in keys.iter_rows()
    ]
    schema = {**keys.schema, **typed("inicio id_tiempo"), "texto": pl.String()}
    beginnings = pl.DataFrame(found, schema=schema, orient="row")
    known = rows.with_columns(hora=_own_hour()).join(
        beginnings, on=["forma", "fecha_inicio", "hora"], how="left", nulls_equal=True, maintain_order="left"
    )
    codes, companies = _spelled()
    texts = known.select(
        pl.concat_str(
            pl.col("id_geografia").replace_strict(codes, return_dtype=pl.String),
            pl.col("id_empresa").replace_strict(companies, return_dtype=pl.String),
            "texto",
            separator="|",
        ).cast(pl.Binary)
    ).to_series()
    hashes = [md5(text, usedforsecurity=False).digest() for text in texts.to_list()]
    return known.with_columns(pl.Series("hash_id", hashes, dtype=pl.Binary)).drop("hora", "texto")


@cache
def _spelled() -> tuple[dict[int, str], dict[int, str]]:
    """Code of each comuna and name of each company, by their numbers."""
    codes = {comuna.id_geografia: comuna.codigo for comuna in (tables.UNKNOWN_COMUNA, *tables.comunas())}
    return codes, {empresa.id_empresa: empresa.nombre for empresa in tables.empresas()}


@lru_cache(maxsize=10_000)
def _of_day(day: date) -> tuple[datetime, int, str]:
    """Beginning, `id_tiempo` and text of detailed events; months that follow each other share most of their days."""
    start = day_start(day)
    return start, id_tiempo(start), f"{day.year:04d}{day.month:02d}{day.day:02d}"


def _of_hour(hour: datetime) -> tuple[datetime, int, str]:
    """The same of aggregated events."""
    return hour, id_tiempo(hour), f"{hour.astimezone(CHILE):%Y%m%dT%H}"


def _own_hour() -> pl.Expr:
    """The hour that makes the identity of an aggregated event; null for a detailed one."""
    return pl.when(pl.col("forma") == Shape.AGGREGATED.value).then("primera_hora")


@cache
def regions() -> pl.DataFrame:
    """`id_geografia` and `codigo_region` of every comuna; UNKNOWN is not among them."""
    rows = [(comuna.id_geografia, comuna.codigo_region) for comuna in tables.comunas()]
    return pl.DataFrame(rows, schema={"id_geografia": pl.Int16, "codigo_region": pl.String}, orient="row")


def cap(events: pl.DataFrame, universe: pl.DataFrame) -> pl.DataFrame:
    """Rule 4: no high-water mark above the customers of its region. The events keep their order.

    The figure is that of the month of `hora_maximo`, else that of the nearest month with one, the earlier on a tie;
    without any figure, and for UNKNOWN places, nothing is capped. The reported mark stays in
    `clientes_afectados_crudo`.

    Args:
        events: With `id_geografia`, `hora_maximo`, `clientes_afectados_crudo` and `imputaciones`.
        universe: By `UNIVERSE_SCHEMA`; a figure of 0 counts as none.

    Returns:
        The events with `clientes_afectados`, `topado`, the cap's bit in `imputaciones`, and `meses_denominador` (months
        from the figure's month to that of `hora_maximo`, null without a figure).
    """
    month = chile_date(pl.col("hora_maximo")).dt.month_start()
    peaks = events.join(regions(), on="id_geografia", how="left", maintain_order="left").with_columns(mes=month)
    figures = universe.filter(pl.col("clientes") > 0).select("codigo_region", "mes", limite="clientes")
    nearest = nearest_month(peaks.select("codigo_region", "mes"), figures, "codigo_region").select(
        "codigo_region", "mes", "limite", pl.col("meses_denominador").cast(pl.Int16)
    )
    reported = pl.col("clientes_afectados_crudo")
    bit = pl.lit(int(Imputacion.TOPE), pl.Int16)
    return (
        peaks.drop("meses_denominador", strict=False)
        .join(nearest, on=["codigo_region", "mes"], how="left", maintain_order="left")
        .with_columns(
            clientes_afectados=pl.min_horizontal(reported, "limite"),
            topado=(reported > pl.col("limite")).fill_null(value=False),
        )
        .with_columns(
            imputaciones=(pl.col("imputaciones") & ~bit) | pl.when("topado").then(bit).otherwise(pl.lit(0, pl.Int16))
        )
        .drop("codigo_region", "mes", "limite")
    )


def nearest_month(wanted: pl.DataFrame, figures: pl.DataFrame, by: str) -> pl.DataFrame:
    """For each month the figure of the nearest month that has one; of two equally near, the earlier.

    Args:
        wanted: `mes` (first day) and the column `by`.
        figures: The same columns and others.
        by: What a figure belongs to: a region's code or name.

    Returns:
        The different pairs of `wanted` that have any figure, with the other columns of `figures`, `mes_figura`, and
        `meses_denominador`: months from the figure's to the wanted one, negative if the figure is later.
    """
    months = (pl.col("mes").dt.year() - pl.col("mes_figura").dt.year()) * 12 + (
        pl.col("mes").dt.month().cast(pl.Int32) - pl.col("mes_figura").dt.month().cast(pl.Int32)
    )
    return (
        wanted.select("mes", by)
        .unique()
        .join(figures.rename({"mes": "mes_figura"}), on=by)
        .with_columns(meses_denominador=months)
        .sort(pl.col("meses_denominador").abs(), "mes_figura")
        .unique(["mes", by], keep="first", maintain_order=True)
    )
