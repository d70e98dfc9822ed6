"""Small series as geometry; templates draw them as SVG with their labels in HTML, so that text stays readable.

Hours are drawn as steps, months and years as bars with their interval. What is not known is a band, never a 0.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sec_core.gold.site.figures import HourGrid
from sec_core.gold.site.words import Language
from sec_core.hours import CHILE

# Units from the bottom of a chart to its top; what a column is wide is said with each chart.
HEIGHT = 200
BAR = 10
# Columns that a chart of bars has room for at least.
FEWEST = 9
# Labels that a time axis has room for.
LABELS = 7
# Of short labels.
MOST_YEARS = 12


@dataclass(slots=True)
class Chart:
    """A chart.

    Attributes:
        label: What it shows, for those who don't see it.
        width: Its width in units.
        levels: Labels of the vertical axis, with the share of the height at which they stand.
        times: Labels of the time axis, with the share of the width.
        area: Path of steps.
        bars: Path of bars.
        whiskers: Path of intervals.
        gaps: Path of what has no data.
        doubtful: Path of what was seen too little of for an estimate.
        tips: Left edge and text of what a column says.
        marks: Vertical lines, with their text: share of the width.
        remark: A line of the legend.
    """

    label: str
    width: int
    levels: list[tuple[float, str]]
    times: list[tuple[float, str]] = field(default_factory=list)
    area: str = ""
    bars: str = ""
    whiskers: str = ""
    gaps: str = ""
    doubtful: str = ""
    tips: list[tuple[int, str]] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)
    height: int = HEIGHT
    remark: str = ""


def nice_top(value: float) -> tuple[float, float]:
    """The top of an axis that holds a value, and the step of its labels."""
    if value <= 0:
        return 1.0, 1.0
    power = 10 ** math.floor(math.log10(value))
    step = next(step for step in (0.1, 0.2, 0.25, 0.5, 1, 2, 2.5) if math.ceil(value / (step * power)) <= 4) * power
    return math.ceil(value / step - 1e-9) * step, step


def _levels(top: float, step: float, write: Callable[[float], str]) -> list[tuple[float, str]]:
    return [(round(100 * at * step / top, 2), write(at * step)) for at in range(round(top / step) + 1)]


def steps(label: str, values: NDArray[np.int64], known: NDArray[np.bool_], language: Language) -> Chart:
    """Customers out in equal steps of time, one unit of width each.

    Args:
        label: What it shows.
        values: What was out.
        known: Where that is known.
        language: Writes the numbers.
    """
    top, step = nice_top(max(float(values[known].max(initial=0)), 1.0))
    heights = HEIGHT - np.rint(values * (HEIGHT / top)).astype(int)
    parts = []
    for first, end in runs(known):
        run = heights[first:end]
        if (run == HEIGHT).all():
            continue
        turns = np.flatnonzero(np.diff(run)) + 1
        line = "".join(f"H{first + turn}V{run[turn]}" for turn in turns.tolist())
        parts.append(f"M{first} {HEIGHT}V{run[0]}{line}H{end}V{HEIGHT}z")
    levels = _levels(top, max(step, 1.0), language.number)
    return Chart(label, max(len(values), 1), levels, area="".join(parts), gaps=bands(~known))


def hourly(label: str, grid: HourGrid, series: str, language: Language) -> Chart:
    """Customers out by hour, days on the axis."""
    chart = steps(label, grid.of(series), grid.known, language)
    chart.times = _midnights(tuple(grid.hours), language)
    return chart


@lru_cache(maxsize=2)
def _midnights(hours: tuple[datetime, ...], language: Language) -> list[tuple[float, str]]:
    """The axis of days, the same for all series over these hours."""
    days = [(at, hour.astimezone(CHILE)) for at, hour in enumerate(hours)]
    midnights = [(at, wall) for at, wall in days if wall.hour == 0] or days[:1]
    return _thinned([(at, language.day(wall.date())) for at, wall in midnights], len(hours))


def daily(label: str, peaks: Sequence[dict[str, Any]], language: Language) -> Chart:
    """Most customers out each day (dia, clientes), months on the axis."""
    values = [row["clientes"] for row in peaks]
    known = np.array([value is not None for value in values], dtype=bool)
    chart = steps(label, np.array([value or 0 for value in values], dtype=np.int64), known, language)
    firsts = [(at, language.month(row["dia"])) for at, row in enumerate(peaks) if row["dia"].day == 1]
    chart.times = _thinned(firsts, len(peaks))
    return chart


def bars(label: str, rows: Sequence[tuple[str, dict[str, Any] | None]], language: Language) -> Chart:
    """An index with its interval by month or year, in columns of ten units.

    Args:
        label: What it shows.
        rows: Name of each column in order of time, and its figures (saidi, saidi_inf, saidi_sup, cobertura), None for
            no data.
        language: Writes the numbers.
    """
    highest = max((row["saidi_sup"] for _, row in rows if row and row["saidi_sup"] is not None), default=0.0)
    top, step = nice_top(highest)
    digits = max(0, -int(Decimal(f"{step:g}").normalize().as_tuple().exponent))
    width = BAR * max(len(rows), FEWEST)
    levels = _levels(top, step, lambda value: language.number(value, digits))
    names = _thinned([(BAR * at, name) for at, (name, _) in enumerate(rows)], width, centre=BAR / 2)
    unseen = np.array([row is None for _, row in rows], dtype=bool)
    doubtful = np.array([row is not None and row["saidi"] is None for _, row in rows], dtype=bool)
    chart = Chart(label, width, levels, names, gaps=bands(unseen, BAR), doubtful=bands(doubtful, BAR))
    for at, (name, row) in enumerate(rows):
        left = BAR * at
        said = language.no_data if row is None else language.gettext("too little data for an estimate")
        if row is not None and row["saidi"] is not None:
            value, low, high = (HEIGHT - round(row[key] / top * HEIGHT) for key in ("saidi", "saidi_inf", "saidi_sup"))
            chart.bars += f"M{left + 1} {HEIGHT}V{value}h{BAR - 2}V{HEIGHT}z"
            if row["saidi_sup"] > row["saidi_inf"]:
                chart.whiskers += f"M{left + BAR // 2} {low}V{high}"
            range_ = language.interval(row["saidi_inf"], row["saidi_sup"])
            said = f"{language.number(row['saidi'], 2)} h ({range_}; {language.percent(row['cobertura'])})"
        chart.tips.append((left, f"{name}: {said}"))
    return chart


def calendar(label: str, days: Sequence[tuple[date, str]], language: Language) -> tuple[Chart, dict[str, str]]:
    """A tile for each day, a row for each month, and the path of the tiles of each state."""
    months = sorted({day.replace(day=1) for day, _ in days})
    row = {month: at for at, month in enumerate(months)}
    paths: dict[str, str] = {}
    for day, state in days:
        paths[state] = paths.get(state, "") + f"M{10 * (day.day - 1)} {10 * row[day.replace(day=1)]}h9v9h-9z"
    height = max(10 * len(months), 10)
    every = max(2, math.ceil(len(months) / 24))
    levels = [
        (round(100 - 100 * (10 * row[month] + 5) / height, 2), language.month(month)) for month in months[::every]
    ]
    numbers = [(round(100 * (10 * (day - 1) + 5) / 310, 2), str(day)) for day in (1, 5, 10, 15, 20, 25, 31)]
    return Chart(label, 310, levels, numbers, height=height), paths


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Beginning and end of each stretch in which a mask holds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def bands(mask: NDArray[np.bool_], unit: int = 1) -> str:
    """The stretches in which a mask holds, as a path of the whole height."""
    return "".join(f"M{unit * first} 0H{unit * end}V{HEIGHT}H{unit * first}z" for first, end in runs(mask))


def _thinned(labels: Sequence[tuple[float, str]], width: float, centre: float = 0) -> list[tuple[float, str]]:
    """So many labels, evenly chosen, as have room; places in percent."""
    every = 1 if len(labels) <= MOST_YEARS else math.ceil(len(labels) / LABELS)
    return [(round(100 * (at + centre) / max(width, 1), 2), text) for at, text in labels[::every]]
