"""The journal: one JSON line for each outcome of asking for an hour, a log a month, only ever added to.

In a folder a log is a file, `journal/2024-08.jsonl`; in an object store it is parts below `journal/2024-08/`.

Lines *begin* with a line break, so that a line torn by a kill can't swallow the next one; a torn line is passed over
when reading (its body, if it was kept, is found again among the files).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from sec_core.bronze.ledger_rules import Capture, Origin, Outcome, Result
from sec_core.hours import Month
from sec_core.source.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sec_core.blobs.model import Blobs

_FOLDER: Final = "journal/"


class Journal:
    """Journal files of all months.

    Args:
        blobs: Where they are kept.
    """

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def append(self, month: Month, outcomes: Iterable[Outcome]) -> None:
        """Write outcomes down, in one write.

        Raises:
            StorageError: They could not be written.
        """
        data = b"".join(b"\n" + encode(outcome) for outcome in outcomes)
        if data:
            self._blobs.append(_key(month), data)

    def read(self, month: Month) -> list[Outcome]:
        """Outcomes of a month in the order in which they were written.

        Raises:
            StorageError: The file can't be read.
        """
        decoded = (decode(line) for line in self._blobs.read_log(_key(month)).split(b"\n") if line)
        return [outcome for outcome in decoded if outcome is not None]

    def compact(self, month: Month, most: int = 64) -> None:
        """Bring a month's log into few blobs where it has more than `most`.

        Raises:
            StorageError: It can't be read or written; nothing is lost.
        """
        self._blobs.compact(_key(month), most)

    def months(self) -> list[Month]:
        """Months that have a journal, in order."""
        names = {
            key.removeprefix(_FOLDER).partition("/")[0].removesuffix(".jsonl") for key in self._blobs.list(_FOLDER)
        }
        return sorted(Month.parse(name) for name in names)


def _key(month: Month) -> str:
    return f"{_FOLDER}{month}.jsonl"


def encode(outcome: Outcome) -> bytes:
    """A journal line without its line break; what is absent is left out."""
    fields: dict[str, Any] = {
        "hora": _text(outcome.hour),
        "en": _text(outcome.at),
        "resultado": outcome.result.value,
        "consulta": outcome.asked,
        "codigo_error": outcome.code,
        "error": outcome.error,
        "sospechosa": outcome.suspect or None,
        "reconocida": outcome.relearned or None,
        "total_nacional": outcome.national_total,
    }
    if outcome.capture is not None:
        capture = outcome.capture
        fields |= {
            "clave": capture.key,
            "capturado_en": _text(capture.captured_at),
            "origen": capture.origin.value,
            "sha256": capture.sha256,
            "bytes": capture.size,
            "n_filas": capture.rows,
            "clientes": capture.customers,
            "forma": capture.shape.value if capture.shape else None,
        }
    return orjson.dumps({name: value for name, value in fields.items() if value is not None})


def decode(line: bytes) -> Outcome | None:
    """Read a journal line; None for a torn one."""
    try:
        fields = orjson.loads(line)
        capture = None
        hour = datetime.fromisoformat(fields["hora"])
        if "clave" in fields:
            capture = Capture(
                hour=hour,
                captured_at=datetime.fromisoformat(fields["capturado_en"]),
                origin=Origin(fields["origen"]),
                key=fields["clave"],
                sha256=fields["sha256"],
                size=fields["bytes"],
                rows=fields["n_filas"],
                customers=fields["clientes"],
                shape=Shape(fields["forma"]) if "forma" in fields else None,
            )
        return Outcome(
            hour=hour,
            at=datetime.fromisoformat(fields["en"]),
            result=Result(fields["resultado"]),
            capture=capture,
            asked=fields["consulta"],
            code=fields.get("codigo_error"),
            error=fields.get("error"),
            suspect=fields.get("sospechosa", False),
            national_total=fields.get("total_nacional"),
            relearned=fields.get("reconocida", False),
        )
    except (ValueError, KeyError, TypeError):
        return None


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat()
