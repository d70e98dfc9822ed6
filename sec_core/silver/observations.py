"""Bodies to observations: rows of a snapshot that share hour, place, company and start date, summed. Pure.

Rows that are alike are added up before names and dates are resolved, which changes no sum and spares most of the work.
For every hour: rows read = sum of `n_filas`, and customers in = customers out except where rule 1 put a 0.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import orjson
import polars as pl

from sec_core.errors import StorageError
from sec_core.hours import CHILE
from sec_core.reference.tables import NO_COMPANY, UNKNOWN_COMPANY, UNKNOWN_GEOGRAPHY, Names
from sec_core.silver.columns import HORA, conform, typed
from sec_core.silver.imputation import Imputacion, bad_customers, bad_start, bits, start_date
from sec_core.source.shapes import AGGREGATED_KEYS, Shape, read_json, whole_number

OBSERVATION_KEY = ["hora", "id_geografia", "id_empresa", "fecha_inicio"]
# Columns of `fact_observaciones`, in order.
OBSERVATION_SCHEMA = typed(*OBSERVATION_KEY, "clientes_afectados n_filas imputaciones")
_COUNTS = "n_filas n_observaciones clientes filas_clientes filas_geografia filas_empresa filas_fecha"
# What an hour's rows became.
QUALITY_SCHEMA = typed("hora forma", _COUNTS)
# Columns of `cargas`: the capture's identity, and what its rows became.
LOADED_SCHEMA = typed("hora forma capturado_en sha256", _COUNTS)
# Columns of `nombres_no_resueltos`.
UNRESOLVED_SCHEMA = typed("hora tipo nombre_region nombre n_filas")
BATCH_BYTES = 32_000_000
# Characters of an unresolved spelling that are kept.
MAX_NAME = 200

_NUMBERS = ("ANHO_INT", "MES_INT", "DIA_INT", "CLIENTES_AFECTADOS")
_NAMES = ("NOMBRE_REGION", "NOMBRE_COMUNA", "NOMBRE_EMPRESA", "FECHA_INT_STR")
_TYPES: dict[str, pl.DataType] = {name: pl.Int64() for name in _NUMBERS} | {name: pl.Categorical() for name in _NAMES}
# Columns of a raw frame by shape; numbers are null where the value was no whole number.
SCHEMAS: dict[Shape, dict[str, pl.DataType]] = {
    Shape.DETAILED: _TYPES,
    Shape.AGGREGATED: {name: _TYPES[name] for name in AGGREGATED_KEYS},
}
_DATE_KEYS = ["ANHO_INT", "MES_INT", "DIA_INT", "FECHA_INT_STR"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the source listed in an hour: the body as received, and the shape in which it is to be read."""

    hour: datetime
    shape: Shape
    body: bytes


