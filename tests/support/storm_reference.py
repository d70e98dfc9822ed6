"""Storms by the letter of their definition, in plain Python and slowly: what the fast rules are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sec_core.gold.storms import StormRules

HOUR = timedelta(hours=1)
Hit = tuple[datetime, str]


@dataclass(frozen=True)
class World:
    """Customers out by loaded hour and comuna (0 where absent), customers, and pairs of neighbours both ways."""

    values: dict[datetime, dict[str, int]]
    customers: dict[str, int]
    neighbours: set[tuple[str, str]]

    @property
    def hours(self) -> list[datetime]:
        return sorted(self.values)


@dataclass(frozen=True)
class Storm:
    """What the definition says of one storm."""

    first: Hit
    peak: int
    peak_hour: datetime
    end: datetime | None
    comunas: frozenset[str]
    curve: tuple[int, ...]


def reference_storms(world: World, rules: StormRules) -> list[Storm]:
    """All storms in the order of their beginning."""
    hits = {
        (hour, code)
        for hour, row in world.values.items()
        for code, out in row.items()
        if out >= rules.min_customers and out >= rules.share * world.customers[code]
    }
    found: list[Storm] = []
    waiting = components(world, hits, rules)
    while waiting:
        cells = waiting.pop()
        if not _reaches(world, cells, rules):
            continue
        storm, last = _curve(world, cells)
        if storm.peak == 0:
            continue
        inside = {hit for hit in cells if hit[0] <= last}
        if inside == cells:
            found.append(storm)
        else:
            waiting += components(world, inside, rules) + components(world, cells - inside, rules)
    return sorted(found, key=lambda storm: storm.first)


def components(world: World, hits: Iterable[Hit], rules: StormRules) -> list[set[Hit]]:
    """Connected sets of hits."""
    left = set(hits)
    following = {
        a: b for a, b in zip(world.hours, world.hours[1:], strict=False) if b - a <= HOUR * rules.max_gap_hours
    }
    preceding = {b: a for a, b in following.items()}
    sets: list[set[Hit]] = []
    while left:
        reached, edge = set[Hit](), [left.pop()]
        while edge:
            hour, code = edge.pop()
            reached.add((hour, code))
            near = [(other, code) for other in (following.get(hour), preceding.get(hour)) if other is not None]
            near += [(hour, b) for a, b in world.neighbours if a == code]
            for hit in near:
                if hit in left:
                    left.remove(hit)
                    edge.append(hit)
        sets.append(reached)
    return sets


def _reaches(world: World, cells: set[Hit], rules: StormRules) -> bool:
    for hour in {hour for hour, _ in cells}:
        codes = [code for at, code in cells if at == hour]
        if len(codes) >= rules.min_comunas and sum(world.values[hour][code] for code in codes) >= rules.peak:
            return True
    return False


def _curve(world: World, cells: set[Hit]) -> tuple[Storm, datetime]:
    first = min(cells)
    comunas = {code for _, code in cells}
    before = [hour for hour in world.hours if first[0] - 168 * HOUR <= hour < first[0]]
    usual = {
        code: median(world.values[hour].get(code, 0) for hour in before) if before else 0 for code in sorted(comunas)
    }
    window = [hour for hour in world.hours if first[0] <= hour < first[0] + 720 * HOUR]
    curve: list[int] = []
    low = 0
    for hour in window:
        curve.append(sum(round(max(world.values[hour].get(code, 0) - usual[code], 0)) for code in usual))
        low = low + 1 if max(curve) > 0 and curve[-1] <= 0.05 * max(curve) else 0
        if low == 2:
            end: datetime | None = window[len(curve) - 2]
            break
    else:
        end = first[0] + 720 * HOUR if window[-1] != world.hours[-1] else None
    peak = max(curve)
    peak_hour = window[curve.index(peak)]
    return Storm(first, peak, peak_hour, end, frozenset(comunas), tuple(curve)), window[len(curve) - 1]
