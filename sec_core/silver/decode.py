"""Bodies of `GetPorFecha` to frames of raw rows, fast and exact.

The fast path turns `[{…},{…}]` into one object a line and lets Polars read all bodies at once with a fixed schema.
Its reader takes whole JSON numbers only: a number in quotes, a fraction, a boolean or anything out of 64 bits makes
it refuse. A body that it refuses, or whose rows don't add up, is read by itself, row by row, with `whole_number`.
Which path a body takes depends on that body alone, so the same bytes always give the same rows.
"""

from collections.abc import Sequence
from typing import Any

import orjson
import polars as pl

from sec_core.errors import StorageError
from sec_core.source.shapes import AGGREGATED_KEYS, Shape, read_json, whole_number

_NUMBERS = ("ANHO_INT", "MES_INT", "DIA_INT", "CLIENTES_AFECTADOS")
_NAMES = ("NOMBRE_REGION", "NOMBRE_COMUNA", "NOMBRE_EMPRESA", "FECHA_INT_STR")
_TYPES: dict[str, pl.DataType] = {name: pl.Int64() for name in _NUMBERS} | {name: pl.Categorical() for name in _NAMES}
# Columns of a raw frame by shape; numbers are null where the value was no whole number.
SCHEMAS: dict[Shape, dict[str, pl.DataType]] = {
    Shape.DETAILED: _TYPES,
    Shape.AGGREGATED: {name: _TYPES[name] for name in AGGREGATED_KEYS},
}
_READ: dict[Shape, dict[str, pl.DataType]] = {
    shape: {name: pl.String() if name in _NAMES else kind for name, kind in schema.items()}
    for shape, schema in SCHEMAS.items()
}


def decode(bodies: Sequence[bytes], shape: Shape) -> pl.DataFrame:
    """Read bodies of one shape: a row for each of their rows, in order.

    Columns are `cuerpo` (index of the body) and those of `SCHEMAS`.

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
        return _empty(shape)
    parts = [body[1:-1].replace(b"},{", b"}\n{") for body in bodies]
    # Rows by body; wrong where a name holds the separator, and then no line of that row is an object.
    counts = [part.count(b"\n") + 1 for part in parts]
    if not all(map(_plain, bodies, counts)):
        return None
    lines = b"\n".join(parts)
    try:
        # Names are made categorical afterwards: while they are read, that would keep the reader to one core.
        frame = pl.read_ndjson(lines, schema=_READ[shape]).cast(SCHEMAS[shape])  # type: ignore[arg-type]
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


def _empty(shape: Shape) -> pl.DataFrame:
    return pl.DataFrame(schema={"cuerpo": pl.UInt32(), **SCHEMAS[shape]})
