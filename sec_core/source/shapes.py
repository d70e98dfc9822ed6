"""What a `GetPorFecha` answer may look like: pure checks of bodies against the two known shapes.

Nothing of a body is trusted before every one of its rows was looked at: exact keys, and types that the
imputation rules can deal with. A body that fits neither shape is described in one short line, so that a person
can see what changed. Source of the shapes: docs/source.md.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Final, get_args

import msgspec
import orjson


@dataclass(frozen=True, slots=True)
class AnsweredBy:
    """Who answered: the host, None where it was not kept or a file was imported, and what that source calls itself.

    `source` is `simulator` or `replay` where the answer says so, the file's name for an import, else None.
    """

    host: str | None = None
    source: str | None = None


NOT_KEPT: Final = AnsweredBy()


class Shape(StrEnum):
    """The two known forms of a `GetPorFecha` answer (column `forma`)."""

    DETAILED = "detailed"
    AGGREGATED = "aggregated"


# Largest answer that is read at all.
MAX_BODY_BYTES: Final = 32 * 1024 * 1024

# Most values in an answer that is decoded: far above any storm, low enough to bound the memory of decoding.
MAX_VALUES: Final = 3_000_000

# Above this a value is no count of customers; the bound keeps sums of many such values inside a bigint.
MAX_CUSTOMERS: Final = 10**15

AGGREGATED_KEYS: Final = ("NOMBRE_REGION", "NOMBRE_COMUNA", "CLIENTES_AFECTADOS")
DETAILED_KEYS: Final = (
    "DIA_INT", "MES_INT", "ANHO_INT", "HORA", "DIA", "MES", "ANHO", "NOMBRE_REGION", "NOMBRE_COMUNA",
    "NOMBRE_EMPRESA", "CLIENTES_AFECTADOS", "ACTUALIZADO_HACE", "FECHA_INT_STR",
)  # fmt: skip
KEYS: Final = {Shape.DETAILED: frozenset(DETAILED_KEYS), Shape.AGGREGATED: frozenset(AGGREGATED_KEYS)}

_DATE_PART: Final = int | str | None
_COUNT: Final = int | float | str | bool | None
_TEXTS: Final = ("NOMBRE_REGION", "NOMBRE_COMUNA", "NOMBRE_EMPRESA", "ACTUALIZADO_HACE")
_TYPES: Final[dict[str, Any]] = (
    dict.fromkeys(DETAILED_KEYS, _DATE_PART) | dict.fromkeys(_TEXTS, str | None) | {"CLIENTES_AFECTADOS": _COUNT}
)
# Integers beyond 64 bits are left to the general reader, which makes fractions of them or refuses them.
_INT64: Final = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_PLAIN: Final = {_DATE_PART: _INT64 | str | None, _COUNT: _INT64 | float | str | bool | None}
_TYPE_NAMES: Final = {
    bool: "a boolean", int: "an integer", float: "a number", str: "a text",
    list: "a list", dict: "an object", type(None): "null",
}  # fmt: skip
_INTEGER_TEXT: Final = re.compile(r"\s*([+-]?[0-9]{1,19})\s*", re.ASCII)
# A pair, half a pair, or an escaped backslash, after which no escape begins.
_SURROGATE: Final = re.compile(rb"(?P<whole>\\\\|\\u[dD][89abAB]..\\u[dD][c-fC-F]..)|\\u[dD][89a-fA-F]..", re.DOTALL)

# A first row and more: enough to tell which shape to try.
_HEAD_BYTES: Final = 600

_EXAMPLE_CHARS: Final = 40
_LISTED_KEYS: Final = 6


class BodyKind(StrEnum):
    """What a body turned out to be."""

    DETAILED = "detailed"
    AGGREGATED = "aggregated"
    EMPTY = "empty"
    UNKNOWN_SHAPE = "unknown_shape"
    NOT_JSON = "not_json"


@dataclass(frozen=True, slots=True)
class Classified:
    """The verdict on a body."""

    kind: BodyKind
    rows: int = 0  # 0 unless it has a known shape
    customers: int = 0  # sum of the valid counts (imputation rule 1 applied)
    reason: str | None = None  # what doesn't fit, in one line; None for a known shape and for `[]`

    @property
    def shape(self) -> Shape | None:
        """The known shape, or None."""
        return Shape(self.kind.value) if self.kind in {BodyKind.DETAILED, BodyKind.AGGREGATED} else None

    @property
    def usable(self) -> bool:
        """Whether the source answered as it should: a known shape, or `[]`."""
        return self.reason is None


def read_json(body: bytes) -> Any:  # noqa: ANN401 - it may be anything
    """Decode a body, with or without a byte order mark.

    Half a surrogate pair, as a name cut in the middle of a character leaves it, is U+FFFD.

    Raises:
        ValueError: It is not JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        mended = _SURROGATE.sub(_whole_pair, body.removeprefix(b"\xef\xbb\xbf"))
        if mended == body:
            raise
        return orjson.loads(mended)