@dataclass(frozen=True, slots=True)
class Observed:
    """What snapshots became: sorted observations, one row of `quality` an hour, and `unresolved` spellings."""

    observations: pl.DataFrame
    quality: pl.DataFrame
    unresolved: pl.DataFrame

    @classmethod
    def concat(cls, batches: Sequence[Self]) -> Self:
        """Batches of different hours as one, sorted."""

        def joined(schema: dict[str, pl.DataType], parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
            return pl.concat([pl.DataFrame(schema=schema), *parts])

        return cls(
            joined(OBSERVATION_SCHEMA, (each.observations for each in batches)).sort(OBSERVATION_KEY),
            joined(QUALITY_SCHEMA, (each.quality for each in batches)).sort("hora"),
            joined(UNRESOLVED_SCHEMA, (each.unresolved for each in batches)).sort(list(UNRESOLVED_SCHEMA)[:-1]),
        )


def observe(snapshots: Iterable[Snapshot], names: Names) -> Observed:
    """Decode, impute and sum snapshots, at most one for each hour; they are read as they are needed.

    Raises:
        StorageError: A body is not a JSON list of objects.
    """
    return Observed.concat([_observe(batch, names) for batch in _batches(snapshots)])


def _batches(snapshots: Iterable[Snapshot]) -> Iterator[list[Snapshot]]:
    """Runs of one shape and bounded size, so that memory does not grow with the size of a month."""
    waiting: dict[Shape, list[Snapshot]] = {shape: [] for shape in Shape}
    sizes = dict.fromkeys(Shape, 0)
    for snapshot in snapshots:
        waiting[snapshot.shape].append(snapshot)
        sizes[snapshot.shape] += len(snapshot.body)
        if sizes[snapshot.shape] >= BATCH_BYTES:
            yield waiting[snapshot.shape]
            waiting[snapshot.shape], sizes[snapshot.shape] = [], 0
    yield from (batch for batch in waiting.values() if batch)


def _observe(snapshots: list[Snapshot], names: Names) -> Observed:
    shape = snapshots[0].shape
    raw = decode([snapshot.body for snapshot in snapshots], shape)
    hours = pl.DataFrame(
        {
            "cuerpo": pl.Series(range(len(snapshots)), dtype=pl.UInt32),
            "hora": pl.Series([snapshot.hour for snapshot in snapshots], dtype=HORA),
            "observada": pl.Series([snapshot.hour.astimezone(CHILE).date() for snapshot in snapshots], dtype=pl.Date),
        }
    )
    rows = _impute(_alike(raw), hours, shape, names)
    summed = pl.col("clientes_afectados", "n_filas").sum(), pl.col("imputaciones").bitwise_or()
    observations = conform(rows.group_by(OBSERVATION_KEY).agg(*summed), OBSERVATION_SCHEMA)
    return Observed(observations, _quality(rows, observations, hours, shape), _unresolved(rows))


def decode(bodies: Sequence[bytes], shape: Shape) -> pl.DataFrame:
    """Read bodies of one shape, fast and exactly: a row for each of their rows, in order.

    Columns are `cuerpo` (index of the body) and those of `SCHEMAS`. The fast path turns `[{…},{…}]` into one object a
    line and lets Polars read all bodies at once with a fixed schema. Its reader takes whole JSON numbers only: a number
    in quotes, a fraction, a boolean or anything out of 64 bits makes it refuse. A body that it refuses, or whose rows
    don't add up, is read by itself, row by row, with `whole_number`. Which path a body takes depends on that body
    alone, so the same bytes always give the same rows.

    Raises:
        StorageError: A body is not a JSON list of objects.
    """
    frame = _fast(bodies, shape)
    if frame is not None:
        return frame
    parts = []
    for index, body in enumerate(bodies):
        part = _fast([body], shape)
        part = _exact(body, shape) if part is None else part
        parts.append(part.with_columns(cuerpo=pl.lit(index, pl.UInt32)))
    return pl.concat(parts)


def _fast(bodies: Sequence[bytes], shape: Shape) -> pl.DataFrame | None:
    if not bodies:
        return pl.DataFrame(schema={"cuerpo": pl.UInt32(), **SCHEMAS[shape]})
    parts = [body[1:-1].replace(b"},{", b"}\n{") for body in bodies]
    # Rows by body; wrong where a name holds the separator, and then no line of that row is an object.
    counts = [part.count(b"\n") + 1 for part in parts]
    if not all(map(_plain, bodies, counts)):
        return None
    lines = b"\n".join(parts)
    try:
        # Names are made categorical afterwards: while they are read, that would keep the reader to one core.
        read = SCHEMAS[shape] | {name: pl.String() for name in SCHEMAS[shape] if name in _NAMES}
        frame = pl.read_ndjson(lines, schema=read).cast(SCHEMAS[shape])  # type: ignore[arg-type]
    except pl.exceptions.PolarsError:
        return None
    if frame.height != sum(counts):
        return None
    index = pl.Series("cuerpo", range(len(counts)), dtype=pl.UInt32)
    return frame.insert_column(0, index.repeat_by(pl.Series(counts)).explode(empty_as_null=False))


def _plain(body: bytes, rows: int) -> bool:
    """Whether both readers understand a body alike: no key twice in a row, no escaped character, no line breaks."""
    return (
        body.startswith(b"[{")
        and body.endswith(b"}]")
        and body.count(b'"CLIENTES_AFECTADOS"') == rows
        and b"\n" not in body
        # Looking for one byte takes a thirtieth of looking for two.
        and (b"\\" not in body or b"\\u" not in body)
    )


def _exact(body: bytes, shape: Shape) -> pl.DataFrame:
    try:
        rows = read_json(body)
    except ValueError as error:
        raise StorageError(f"A kept body is not JSON: {error}.", next_step="Run `sec ledger rebuild`.") from error
    if not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
        raise StorageError("A kept body is not a list of rows.", next_step="Run `sec ledger rebuild`.")
    columns: dict[str, list[Any]] = {
        name: [(whole_number if name in _NUMBERS else _text)(row.get(name)) for row in rows] for name in SCHEMAS[shape]
    }
    frame = pl.DataFrame(columns, schema=SCHEMAS[shape])
    return frame.insert_column(0, pl.repeat(0, frame.height, dtype=pl.UInt32, eager=True).alias("cuerpo"))


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


def _alike(raw: pl.DataFrame) -> pl.DataFrame:
    """Rule 1, then rows alike in all but the count added up."""
    value = pl.col("CLIENTES_AFECTADOS")
    keys = [name for name in raw.columns if name != "CLIENTES_AFECTADOS"]
    return (
        raw.with_columns(malo=bad_customers(value))
        .group_by(keys)
        .agg(
            clientes_afectados=value.filter(~pl.col("malo")).sum(),
            n_filas=pl.len().cast(pl.Int64),
            filas_clientes=pl.col("malo").sum().cast(pl.Int64),
        )
    )


def _impute(rows: pl.DataFrame, hours: pl.DataFrame, shape: Shape, names: Names) -> pl.DataFrame:
    """Rules 2 and 3, and the bits of all three."""
    rows = rows.join(hours, on="cuerpo")
    rows = _resolve(rows, ["NOMBRE_REGION", "NOMBRE_COMUNA"], "id_geografia", names.id_geografia)
    if shape is Shape.DETAILED:
        rows = _resolve(rows, ["NOMBRE_EMPRESA"], "id_empresa", names.id_empresa)
        rows = _resolve(rows, _DATE_KEYS, "fecha_inicio", start_date)
    else:
        rows = rows.with_columns(id_empresa=pl.lit(NO_COMPANY), fecha_inicio=pl.lit(None, pl.Date))
    bad_date = bad_start(pl.col("fecha_inicio"), pl.col("observada")) & (shape is Shape.DETAILED)
    flags = {
        Imputacion.CLIENTES: pl.col("filas_clientes") > 0,
        Imputacion.GEOGRAFIA: pl.col("id_geografia") == UNKNOWN_GEOGRAPHY,
        Imputacion.EMPRESA: pl.col("id_empresa") == UNKNOWN_COMPANY,
        Imputacion.FECHA: bad_date,
    }
    start = pl.when(bad_date).then("observada").otherwise("fecha_inicio")
    return rows.with_columns(fecha_inicio=start, imputaciones=bits(flags))


def _resolve(rows: pl.DataFrame, columns: list[str], name: str, resolve: Callable[..., object]) -> pl.DataFrame:
    """Add what some columns come to, asking once for each different content."""
    asked = rows.select(columns).unique()
    found = pl.Series(name, [resolve(*parts) for parts in asked.iter_rows()], typed(name)[name])
    return rows.join(asked.with_columns(found), on=columns, nulls_equal=True)


def _quality(rows: pl.DataFrame, observations: pl.DataFrame, hours: pl.DataFrame, shape: Shape) -> pl.DataFrame:
    counts = rows.group_by("hora").agg(
        pl.col("n_filas", "filas_clientes").sum(),
        clientes=pl.col("clientes_afectados").sum(),
        **{
            f"filas_{rule.regla}": pl.col("n_filas").filter(_marked(rule)).sum()
            for rule in (Imputacion.GEOGRAFIA, Imputacion.EMPRESA, Imputacion.FECHA)
        },
    )
    made = observations.group_by("hora").agg(n_observaciones=pl.len())
    known = hours.select("hora").join(counts, on="hora", how="left").join(made, on="hora", how="left")
    return conform(known.with_columns(forma=pl.lit(shape.value)).fill_null(0), QUALITY_SCHEMA)


def _unresolved(rows: pl.DataFrame) -> pl.DataFrame:
    kinds = ((Imputacion.GEOGRAFIA, "comuna", "NOMBRE_COMUNA"), (Imputacion.EMPRESA, "empresa", "NOMBRE_EMPRESA"))
    region = _spelling("NOMBRE_REGION")
    parts = [
        rows.filter(_marked(rule)).select(
            "hora", "n_filas", tipo=pl.lit(kind), nombre_region=region, nombre=_spelling(column)
        )
        for rule, kind, column in kinds
        if column in rows.columns
    ]
    counts = pl.concat(parts).group_by("hora", "tipo", "nombre_region", "nombre").agg(pl.col("n_filas").sum())
    return conform(counts, UNRESOLVED_SCHEMA)


def _marked(rule: Imputacion) -> pl.Expr:
    return (pl.col("imputaciones") & int(rule)) != 0


def _spelling(column: str) -> pl.Expr:
    """A name as PostgreSQL can hold and index it: no NUL, bounded, never null."""
    text = pl.col(column).cast(pl.String).fill_null("").str.replace_all("\x00", "", literal=True)
    return text.str.slice(0, MAX_NAME)
