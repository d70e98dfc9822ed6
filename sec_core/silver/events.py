"""What both shapes' events have in common: identity, beginning, end, cap. Pure."""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from functools import cache, lru_cache

import polars as pl

from sec_core.hours import CHILE, HOUR, day_start, id_tiempo
from sec_core.reference import tables
from sec_core.silver.cap import cap
from sec_core.silver.columns import typed
from sec_core.source.shapes import Shape

DERIVED_SCHEMA = typed(
    "hash_id forma id_geografia id_empresa id_tiempo inicio fin clientes_afectados clientes_afectados_crudo",
    "hora_maximo cliente_horas n_observaciones imputaciones topado primera_hora ultima_hora meses_denominador",
)
"""Columns of `fact_interrupciones` that follow from its observations; `hash_id` as its 16 bytes."""
EVENT_SCHEMA = DERIVED_SCHEMA | typed("censurado horas_sin_datos")
"""All columns, in order: the others follow from what is loaded around an event, see `censoring`."""

_MD5 = hashlib.md5


@cache
def _codes() -> dict[int, str]:
    return {comuna.id_geografia: comuna.codigo for comuna in (tables.UNKNOWN_COMUNA, *tables.comunas())}


@cache
def _companies() -> dict[int, str]:
    return {empresa.id_empresa: empresa.nombre for empresa in tables.empresas()}


def no_events() -> pl.DataFrame:
    """A frame of events without rows."""
    return pl.DataFrame(schema=DERIVED_SCHEMA)


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
    hashes = [_MD5(text, usedforsecurity=False).digest() for text in texts.to_list()]
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


def finish(merged: pl.DataFrame, is_open: pl.Series, universe: pl.DataFrame) -> pl.DataFrame:
    """Rows by `DERIVED_SCHEMA` from events by `MERGED_SCHEMA`: with identity, end (unless open), cap."""
    known = identities(merged).rename({"maximo": "clientes_afectados_crudo"})
    ended = known.with_columns(
        fin=pl.when(~pl.Series("abierto", is_open, dtype=pl.Boolean)).then(pl.col("ultima_hora") + HOUR)
    )
    return cap(ended, universe).select(pl.col(name).cast(kind) for name, kind in DERIVED_SCHEMA.items())
