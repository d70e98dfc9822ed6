"""Peaks that nobody saw: how large they may be, judged by those that one or two observed hours show. Pure.

Durations are taken as exponential and beginnings as even, so that what is missed for each peak seen follows from the
mean duration alone. It makes little difference where peaks are much shorter than the gaps, or much longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    Floats = NDArray[np.float64]

# Number of missed peaks above the bound: none occur with 97.5%.
EXPECTED_LARGER = 0.0253

# Part of the pooled hours, and least number, whose peaks the Pareto law is fitted to.
TAIL_SHARE, TAIL_LEAST = 0.001, 40

# Pareto index of customers out, and what it weighs against peaks observed, where these are few.
USUAL_INDEX, USUAL_WEIGHT = 1.2, 10

# Hours of which a month's own level of residuals counts as much as that of its series over all months.
OWN_HOURS = 60

# Share of single peaks that look double by chance.
CHANCE = 0.05


class Tail(NamedTuple):
    """Peaks of all months that were seen equally often.

    Attributes:
        threshold: Peak, in units of the series' level, above which the law holds.
        rate: Share of observed hours with a single peak above it.
        power: Pareto index.
        lasting: Mean duration of peaks, hours.
        step: Hours between observed hours.
    """

    threshold: float
    rate: float
    power: float
    lasting: float
    step: float

    def missed(self, length: Floats) -> Floats:
        """For gaps of so many hours: missed peaks for each that one observed hour shows, x (their hours) ^ power."""
        gap, last = length + 1, self.lasting
        stays, leaves = np.exp(-gap / last), np.exp(-self.step / last)
        unseen = 1 - last / gap * (1 - stays)
        mass = last - (2 * last**2 - last * stays * (gap + 2 * last)) / gap
        number = gap * unseen / (last * (1 - leaves) ** 2)
        result: Floats = number * (mass / unseen) ** self.power
        return result

    def bound(self, lengths: Floats) -> float:
        """Customer-hours of missed peaks in gaps of so many hours, exceeded with 2.5%, in units of the level."""
        larger = float(self.missed(lengths).sum()) * self.rate / EXPECTED_LARGER
        return float(self.threshold * larger ** (1 / self.power))


def fit(single: Floats, double: Floats, count: float, step: float) -> Tail:
    """Fit a tail.

    Args:
        single: Peaks that exactly one observed hour shows, in units of their series' levels; 0 is none.
        double: Peaks that exactly two in a row show, likewise.
        count: Hours in which they were looked for, over all series.
        step: Mean hours between observed hours.
    """
    peaks = np.sort(single[single > 0].ravel())[::-1]
    chosen = min(max(int(count * TAIL_SHARE), TAIL_LEAST), len(peaks) // 3)
    if chosen < 3:
        return Tail(float(peaks[0]) if len(peaks) else 1.0, 1 / max(count, 1.0), USUAL_INDEX, step, step)
    threshold = float(peaks[chosen])
    hill = 1 / float(np.mean(np.log(peaks[:chosen] / threshold)) or 1e-9)
    index = (hill * chosen + USUAL_INDEX * USUAL_WEIGHT) / (chosen + USUAL_WEIGHT)
    wide = float(peaks[min(max(int(count * 0.005), TAIL_LEAST), len(peaks) // 2)])
    again = (double > wide).sum() / max((single > wide).sum(), 1) - CHANCE
    lasting = -step / np.log(np.clip(again, 0.005, 0.95))
    return Tail(threshold, chosen / count, float(np.clip(index, 0.8, 3)), float(lasting), step)


def levels(serie: NDArray[np.int64], count: Floats, roots: Floats) -> Floats:
    """Each row's level of residuals: its own, drawn to that of its series over all months, and never almost 0."""
    total, hours = np.bincount(serie, count * roots), np.bincount(serie, count)
    usual = (total / np.maximum(hours, 1))[serie]
    share = count / (count + OWN_HOURS)
    level = (roots**share * usual ** (1 - share)) ** 2
    least = float(np.median(level[level > 0])) / 1000 if (level > 0).any() else 1.0
    chosen: Floats = np.maximum(level, least)
    return chosen
