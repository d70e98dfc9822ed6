"""What the simulated SEC answers when nothing goes wrong, from a world."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from sec_core.hours import CHILE, hours_of_day, open_hour
from sec_core.simulator import render
from sec_core.simulator.calendar import hour_index
from sec_core.simulator.places import CLIENTES_NACIONAL, PERIODO_STAR, REGIONS
from sec_core.source.shapes import Shape

if TYPE_CHECKING:
    from sec_core.simulator.options import SimulatorOptions
    from sec_core.simulator.world import World

Served = Callable[[datetime], int]


class HourAnswer(NamedTuple):
    """An answer of `GetPorFecha`."""

    body: bytes
    revision: int
    shape: Shape | None  # None where nobody looked (a replay)


class WorldAnswers:
    """The five endpoints without HTTP or faults, from a world. `now` is aware; `served` counts an hour's answers."""

    def __init__(self, world: World, options: SimulatorOptions) -> None:
        self.world = world
        self._options = options
        self._cache: OrderedDict[tuple[int, Shape, int], bytes] = OrderedDict()
        self._cache_left = options.cache_bytes

    def shape_of(self, hour: datetime, now: datetime) -> Shape:
        """Shape in which an hour is answered at `now`."""
        options = self._options
        switched = (options.switch_hour is not None and hour >= options.switch_hour) or (
            options.switch_when is not None and now >= options.switch_when
        )
        return Shape.AGGREGATED if switched else options.shape

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
        revision, shape = self.revision_of(hour, now, served), self.shape_of(hour, now)
        return HourAnswer(self._body(hour, shape, revision), revision, shape)

    def get(self, now: datetime, served: Served) -> bytes:
        """National totals from seven days ago, 00h, to the open hour; hours without data are not listed."""
        under_way = open_hour(now)
        today = under_way.astimezone(CHILE).date()
        hours = [
            hour
            for back in range(7, -1, -1)
            for hour in hours_of_day(today - timedelta(days=back))
            if hour <= under_way
        ]
        revisions = ((hour, self.revision_of(hour, now, served(hour))) for hour in hours)
        return render.national_series(
            (hour, self.world.total(hour, revision)) for hour, revision in revisions if self.world.has_data(hour)
        )

    def clientes_regional(self, part: str) -> bytes:
        """Customers of the regions whose full name contains `part`."""
        return render.regional_customers({region.code: region.customers for region in REGIONS}, PERIODO_STAR, part)

    def clientes_nacional(self) -> bytes:
        """Customers of the country."""
        return render.national_customers(CLIENTES_NACIONAL)

    def prepare(self, hours: Iterable[datetime], now: datetime) -> int:
        """Render bodies before they are asked for; returns their bytes."""
        return sum(len(self.por_fecha(hour, now, 0).body) for hour in hours)

    def _body(self, hour: datetime, shape: Shape, revision: int) -> bytes:
        key = (hour_index(hour), shape, revision)
        body = self._cache.get(key)
        if body is not None:
            self._cache.move_to_end(key)
            return body
        rows = self.world.rows(hour, revision)
        if shape is Shape.DETAILED:
            body = render.detailed_body(self.world, hour, rows, revision)
        else:
            body = render.aggregated_body(self.world, hour, rows)
        self._cache[key] = body
        self._cache_left -= len(body)
        while self._cache_left < 0 and len(self._cache) > 1:
            self._cache_left += len(self._cache.popitem(last=False)[1])
        return body
