"""What the simulated SEC answers when nothing goes wrong: from a world, or from captured files.

A folder of captures holds `por_fecha/detailed`, `por_fecha/aggregated`, `get` and `clientes_regional`. File names are
`<hour asked>[.captured-<when>].json`; times that end in Z are UTC, the others Chile wall clock. Of several captures of
an hour the newest is answered, and `[]` for hours that were never captured.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import orjson

from sec_core.errors import InputError
from sec_core.hours import CHILE, hours_of_day, open_hour
from sec_core.simulator import render
from sec_core.simulator.calendar import hour_index, parse_wall_hour
from sec_core.simulator.options import SimulatorOptions
from sec_core.simulator.places import REGIONS
from sec_core.simulator.world import World
from sec_core.source.shapes import Shape

Served = Callable[[datetime], int]
_NAME = re.compile(r"(?P<asked>.+?)(?:\.captured-(?P<when>[0-9TZ-]+))?\.json")


class HourAnswer(NamedTuple):
    """An answer of `GetPorFecha`."""

    body: bytes
    revision: int
    shape: Shape | None  # None where nobody looked (a replay)


class WorldAnswers:
    """The endpoints without HTTP or faults, from a world. `now` is aware; `served` counts an hour's answers."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.world = World(options.world)
        self._options = options
        self._body = lru_cache(maxsize=options.kept_bodies)(partial(render.hour_body, self.world))

    def shape_of(self, hour: datetime) -> Shape:
        """Shape in which an hour is answered."""
        switch = self._options.switch_hour
        return self._options.shape if switch is None or hour < switch else Shape.AGGREGATED

    def revision_of(self, hour: datetime, now: datetime, served: int) -> int:
        """Revision of an hour at `now`, after it was answered `served` times."""
        rules = self._options.revisions
        under_way = open_hour(now)
        if hour == under_way:
            # It changes each quarter of an hour until it closes.
            return now.astimezone(CHILE).minute // 15 - 4
        index = hour_index(hour)
        if hour >= under_way or Random(f"revised {self.world.options.seed} {index}").random() >= rules.share:  # noqa: S311
            return 0
        return min(rules.most, served // rules.after_asks) if rules.after_asks else 0

    def por_fecha(self, hour: datetime, now: datetime, served: int) -> HourAnswer:
        """The body for an hour; `[]` for one that has no data or lies in the future."""
        if hour > open_hour(now):
            return HourAnswer(b"[]", 0, None)
        revision, shape = self.revision_of(hour, now, served), self.shape_of(hour)
        return HourAnswer(self._body(hour, shape, revision), revision, shape)

    def get(self, now: datetime, served: Served) -> bytes:
        """National totals from seven days ago, 00h, to the open hour; hours without data are not listed."""
        under_way = open_hour(now)
        today = under_way.astimezone(CHILE).date()
        week = (hour for back in range(7, -1, -1) for hour in hours_of_day(today - timedelta(days=back)))
        hours = [hour for hour in week if hour <= under_way and self.world.has_data(hour)]
        return render.national_series(
            (hour, self.world.total(hour, self.revision_of(hour, now, served(hour)))) for hour in hours
        )

    def clientes_regional(self, part: str) -> bytes:
        """Customers of the regions whose full name contains `part`."""
        return render.regional_customers(part)


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


def _hour_and_capture(path: Path) -> tuple[datetime, datetime]:
    found = _NAME.fullmatch(path.name)
    if found is None:
        raise InputError(f"{path} is not named like a capture.", next_step="Name it <hour>[.captured-<when>].json.")
    hour = parse_wall_hour(found["asked"])
    return hour, _capture_time(found["when"], hour, path)


def _capture_time(text: str | None, hour: datetime, path: Path) -> datetime:
    """When a file was captured: a UTC instant, or a Chile time on the day of its hour."""
    if text is None:
        return hour
    try:
        if text.endswith("Z"):
            return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        time = datetime.strptime(text, "%H%M%S").time()  # noqa: DTZ007 - the zone comes from the hour
    except ValueError:
        raise InputError(
            f"{path}: {text!r} is no time of capture.", next_step="Write it as 20260801T073550Z."
        ) from None
    wall = hour.astimezone(CHILE)
    captured = datetime.combine(wall.date(), time, tzinfo=CHILE)
    return (captured if time.hour >= wall.hour else captured + timedelta(days=1)).astimezone(UTC)


def _read_regions(folder: Path) -> list[dict[str, Any]]:
    """Regions of the newest capture that has them all, else of every capture together, else those of May 2019."""
    by_name: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.json"), key=lambda p: (p.name.startswith("todas"), p.name)):
        by_name.update({str(region["NOMBRE_REGION"]): region for region in orjson.loads(path.read_bytes())})
    order = {region.full_name: number for number, region in enumerate(REGIONS)}
    known = sorted(by_name.values(), key=lambda region: order.get(region["NOMBRE_REGION"], 99))
    return known or list(orjson.loads(render.regional_customers("")))
