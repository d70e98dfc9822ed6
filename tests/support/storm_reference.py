"""Storms by the letter of their definition, in plain Python and slowly: what the fast rules are compared with."""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any
from uuid import UUID

from sec_core.gold.storms import StormRules
from sec_core.hours import CHILE

HOUR = timedelta(hours=1)
Hit = tuple[datetime, str]


@dataclass(frozen=True)
class World:
    """Customers out by loaded hour and comuna (0 where absent), customers, neighbours both ways, expected hours."""

    values: dict[datetime, dict[str, int]]
    customers: dict[str, int]
    neighbours: Collection[tuple[str, str]]
    expected: list[datetime]

    @property
    def hours(self) -> list[datetime]:
        return sorted(self.values)

    def whole(self, first: datetime, last: datetime) -> bool:
        """Whether every expected hour from one loaded hour to another has data."""
        return all(hour in self.values for hour in self.expected if first <= hour <= last)


@dataclass(frozen=True)
class Storm:
    """What the definition says of one storm: its figures by column, and its curve by hour and comuna."""

    figures: dict[str, Any]
    curve: dict[tuple[datetime, str], int]


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
        curve, end = _curve(world, cells)
        if not any(curve.values()):
            continue
        last = max(hour for hour, _ in curve)
        inside = {hit for hit in cells if hit[0] <= last}
        if inside == cells:
            found.append(Storm(_figures(world, min(cells), curve, end), {at: out for at, out in curve.items() if out}))
        else:
            waiting += components(world, inside, rules) + components(world, cells - inside, rules)
    return sorted(found, key=lambda storm: (storm.figures["inicio"], storm.figures["id"]))


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


def _curve(world: World, cells: set[Hit]) -> tuple[dict[Hit, int], datetime | None]:
    """The excess of each comuna in each hour of the window, the two that end it included; and its end."""
    start = min(cells)[0]
    before = [hour for hour in world.hours if start - 168 * HOUR <= hour < start]
    usual = {
        code: median(world.values[hour].get(code, 0) for hour in before) if before else 0
        for code in {code for _, code in cells}
    }
    curve: dict[Hit, int] = {}
    totals: list[int] = []
    low: list[datetime] = []
    for hour in world.hours:
        if not start <= hour < start + 720 * HOUR:
            continue
        row = {code: round(max(world.values[hour].get(code, 0) - usual[code], 0)) for code in usual}
        curve |= {(hour, code): out for code, out in row.items()}
        totals.append(sum(row.values()))
        low = [*low, hour] if max(totals) > 0 and totals[-1] <= 0.05 * max(totals) else []
        if len(low) == 2:
            return curve, low[0]
    return curve, start + 720 * HOUR if max(world.hours) >= start + 720 * HOUR else None


def _figures(world: World, first: Hit, curve: dict[Hit, int], end: datetime | None) -> dict[str, Any]:
    """The columns of `tormentas` but nombre and nota."""
    start, hours = first[0], sorted({hour for hour, _ in curve})
    total = {hour: sum(out for (at, _), out in curve.items() if at == hour) for hour in hours}
    peak = max(total.values())
    top = min(hour for hour in hours if total[hour] == peak)
    whole = world.whole(start, hours[-1])
    before = [hour for hour in world.hours if hour < start][-1:]
    begin = bool(before) and world.whole(before[0], start)
    after = [hour for hour in world.hours if hour > top][:1] or [top]
    restored = {}
    for percent in (50, 90, 95):
        under = [hour for hour in hours if hour > top and total[hour] <= (1 - percent / 100) * peak + 1e-9][:1]
        seen = under and world.whole(max(hour for hour in world.hours if hour < under[0]), under[0])
        restored[f"horas_{percent}"] = int((under[0] - top) / HOUR) if seen else None
    inside = [hour for hour in hours if end is None or hour < end]
    ended = [total[hour] for hour in hours if end is None or hour <= end]
    changes = [b - a for a, b in zip([0, *ended], ended, strict=False)]
    over = [hour for hour in world.expected if start <= hour < (end or hours[-1] + HOUR)]
    name = hashlib.md5(f"{start.astimezone(CHILE):%Y%m%dT%H}|{first[1]}".encode(), usedforsecurity=False)
    return {
        "id": str(UUID(name.hexdigest())),
        "inicio": start,
        "fin": end,
        "hora_punta": top,
        "punta": peak,
        "cliente_horas": sum(total[hour] for hour in inside) if whole else None,
        "comunas": len({code for _, code in curve}),
        "regiones": ",".join(sorted({code[:2] for _, code in curve})),
        "horas_hasta_punta": int((top - start) / HOUR) if begin and world.whole(start, after[0]) else None,
        **restored,
        "salidas": sum(each for each in changes if each > 0) if whole and begin else None,
        "reposiciones": -sum(each for each in changes if each < 0) if whole else None,
        "reposicion_maxima": max(0, -min(changes)) if whole else None,
        "cobertura": len(inside) / len(over),
        "abierta": end is None,
    }
