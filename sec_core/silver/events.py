"""Stretches to events, of both shapes: identity, beginning, cap, and what loaded hours say of their ends. Pure."""

from datetime import date, datetime
from functools import cache, lru_cache
from hashlib import md5

import polars as pl

from sec_core.hours import CHILE, HOUR, day_start, id_tiempo
from sec_core.reference import tables
from sec_core.silver import aggregated, detailed
from sec_core.silver.cap import cap
from sec_core.silver.censoring import with_censoring
from sec_core.silver.columns import HORA, conform, typed
from sec_core.silver.timeline import EventRules, usable_hours
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


@cache
def _codes() -> dict[int, str]:
    return {comuna.id_geografia: comuna.codigo for comuna in (tables.UNKNOWN_COMUNA, *tables.comunas())}


@cache
def _companies() -> dict[int, str]:
    return {empresa.id_empresa: empresa.nombre for empresa in tables.empresas()}


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
    runs = aggregated.events(stretches.filter(of_run), usable_hours(loaded, rules), rules)
    merged = pl.concat([detailed.events(stretches.filter(~of_run)), runs])
    known = cap(identities(merged).rename({"maximo": "clientes_afectados_crudo"}), universe)
    return conform(with_ends(known, loaded, rules, newest), EVENT_SCHEMA)


def with_ends(events: pl.DataFrame, loaded: pl.DataFrame, rules: EventRules, newest: datetime | None) -> pl.DataFrame:
    """Add `ENDS`, needing `forma`, `primera_hora` and `ultima_hora`; the other arguments are those of `derive_events`.

    `fin` is null while an event is open: a detailed one while the newest hour lists it.
    """
    is_open = pl.col("ultima_hora").eq_missing(pl.lit(newest, HORA))
    if newest is not None and (events["forma"] == Shape.AGGREGATED.value).any():
        by_run = aggregated.is_open(events["ultima_hora"], usable_hours(loaded, rules), rules, newest)
        is_open = pl.when(pl.col("forma") == Shape.DETAILED.value).then(is_open).otherwise(by_run)
    return with_censoring(events, loaded).with_columns(fin=pl.when(~is_open).then(pl.col("ultima_hora") + HOUR))


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
    texts = known.select(
        pl.concat_str(
            pl.col("id_geografia").replace_strict(_codes(), return_dtype=pl.String),
            pl.col("id_empresa").replace_strict(_companies(), return_dtype=pl.String),
            "texto",
            separator="|",
        ).cast(pl.Binary)
    ).to_series()
    hashes = [md5(text, usedforsecurity=False).digest() for text in texts.to_list()]
    return known.with_columns(pl.Series("hash_id", hashes, dtype=pl.Binary)).drop("hora", "texto")


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
