"""The team's older dataset: points of an earlier scraper, streamed from one great JSON file into Bronze.

Accepted: `{"data_by_year": {"2017": {"metadata": {}, "data": [point, ...]}, ...}}`, and `{"metadata": {}, "data":
[point, ...]}` of a single year. A point is `{"success": true, "data": [rows], "hora_server_scraping": "...",
"fecha_consultada": "2017-01-01 06:00"}`, where `year`, `month`, `day`, `hour` may stand for `fecha_consultada`.
"""

import codecs
import json
import re
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Final

import ijson
import orjson
from loguru import logger

from sec_core.bronze.ledger import Finding, Ledger
from sec_core.bronze.ledger_rules import Origin, Result, clean
from sec_core.errors import InputError
from sec_core.hours import CHILE, FIRST_MONTH, HOUR, from_wall
from sec_core.source.shapes import MAX_VALUES, AnsweredBy, classify

_POINTS: Final = re.compile(r"(data_by_year\.[^.]*\.)?data\.item")
_BATCH: Final = 32
_EXAMPLES: Final = 5
_ASKED: Final = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})[ T]([0-9]{1,2})(?::[0-9]{2}){0,2}(?:\.[0-9]+)?")
_TEXT: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NOT_NUMBERS: Final = re.compile(_TEXT.pattern + rb"|-?\bInfinity\b|\bNaN\b", re.DOTALL)
_LETTERS: Final = b"-" + string.ascii_letters.encode()
_LONGEST_TEXT: Final = 1024 * 1024
_DEEPEST: Final = 64
_YEARS: Final = range(FIRST_MONTH.year, 2101)
_WALL_FORMATS: Final = ("%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d-%m-%Y %H:%M", "%d-%m-%Y %H:%M:%S")


@dataclass(slots=True)
class ImportReport:
    """What an import came to, in points of the file.

    `unsuccessful` ones were marked so or have no list of rows, those `without_hour` can't be placed (`examples` shows
    some), those `without_time` are taken in as of the end of their hour. `differing` has the customers (detailed,
    aggregated) of hours now held in both shapes with different totals.
    """

    points: int = 0
    imported: int = 0
    held: int = 0
    empty: int = 0
    unsuccessful: int = 0
    without_hour: int = 0
    without_time: int = 0
    quarantined: int = 0
    rows: int = 0
    examples: list[str] = field(default_factory=list)
    both_shapes: int = 0
    differing: dict[datetime, tuple[int, int]] = field(default_factory=dict)


def import_legacy(path: Path, ledger: Ledger, *, on_points: Callable[[int, int], None] | None = None) -> ImportReport:
    """Take a file of the older dataset in; what was taken in before is passed over, so it can be resumed.

    `on_points` gets the points and the bytes read so far.

    Raises:
        InputError: The file is missing, no points are in it, or it is not whole JSON; what came before that is kept.
        StorageError: Bronze can't be written.
        DatabaseUnavailable: The ledger can't be written.
    """
    report = ImportReport()
    held = ledger.imported()
    batch: list[Finding] = []
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is not a regular file.", next_step="Name the JSON file itself.")
    try:
        with path.open("rb") as file:
            for point in _points(_Tolerant(file)):
                report.points += 1
                if (finding := _finding(point, held, report, path.name)) is not None:
                    batch.append(finding)
                if len(batch) >= _BATCH:
                    _flush(batch, ledger, report)
                    if on_points is not None:
                        on_points(report.points, file.tell())
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}.") from error
    except (ijson.JSONError, UnicodeDecodeError, _TooLarge) as error:
        _flush(batch, ledger, report)
        reason = " ".join(str(error).split())[:100]
        raise InputError(
            f"{path} is not whole JSON after {report.points} points: {reason}.",
            next_step="What came before is kept; get the whole file and run the same command again.",
        ) from error
    _flush(batch, ledger, report)
    if not report.points:
        raise InputError(f"{path} holds no points.", next_step="See `sec import-legacy --help` for the form expected.")
    totals = ledger.totals_of_both_shapes()
    report.both_shapes = len(totals)
    report.differing = {hour: pair for hour, pair in totals.items() if pair[0] != pair[1]}
    return report


class _TooLarge(Exception):
    """What is nested too deep, or larger than any point can be."""