def _whole_pair(found: re.Match[bytes]) -> bytes:
    return found[0] if found["whole"] else b"\\ufffd"


def whole_number(value: object) -> int | None:
    """The whole number within 64 bits that a JSON value stands for, if any.

    A text of digits is a number; a text with a point or comma is none, since that may stand for thousands or decimals;
    neither is a boolean or a fraction.
    """
    if isinstance(value, str):
        found = _INTEGER_TEXT.fullmatch(value)
        value = int(found[1]) if found else None
    elif isinstance(value, float):
        value = int(value) if value.is_integer() else None
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if -(2**63) <= value < 2**63 else None


def customer_count(value: object) -> int | None:
    """The count of customers (0 to `MAX_CUSTOMERS`) of a JSON value; None where imputation rule 1 puts 0."""
    number = whole_number(value)
    return number if number is not None and 0 <= number <= MAX_CUSTOMERS else None


def classify(body: bytes) -> Classified:
    """Check a body against the two known shapes, every row of it.

    Never raises for any bytes, and works in memory bounded by `MAX_BODY_BYTES` and `MAX_VALUES`.
    """
    if len(body) > MAX_BODY_BYTES:
        return Classified(BodyKind.UNKNOWN_SHAPE, reason=f"{len(body)} bytes, more than {MAX_BODY_BYTES} are refused")
    # A shorter body can't hold so many, and counting takes as long as decoding.
    if len(body) > MAX_VALUES and body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_VALUES:
        return Classified(BodyKind.UNKNOWN_SHAPE, reason=f"more than {MAX_VALUES} values in one answer")
    # A body as it should be, which nearly all are, is checked while it is decoded, in a third of the time.
    return _classify_fitting(body) or _classify_any(body)


def _classify_fitting(body: bytes) -> Classified | None:
    """The verdict on a body all of whose rows have a known shape; None for any other."""
    shape = Shape.DETAILED if b'"NOMBRE_EMPRESA"' in body[:_HEAD_BYTES] else Shape.AGGREGATED
    try:
        rows = _decoder(KEYS[shape]).decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return _counted(shape, [row.CLIENTES_AFECTADOS for row in rows]) if rows else None


@cache
def _decoder(keys: frozenset[str]) -> msgspec.json.Decoder[list[Any]]:
    """Decodes a list of rows that have exactly these keys, and values of their types."""
    fields = [(key, _PLAIN.get(_TYPES[key], _TYPES[key])) for key in sorted(keys)]
    # Rows hold no other objects, so the collector needn't look at them.
    return msgspec.json.Decoder(list[msgspec.defstruct("Row", fields, forbid_unknown_fields=True, gc=False)])  # type: ignore[misc]


