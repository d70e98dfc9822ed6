"""The journal: one JSON line for each outcome of asking for an hour, a log a month, only ever added to.

In a folder a log is a file, `journal/2024-08.jsonl`; in an object store it is parts below `journal/2024-08/`.

Lines *begin* with a line break, so that a line torn by a kill can't swallow the next one. What is read is trusted only
once it fits `_Line`: other lines, torn ones among them, are passed over, counted and named.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Final, NamedTuple

import msgspec

from sec_core.blobs import parts
from sec_core.blobs.place import Blobs
from sec_core.bronze.ledger_rules import Capture, Origin, Outcome, Result, clean
from sec_core.bronze.ledger_table import OF_CAPTURE, to_capture
from sec_core.bronze.store import BodyName
from sec_core.hours import CHILE, Month, from_wall
from sec_core.source.shapes import Shape

_FOLDER: Final = "journal/"
_NAME: Final = re.compile(rf"{_FOLDER}(?P<month>2[0-9]{{3}}-(0[1-9]|1[0-2]))(\.jsonl|/(?P<part>[^/]+))")
_NAMED: Final = 5

_Instant = Annotated[datetime, msgspec.Meta(tz=True)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_Customers = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Wall = Annotated[str, msgspec.Meta(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}$")]
_Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class _Line(msgspec.Struct, omit_defaults=True):
    """A line as it is written; `reloj` is the hour by the Chile wall clock, which outlives changes of time zones."""

    hora: _Instant
    en: _Instant
    resultado: Result
    consulta: bool
    reloj: _Wall | None = None
    codigo_error: str | None = None
    error: str | None = None
    sospechosa: bool = False
    reconocida: bool = False
    total_nacional: _Customers | None = None
    clave: str | None = None
    capturado_en: _Instant | None = None
    origen: Origin | None = None
    sha256: _Digest | None = None
    bytes: _Count | None = None
    n_filas: _Count | None = None
    clientes: _Customers | None = None
    forma: Shape | None = None
    anfitrion: str | None = None
    fuente: str | None = None


_DECODER: Final = msgspec.json.Decoder(_Line)
# Fields of a line, each with the attribute of the outcome that it holds; those of the body are named like its columns.
_OF_OUTCOME: Final = {
    "resultado": "result", "consulta": "asked", "codigo_error": "code", "error": "error", "sospechosa": "suspect",
    "reconocida": "relearned", "total_nacional": "national_total",
}  # fmt: skip


class MonthJournal(NamedTuple):
    """What a month's journal says, in the order of writing.

    `problems` tells the lines passed over in a sentence; `moved` counts lines whose instant another time zone database
    gave.
    """

    outcomes: list[Outcome]
    problems: str | None
    moved: int


class Journal:
    """Journal files of all months."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def append(self, month: Month, outcomes: Iterable[Outcome]) -> None:
        """Write outcomes down, in one write; raises StorageError where that fails."""
        data = b"".join(b"\n" + encode(outcome) for outcome in outcomes)
        if data:
            self._blobs.append(_key(month), data)

    def read(self, month: Month) -> MonthJournal:
        """What was written down of a month; raises StorageError where the file can't be read."""
        raw = self._blobs.read_log(_key(month)).split(b"\n")
        lines = [(number, decode(line)) for number, line in enumerate(raw, start=1) if line]
        shifts = _shifts([line for _, line in lines if line is not None])
        outcomes, bad, moved = [], [], 0
        for number, line in lines:
            outcome = None if line is None else _mended(*line, shifts)
            if line is None or outcome is None or not month.start <= outcome.hour < month.end:
                bad.append(str(number))
            else:
                outcomes.append(outcome)
                moved += outcome is not line[0]
        named = ", ".join(bad[:_NAMED]) + (" and others" if len(bad) > _NAMED else "")
        problems = f"{_key(month)}: {len(bad)} unreadable lines passed over (line {named})" if bad else None
        return MonthJournal(outcomes, problems, moved)

    def compact(self, month: Month, most: int = 64) -> None:
        """Bring a month's log into few blobs where it has more than `most`; raises StorageError, and loses nothing."""
        self._blobs.compact(_key(month), most)

    def months(self) -> list[Month]:
        """Months that have a journal, in order."""
        return sorted({Month.parse(found["month"]) for key in self._blobs.list(_FOLDER) if (found := _own(key))})

    def strays(self) -> list[str]:
        """Files beside the journals that are none."""
        return [key for key in self._blobs.list(_FOLDER) if not _own(key)]