class _Tolerant:
    """A JSON file as Python writes it: without its byte order mark, NaN and infinities as null."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._carry = file.read(len(codecs.BOM_UTF8)).removeprefix(codecs.BOM_UTF8)

    def read(self, size: int) -> bytes:
        """More bytes, at least one before the end of the file."""
        out = b""
        while not out and size:
            data = self._file.read(size)
            whole = self._carry + data
            end = _whole_tokens(whole) if data else len(whole)
            out, self._carry = whole[:end], whole[end:]
            if len(self._carry) > _LONGEST_TEXT:
                raise _TooLarge(f"a text of more than {_LONGEST_TEXT} bytes")
            if b"N" in out or b"I" in out:
                out = _NOT_NUMBERS.sub(_null, out)
            if not data:
                break
        return out


def _whole_tokens(data: bytes) -> int:
    """How many bytes end before a text or a word that may go on."""
    end = max((text.end() for text in _TEXT.finditer(data)), default=0)
    begun = data.find(b'"', end)
    return begun if begun >= 0 else end + len(data[end:].rstrip(_LETTERS))


def _null(found: re.Match[bytes]) -> bytes:
    return found[0] if found[0].startswith(b'"') else b"null"


def _points(file: _Tolerant) -> Iterator[dict[str, Any]]:
    """Points one by one; only the one at hand is in memory."""
    builder: Any = None
    depth = values = 0
    for keys, event, value in _events(file):
        if builder is None:
            if event != "start_map" or not _POINTS.fullmatch(".".join(keys)):
                continue
            builder, depth, values = ijson.ObjectBuilder(), len(keys), 0
        values += 1
        if values > MAX_VALUES:
            raise _TooLarge(f"a point of more than {MAX_VALUES} values")
        builder.event(event, float(value) if isinstance(value, Decimal) else value)
        if event == "end_map" and len(keys) == depth:
            yield builder.value
            builder = None


def _events(file: _Tolerant) -> Iterator[tuple[list[str], str, Any]]:
    """Events of the parser, with the keys above each (`item` for a list); its own prefixes grow without bound."""
    keys: list[str] = []
    for event, value in ijson.basic_parse(file):
        if event in {"end_map", "end_array"}:
            keys.pop()
        yield keys, event, value
        if event == "map_key":
            keys[-1] = value
        elif event in {"start_map", "start_array"}:
            if len(keys) == _DEEPEST:
                raise _TooLarge(f"lists or objects more than {_DEEPEST} deep")
            keys.append("item" if event == "start_array" else "")


def _finding(
    point: dict[str, Any], held: set[tuple[datetime, datetime]], report: ImportReport, file: str
) -> Finding | None:
    hour = hour_of(point)
    if hour is None:
        report.without_hour += 1
        if len(report.examples) < _EXAMPLES:
            report.examples.append(str({key: value for key, value in point.items() if key != "data"})[:200])
        return None
    rows = point.get("data")
    if point.get("success") is False or not isinstance(rows, list):
        report.unsuccessful += 1
        return None
    if not rows:
        report.empty += 1
        return None
    scraped = scraped_at(point.get("hora_server_scraping"))
    at = scraped or hour + HOUR
    if (hour, at) in held:
        report.held += 1
        return None
    report.without_time += scraped is None
    body = _encode(rows)
    return Finding(hour, at, body, classify(body), origin=Origin.LEGACY, answered_by=AnsweredBy(source=clean(file)))


def _encode(rows: list[Any]) -> bytes:
    try:
        return orjson.dumps(rows)
    except TypeError:
        # Integers beyond 64 bits, which orjson refuses to write.
        return json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _flush(batch: list[Finding], ledger: Ledger, report: ImportReport) -> None:
    recorded = ledger.record(batch)
    report.held += len(batch) - len(recorded)
    for entry in recorded:
        if entry.outcome.result is Result.QUARANTINED:
            report.quarantined += 1
            logger.bind(stage="import", code="unexpected_body", hour=entry.outcome.hour.isoformat()).warning(
                "point in quarantine: {reason}", reason=entry.outcome.error
            )
        else:
            report.imported += 1
            report.rows += entry.outcome.capture.rows if entry.outcome.capture else 0
    batch.clear()


def hour_of(point: dict[str, Any]) -> datetime | None:
    """The hour that a point was asked for, as the UTC instant of its beginning; None if it can't be told."""
    asked = point.get("fecha_consultada")
    if isinstance(asked, str) and (found := _ASKED.fullmatch(asked.strip())):
        parts: tuple[object, ...] = found.groups()
    else:
        parts = tuple(point.get(name) for name in ("year", "month", "day", "hour"))
    try:
        year, month, day, hour = (int(part) for part in parts if isinstance(part, int | str))
        return from_wall(date(year, month, day), hour) if year in _YEARS else None
    except (ValueError, OverflowError):
        return None


def scraped_at(text: object) -> datetime | None:
    """When a point was scraped, UTC; without a zone the text is Chile wall clock. None if it can't be read."""
    read = _time(text.strip()) if isinstance(text, str) else None
    if read is None or read.year not in _YEARS:
        return None
    return (read if read.tzinfo else read.replace(tzinfo=CHILE)).astimezone(UTC)


def _time(text: str) -> datetime | None:
    for form in ("", *_WALL_FORMATS):
        try:
            return datetime.strptime(text, form) if form else datetime.fromisoformat(text)  # noqa: DTZ007 - see above
        except ValueError:
            continue
    return None
