"""Captured files replayed: the newest capture of an hour, `[]` for hours that were never captured.

A folder holds `por_fecha/detailed`, `por_fecha/aggregated`, `get` and `clientes_regional`. File names are
`<hour asked>[.captured-<when>].json`; times that end in Z are UTC, the others Chile wall clock.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from sec_core.errors import InputError
from sec_core.hours import CHILE
from sec_core.simulator import render
from sec_core.simulator.answers import HourAnswer, Served
from sec_core.simulator.calendar import parse_wall_hour
from sec_core.simulator.places import CLIENTES_NACIONAL, PERIODO_STAR, REGIONS

_NAME = re.compile(r"(?P<asked>.+?)(?:\.captured-(?P<when>[0-9TZ-]+))?\.json")


class CapturedAnswers:
    """Answers read from a folder of captures."""

    def __init__(self, folder: Path) -> None:
        self._hours: dict[datetime, tuple[datetime, Path]] = {}
        for path in sorted((folder / "por_fecha").glob("*/*.json")):
            hour, captured = _hour_and_capture(path)
            if hour not in self._hours or captured >= self._hours[hour][0]:
                self._hours[hour] = (captured, path)
        if not self._hours:
            raise InputError(
                f"{folder} has no captures.",
                next_step="Give a folder that holds por_fecha/detailed or por_fecha/aggregated.",
            )
        self._series = sorted((_hour_and_capture(path)[0], path) for path in (folder / "get").glob("*.json"))
        self._regions = _read_regions(folder / "clientes_regional")

    def por_fecha(self, hour: datetime, now: datetime, served: int) -> HourAnswer:  # noqa: ARG002 - history does not change
        """The newest capture of an hour, byte for byte; `[]` where there is none."""
        held = self._hours.get(hour)
        return HourAnswer(b"[]" if held is None else held[1].read_bytes(), 0, None)

    def get(self, now: datetime, served: Served) -> bytes:  # noqa: ARG002 - history does not change
        """The newest series captured up to `now`; `[]` where there is none."""
        known = [path for hour, path in self._series if hour <= now]
        return known[-1].read_bytes() if known else b"[]"

    def clientes_regional(self, part: str) -> bytes:
        """Captured regions whose full name contains `part`."""
        return orjson.dumps([r for r in self._regions if part.casefold() in str(r["NOMBRE_REGION"]).casefold()])

    def clientes_nacional(self) -> bytes:
        """The country's figure; there is no capture of it."""
        return render.national_customers(CLIENTES_NACIONAL)


def _hour_and_capture(path: Path) -> tuple[datetime, datetime]:
    found = _NAME.fullmatch(path.name)
    if found is None:
        raise InputError(f"{path} is not named like a capture.", next_step="Name it <hour>[.captured-<when>].json.")
    hour = parse_wall_hour(found["asked"])
    return hour, _capture_time(found["when"], hour, path)


def _capture_time(text: str | None, hour: datetime, path: Path) -> datetime:
    """When a file was captured: a UTC instant, a Chile date, or a Chile time of the day of its hour."""
    if text is None:
        return hour
    wall = hour.astimezone(CHILE)
    try:
        if text.endswith("Z"):
            return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if "-" in text:
            return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=CHILE).astimezone(UTC)
        if "T" in text:
            return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=CHILE).astimezone(UTC)
        time = datetime.strptime(text, "%H%M%S").time()  # noqa: DTZ007 - the zone comes from the hour
    except ValueError:
        raise InputError(
            f"{path}: {text!r} is no time of capture.", next_step="Write it as 20260801T073550Z."
        ) from None
    captured = datetime.combine(wall.date(), time, tzinfo=CHILE)
    if time.hour < wall.hour:
        captured += timedelta(days=1)
    return captured.astimezone(UTC)


def _read_regions(folder: Path) -> list[dict[str, Any]]:
    """Regions of the newest capture that has them all, else of every capture together, else those of May 2019."""
    by_name: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.json"), key=lambda p: (p.name.startswith("todas"), p.name)):
        by_name.update({str(region["NOMBRE_REGION"]): region for region in orjson.loads(path.read_bytes())})
    if by_name:
        order = [region.full_name for region in REGIONS]
        return sorted(
            by_name.values(), key=lambda r: order.index(name) if (name := r["NOMBRE_REGION"]) in order else 99
        )
    customers = {region.code: region.customers for region in REGIONS}
    regions: list[dict[str, Any]] = orjson.loads(render.regional_customers(customers, PERIODO_STAR, ""))
    return regions