def _classify_any(body: bytes) -> Classified:
    try:
        decoded = read_json(body)
    except ValueError as error:
        start = body[:_EXAMPLE_CHARS].decode("utf-8", "replace")
        return Classified(BodyKind.NOT_JSON, reason=f"not JSON ({error}); it starts {start!r}"[:400])
    if not isinstance(decoded, list):
        return Classified(BodyKind.UNKNOWN_SHAPE, reason=f"not a list of rows but {_example(decoded)}")
    if not decoded:
        return Classified(BodyKind.EMPTY)
    shape = _nearest_shape(decoded[0]) if isinstance(decoded[0], dict) else Shape.AGGREGATED
    for number, row in enumerate(decoded):
        if not _fits(row, KEYS[shape]):
            return Classified(
                BodyKind.UNKNOWN_SHAPE, reason=_describe_misfit(row, f"row {number + 1} of {len(decoded)}", shape)
            )
    return _counted(shape, [row["CLIENTES_AFECTADOS"] for row in decoded])


def _counted(shape: Shape, counts: Sequence[object]) -> Classified:
    plain = [value for value in counts if type(value) is int]
    if len(plain) == len(counts) and min(plain) >= 0 and max(plain) <= MAX_CUSTOMERS:
        total = sum(plain)
    else:
        total = sum(customer_count(value) or 0 for value in counts)
    # The sum is kept in a 64-bit column; a body whose counts overflow it can't be a count of customers.
    if total >= 2**63:
        return Classified(BodyKind.UNKNOWN_SHAPE, reason="the customers of all rows don't fit 64 bits")
    return Classified(BodyKind(shape.value), rows=len(counts), customers=total)


def _fits(row: object, keys: frozenset[str]) -> bool:
    """Whether a row has exactly these keys, and types that the rules can deal with."""
    return isinstance(row, dict) and row.keys() == keys and all(_right_type(key, row[key]) for key in keys)


def _right_type(key: str, value: object) -> bool:
    return type(value) in get_args(_TYPES[key])


def _nearest_shape(row: dict[str, object]) -> Shape:
    """The shape that shares most keys with a row, counting what differs in either direction."""
    return min((Shape.AGGREGATED, Shape.DETAILED), key=lambda shape: len(KEYS[shape] ^ row.keys()))


def _describe_misfit(row: object, place: str, shape: Shape) -> str:
    if not isinstance(row, dict):
        return f"{place} is not an object but {_example(row)}"
    if row.keys() in KEYS.values() and row.keys() != KEYS[shape]:
        return f"rows of both shapes in one answer: {place} is {_nearest_shape(row)}, the first is {shape}"
    keys = KEYS[shape]
    found = []
    if missing := sorted(keys - row.keys()):
        found.append(f"missing keys {_listed(missing)}")
    if new := sorted(row.keys() - keys):
        found.append(f"new keys {_listed(new)}, for example {_label(new[0])} = {_example(row[new[0]])}")
    other_type = [key for key in row if key in keys and not _right_type(key, row[key])]
    if other_type:
        key = other_type[0]
        found.append(f"another type in {_listed(other_type)}, for example {key} = {_example(row[key])}")
    return f"{place} does not fit the {shape} shape: {'; '.join(found)}"


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - _LISTED_KEYS} more" if len(keys) > _LISTED_KEYS else ""
    return ", ".join(_label(key) for key in keys[:_LISTED_KEYS]) + more


def _label(key: str) -> str:
    short = key[:_EXAMPLE_CHARS]
    # Odd keys are quoted, so that control characters can reach neither a log nor a text column.
    return short if short.isidentifier() and short.isascii() else repr(short)


def _example(value: object) -> str:
    kind = _TYPE_NAMES.get(type(value), "a value")
    if isinstance(value, dict):
        return f"{kind} with the keys {_listed(sorted(value))}" if value else f"{kind} without keys"
    if isinstance(value, list):
        return f"{kind} of {len(value)}"
    if isinstance(value, str):
        return f"{kind} {value[:_EXAMPLE_CHARS]!r}"
    return kind if value is None else f"{kind} ({value})"