def _key(month: Month) -> str:
    return f"{_FOLDER}{month}.jsonl"


def _own(key: str) -> re.Match[str] | None:
    found = _NAME.fullmatch(key)
    part = found and found["part"]
    return found if part is None or parts.parse(part) else None


def encode(outcome: Outcome) -> bytes:
    """A journal line without its line break; what is absent is left out."""
    fields = {name: getattr(outcome, attribute) for name, attribute in _OF_OUTCOME.items()}
    if outcome.capture is not None:
        fields |= {name: attrgetter(attribute)(outcome.capture) for name, attribute in OF_CAPTURE.items()}
    wall = f"{outcome.hour.astimezone(CHILE):%Y-%m-%dT%H}"
    return msgspec.json.encode(_Line(**fields | {"hora": outcome.hour, "en": outcome.at, "reloj": wall}))


def decode(data: bytes) -> tuple[Outcome, datetime | None] | None:
    """A line as it was written, and the instant of the wall hour that it gives by today's time zone database.

    None for a torn or bad line, and for a wall hour that does not exist.
    """
    try:
        line = _DECODER.decode(data)
        capture = None if line.clave is None else _capture(line.clave, line)
        hour, at = line.hora.astimezone(UTC), line.en.astimezone(UTC)
        wall = capture.hour if capture is not None else _instant(line.reloj)
    except (msgspec.MsgspecError, ValueError, OverflowError):
        # A ValueError stands for bytes that are no UTF-8.
        return None
    if capture is not None and capture.shape is None and line.resultado is Result.CAPTURED:
        return None
    known = {attribute: getattr(line, name) for name, attribute in _OF_OUTCOME.items()}
    known |= {name: clean(known[name]) for name in ("code", "error")}
    return Outcome(hour, at, capture=capture, **known), wall


def _capture(key: str, line: _Line) -> Capture:
    """The body that a line names, by its name; raises ValueError if it is no name, or something is missing."""
    name = BodyName.parse(key)
    if name is None or None in {line.sha256, line.bytes, line.n_filas, line.clientes}:
        raise ValueError(f"{key} is no body")
    told = {"anfitrion": clean(line.anfitrion), "fuente": clean(line.fuente)}
    of_name = {"hora": name.hour, "capturado_en": name.captured_at, "origen": name.origin}
    return to_capture(msgspec.structs.asdict(line) | told | of_name)


def _shifts(lines: Iterable[tuple[Outcome, datetime | None]]) -> dict[date, timedelta]:
    """How far another time zone database than today's moved the lines of each UTC day, where it did."""
    shifts: dict[date, Counter[timedelta]] = defaultdict(Counter)
    for outcome, hour in lines:
        if hour is not None:
            shifts[outcome.hour.date()][hour - outcome.hour] += 1
    return {day: most for day, counter in shifts.items() if (most := counter.most_common(1)[0][0])}


def _mended(outcome: Outcome, hour: datetime | None, shifts: Mapping[date, timedelta]) -> Outcome:
    """The outcome with the instant of its wall hour.

    A line of an older version without any wall hour is moved as far as most lines of its day are.
    """
    right = hour or outcome.hour + shifts.get(outcome.hour.date(), timedelta(0))
    return outcome if right == outcome.hour else replace(outcome, hour=right)


@lru_cache(maxsize=2048)
def _instant(wall: str | None) -> datetime | None:
    if wall is None:
        return None
    instant = from_wall(date.fromisoformat(wall[:10]), int(wall[11:]))
    if instant is None:
        raise ValueError(f"{wall} does not exist")
    return instant
