"""Bodies of `GetPorFecha` gone wrong, built from a script of bytes.

That makes them cheap by thousands, and hypothesis can shrink a script.
"""

from typing import Any, Final

from sec_core.source.shapes import AGGREGATED_KEYS, DETAILED_KEYS

AGGREGATED: Final = {"NOMBRE_REGION": "Maule", "NOMBRE_COMUNA": "Talca", "CLIENTES_AFECTADOS": 7}
DETAILED: Final[dict[str, Any]] = {
    "DIA_INT": 29, "MES_INT": 1, "ANHO_INT": 2025, "HORA": 0, "DIA": 0, "MES": 0, "ANHO": 0,
    "NOMBRE_REGION": "Maule", "NOMBRE_COMUNA": "Talca", "NOMBRE_EMPRESA": "CGE", "CLIENTES_AFECTADOS": 3,
    "ACTUALIZADO_HACE": "0 Dias 0 Horas 6 Minutos ", "FECHA_INT_STR": "29/1/2025",
}  # fmt: skip

# Values as they stand in JSON, most of them such as no well-behaved writer gives.
VALUES: Final = (
    b"null", b"true", b"0", b"-1", b"-0", b"12", b'"12"', b'" +3 "', b'""', b'"Talca"', b'"\\u0000"', b'"Ta\\u0000lca"',
    b'"\\ud800"', b'"\\udc00\\ud800"', b'"\xf0\x9f\x92\xa1"', b'"\xff"', b'"\xed\xa0\x80"', b"1.5", b"3.0", b"1e3",
    b"1e999", b"-1e999", b"NaN", b"Infinity", b"999999999999999", b"1000000000000000", b"1000000000000001",
    b"9223372036854775807", b"9223372036854775808", b"18446744073709551616", b"1" + b"0" * 400, b'"' + b"9" * 30 + b'"',
    b"[]", b"{}", b"[1]", b'{"a":null}', b"[" * 200 + b"]" * 200, b"[" * 2000 + b"]" * 2000, b"'x'", b"", b"01",
    b'"' + b"x" * 5000 + b'"', b'"29/1/2025"', b'"31/2/2025"', b'"\\u2028\\uffff"', b"\x00", b'"\x01"', b'"\x00"',
)  # fmt: skip
KEYS: Final = (
    *(key.encode() for key in DETAILED_KEYS), b"", b"OTRA", b"nombre_region", b"NOMBRE\\u005fREGION", b"\\u0000",
    b"NOMBRE_REGION ", b"\\ud800", b"x" * 300, b"\xc3\x91", b"CLIENTES_AFECTADOS\\u0000",
)  # fmt: skip
JUNK: Final = (
    b"\x00", b"\xef\xbb\xbf", b" ", b",", b"]", b"[", b"{", b"}", b'"', b"\\", b"<html>", b"\xff", b"null", b"[]",
)  # fmt: skip

SHAPES_KEYS: Final = frozenset({frozenset(DETAILED_KEYS), frozenset(AGGREGATED_KEYS)})


class _Script:
    """Reads choices from bytes; at their end every choice is the first one."""

    def __init__(self, script: bytes) -> None:
        self._left = iter(script)

    def below(self, limit: int) -> int:
        return next(self._left, 0) % limit


def body_from(script: bytes) -> bytes:
    """A body: some rows of either shape, then changes to keys, values, rows and raw bytes.

    Args:
        script: What to do; the empty one gives a sound body.
    """
    choose = _Script(script)
    rows = [_row((DETAILED, AGGREGATED)[choose.below(8) == 7]) for _ in range(1 + choose.below(4))]
    if choose.below(4) == 3:
        rows = [_row(AGGREGATED) for _ in rows]
    for _ in range(choose.below(6)):
        _change_row(rows[choose.below(len(rows))], choose)
    texts = [b"{" + b",".join(b'"%s":%s' % pair for pair in row) + b"}" for row in rows]
    if choose.below(8) == 7:
        texts.insert(choose.below(len(texts) + 1), VALUES[choose.below(len(VALUES))])
    body = b"[" + b",".join(texts[: len(texts) - (choose.below(16) == 15) * len(texts)]) + b"]"
    for _ in range(choose.below(12) // 9):
        place = (choose.below(256) * 256 + choose.below(256)) % (len(body) + 1)
        match choose.below(4):
            case 0:
                body = body[:place]
            case 1:
                body = body[:place] + body[place + 1 :]
            case _:
                body = body[:place] + JUNK[choose.below(len(JUNK))] + body[place:]
    return body


def _row(fields: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    texts = (b"%d" % value if isinstance(value, int) else b'"%s"' % value.encode() for value in fields.values())
    return list(zip((key.encode() for key in fields), texts, strict=True))


def _change_row(row: list[tuple[bytes, bytes]], choose: _Script) -> None:
    kind = choose.below(8)
    if kind == 6:
        # A second value for a key that is there already, or a new key.
        key = KEYS[choose.below(len(KEYS))]
        row.insert(choose.below(len(row) + 1), (key, VALUES[choose.below(len(VALUES))]))
        return
    if not row:
        return
    place = choose.below(len(row))
    if kind == 7:
        del row[place]
    elif kind == 5:
        row[place] = (KEYS[choose.below(len(KEYS))], row[place][1])
    elif kind == 4:
        row.append(row.pop(place))
    else:
        row[place] = (row[place][0], VALUES[choose.below(len(VALUES))])
