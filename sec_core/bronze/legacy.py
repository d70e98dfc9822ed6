"""The team's older dataset: points of an earlier scraper, streamed from one great JSON file into Bronze.

Accepted: `{"data_by_year": {"2017": {"metadata": {}, "data": [point, ...]}, ...}}`, and `{"metadata": {}, "data":
[point, ...]}` of a single year. A point is `{"success": true, "data": [rows], "hora_server_scraping": "...",
"fecha_consultada": "2017-01-01 06:00"}`, where `year`, `month`, `day`, `hour` may stand for `fecha_consultada`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import ijson
import orjson
from loguru import logger

from sec_core.bronze.ledger_rules import Origin, Result
from sec_core.bronze.record import Finding
from sec_core.errors import InputError, SecError
from sec_core.hours import CHILE, HOUR, from_wall
from sec_core.source.shapes import classify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sec_core.bronze.ledger import Ledger

_POINTS: Final = re.compile(r"(data_by_year\.[^.]*\.)?data\.item")
_BATCH: Final = 32
_EXAMPLES: Final = 5
_ASKED: Final = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})[ T]([0-9]{1,2})(?::[0-9]{2}){0,2}(?:\.[0-9]+)?")
_WALL_FORMATS: Final = ("%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d-%m-%Y %H:%M", "%d-%m-%Y %H:%M:%S")


@dataclass(slots=True)
class ImportReport:
    """What an import came to, in points of the file.

    Attributes:
        points: Points read.
        imported: Points that were taken in.
        held: Points that were held already.
        empty: Points without rows (`[]`): no data, nothing to keep.
        unsuccessful: Points that the earlier scraper had marked as failed, or without a list of rows.
        without_hour: Points whose hour can't be told.
        without_time: Points taken in whose time of scraping can't be told; the end of their hour stands for it.
        quarantined: Points whose rows fit no known shape, kept in quarantine.
        rows: Rows taken in.
        examples: The first points whose hour can't be told, in short.
        both_shapes: Hours now held in both shapes.
        differing: Of these, hours whose totals differ: (customers detailed, customers aggregated).
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

    Args:
        path: The file.
        ledger: The ledger with its store.
        on_points: Told the points read so far and the bytes read so far.

    Returns:
        What it came to.

    Raises:
        InputError: The file is missing, holds no points, or ends in the middle; what came before that is kept.
        StorageError: Bronze can't be written.
        DatabaseUnavailable: The ledger can't be written.
    """
    report = ImportReport()
    held = ledger.imported()
    batch: list[Finding] = []
    try:
        with path.open("rb") as file:
            for point in _points(file):
                report.points += 1
                finding = _finding(point, held, report)
                if finding is not None:
                    batch.append(finding)
                if len(batch) >= _BATCH:
                    _flush(batch, ledger, report)
                    if on_points is not None:
                        on_points(report.points, file.tell())
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}.") from error
    except ijson.JSONError as error:
        _flush(batch, ledger, report)
        raise InputError(
            f"{path} is not whole JSON after {report.points} points: {error}.",
            next_step="What came before is kept; get the whole file and run the same command again.",
        ) from error
    _flush(batch, ledger, report)
    if not report.points:
        raise InputError(f"{path} holds no points.", next_step="See `sec import-legacy --help` for the form expected.")
    totals = ledger.totals_of_both_shapes()
    report.both_shapes = len(totals)
    report.differing = {hour: pair for hour, pair in totals.items() if pair[0] != pair[1]}
    return report


def _points(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """Points one by one; only the one at hand is in memory."""
    builder = None
    inside = ""
    for prefix, event, value in ijson.parse(file, use_float=True):
        if builder is None:
            if event != "start_map" or not _POINTS.fullmatch(prefix):
                continue
            builder, inside = ijson.ObjectBuilder(), prefix
        builder.event(event, value)
        if event == "end_map" and prefix == inside:
            yield builder.value
            builder = None


def _finding(point: dict[str, Any], held: set[tuple[datetime, datetime]], report: ImportReport) -> Finding | None:
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
    return Finding(hour, at, body, classify(body), origin=Origin.LEGACY)


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
        return from_wall(date(year, month, day), hour)
    except (ValueError, SecError):
        return None


def scraped_at(text: object) -> datetime | None:
    """When a point was scraped, UTC; without a zone the text is Chile wall clock. None if it can't be read."""
    if not isinstance(text, str):
        return None
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError:
        for form in _WALL_FORMATS:
            try:
                read = datetime.strptime(text.strip(), form).replace(tzinfo=CHILE)
            except ValueError:
                continue
            return read.astimezone(UTC)
        return None
    return (read if read.tzinfo else read.replace(tzinfo=CHILE)).astimezone(UTC)
