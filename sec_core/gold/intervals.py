"""95% intervals of estimates. Outages have heavy tails: what is not seen matters more than what was seen badly. Pure.

The error of an estimate has four parts, each bounded from the data itself:

- *local*: on the way between two observed values a and b over L missing hours the sum may be anything between all a
  and all b. Taken as uniform, its variance is (L (b - a))^2 / 12; variances of gaps add up.
- *missed peaks*: outages that began and ended inside a gap. Their size is judged by peaks that exactly one
  observed hour shows (`saltos`): above a high threshold they follow a Pareto law, fitted by Hill's estimator over all
  months and series that were seen equally often, each scaled by its level of residuals. How many are missed
  for each one that is seen follows from how long peaks last, which the share of peaks shown by two hours in a row
  (`dobles`) tells: durations are taken as exponential and beginnings as even, which makes little difference where
  peaks are much shorter than the gaps, or much longer. Of heavy tails the largest one decides: the bound is the
  customer-hours of which the expected number of larger ones is 0.0253, so that there is none with 97.5%.
- *hours of the day*: what a pattern that prefers some hours of the day makes of a daily cycle, by the pattern's Fourier
  coefficient at 24 hours and a cycle of `CYCLE` of the mean, whatever its phase.
- *uncovered stretches* over a day long: how much the same number of days in a row held in other months, relative to
  the rest of their month; 3.5% to 96.5% of these ratios.

Constants were calibrated once on simulated worlds, see docs/estimates.md; nothing is fitted to published figures.
"""

from functools import cache, partial
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sec_core.gold.panel import Pattern
from sec_core.hours import CHILE
from sec_core.silver.timeline import source_index

Floats = NDArray[np.float64]

# Source hours between two observed hours up to which they say something of the hours between.
REACH = 24

DAYS = 31
# Largest single peaks of a series and month that are kept: more than 5% of the hours seen every sixth hour.
PEAKS = 8

# Standard deviations of the local error that bounds lie away; below more, since seen peaks make estimates too high.
LOWER, UPPER = 2.7, 1.96

# Amplitude of the daily cycle of customers out, over their mean, that a pattern must bear without knowing it.
CYCLE = 0.35

# Share of ratios of uncovered stretches left out at either side.
STRETCH_QUANTILE = 0.035

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

# What a stretch of days held over the rest of its month, twenty of them: counts where few were observed.
USUAL_RATIOS = np.exp([NormalDist(0, 0.6).inv_cdf((step + 0.5) / 20) for step in range(20)])


def residuals(values: Floats, seen: pl.Series, hours: pl.DataFrame, mean: Floats) -> dict[str, Floats]:
    """What a month shows of its own errors.

    Args:
        values: Customers out, observed hours by series: those of the month, and the nearest ones before and after it.
        seen: The hours, ascending.
        hours: `Pattern.hours` of the month.
        mean: Customers out in the mean of the month's observed and interpolated hours, by series.

    Returns:
        By series: local (variance, see above), desvio (what a line over uncovered gaps of up to a day would add to the
        estimate), raices (mean square root of the absolute leave-one-out residuals), saltos (the largest excesses of
        an observed hour over both neighbours), dobles (of two hours over theirs).
    """
    gaps = (
        hours.filter((pl.col("visto") != "observada") & (pl.col("hueco") <= REACH))
        .group_by("anterior", "visto")
        .len()
        .sort("anterior", "visto")
    )
    at = seen.search_sorted(gaps["anterior"]).to_numpy().astype(np.int64)
    length = gaps["len"].to_numpy()[:, None].astype(float)
    begin, end = values[at], values[np.minimum(at + 1, len(values) - 1)]
    open_ = (gaps["visto"] == "descubierta").to_numpy()
    index = source_index(seen).to_numpy()
    ahead = np.diff(index)
    central = (ahead[:-1] + ahead[1:]) <= REACH
    before, here, after = values[:-2][central], values[1:-1][central], values[2:][central]
    share = (ahead[:-1] / np.maximum(ahead[:-1] + ahead[1:], 1))[central][:, None]
    off = np.abs(here - before * (1 - share) - after * share)
    single = np.maximum(here - np.maximum(before, after), 0)
    pairs = (ahead[:-2] + ahead[1:-1] + ahead[2:]) <= REACH * 3 // 2
    double = np.maximum(np.minimum(values[1:-2], values[2:-1]) - np.maximum(values[:-3], values[3:]), 0)[pairs]
    return {
        "local": ((length * (end - begin)) ** 2).sum(axis=0) / 12,
        "desvio": (length[open_] * ((begin + end)[open_] / 2 - mean)).sum(axis=0),
        "raices": np.sqrt(off).mean(axis=0) if len(off) else np.zeros(values.shape[1]),
        "saltos": _largest(single),
        "dobles": _largest(double),
    }


def _largest(excesses: Floats) -> Floats:
    padded = np.vstack([excesses, np.zeros((PEAKS, excesses.shape[1]))])
    return np.sort(np.partition(padded, -PEAKS, axis=0)[-PEAKS:], axis=0)[::-1].T


def month_errors(rows: pl.DataFrame, pattern: Pattern) -> pl.DataFrame:
    """Add the errors of each series and month: columns that `bounds` takes.

    Args:
        rows: `estimates.PARTS_SCHEMA` of all months, cliente_horas, horas.
        pattern: What was seen when.

    Returns:
        `rows` with cola (missed peaks), indice (Pareto index), ciclo, baja and alta (variances of uncovered stretches).
    """
    shape = _shapes(pattern)
    table = rows.join(shape, on="mes", how="left", maintain_order="left")
    mean = (rows["cliente_horas"] / rows["horas"]).to_numpy()
    tail, index = np.zeros(len(rows)), np.full(len(rows), USUAL_INDEX)
    single, double = (rows[name].to_numpy() for name in ("saltos", "dobles"))
    serie = rows["serie"].rank("dense").to_numpy().astype(np.int64) - 1
    count, often, month = (table[name].to_numpy() for name in ("n", "clase", "mes"))
    gaps = dict(zip(shape["mes"].to_numpy(), shape["huecos"].to_list(), strict=True))
    for one in np.unique(often):
        own = np.flatnonzero(often == one)
        level = levels(serie[own], count[own], rows["raices"].to_numpy()[own])
        step = float(np.average(table["paso"].to_numpy()[own], weights=np.maximum(count[own], 1)))
        law = fit_tail(single[own] / level[:, None], double[own] / level[:, None], count[own].sum(), step)
        index[own] = law.power
        for when in np.unique(month[own]):
            at = month[own] == when
            tail[own[at]] = law.bound(np.asarray(gaps[when], dtype=float)) * level[at]
    low, high = _stretches(rows["dias"].to_numpy(), table["tramos"].to_list(), mean)
    return rows.with_columns(
        pl.Series("cola", tail),
        pl.Series("indice", index),
        pl.Series("ciclo", CYCLE * mean * table["fourier"].to_numpy()),
        pl.Series("baja", low),
        pl.Series("alta", high),
    )


def bounds() -> list[pl.Expr]:
    """Expressions for a group of months of one series: cliente_horas_inf, cliente_horas_sup."""
    centre = (pl.col("cliente_horas") + pl.col("desvio")).sum()
    power = pl.col("indice").mean()
    peaks = (pl.col("cola") ** power).sum() ** (1 / power)
    cycle = pl.col("ciclo").sum() ** 2
    low = (LOWER**2 * pl.col("local").sum() + cycle + pl.col("baja").sum()).sqrt()
    high = (UPPER**2 * pl.col("local").sum() + peaks**2 + cycle + pl.col("alta").sum()).sqrt()
    return [(centre - low).alias("cliente_horas_inf"), (centre + high).alias("cliente_horas_sup")]


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


def fit_tail(single: Floats, double: Floats, count: float, step: float) -> Tail:
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


def _shapes(pattern: Pattern) -> pl.DataFrame:
    """By month: n (hours with neighbours), paso (mean hours to these), clase, huecos, tramos, fourier."""
    observed = pattern.hours.filter(pl.col("visto") == "observada")
    index = source_index(observed["hora"])
    span = index.shift(-1) - index.shift(1)
    steps = (
        observed.select("mes", largo=span)
        .group_by("mes")
        .agg(
            n=(pl.col("largo") <= REACH).sum(),
            paso=(pl.col("largo").filter(pl.col("largo") <= REACH).mean() / 2).fill_null(REACH / 2),
        )
        .with_columns(clase=pl.col("paso").log(2).round().cast(pl.Int64))
    )
    near = (pl.col("hueco") <= REACH).fill_null(value=False)
    runs = ((pl.col("visto") == "descubierta") & ~near).rle().struct
    lengths = pattern.hours.group_by("mes").agg(
        huecos=pl.col("anterior").filter((pl.col("visto") != "observada") & near).rle().struct.field("len"),
        tramos=runs.field("len").filter(runs.field("value")),
    )
    return (
        pattern.months.select("mes")
        .join(steps, on="mes", how="left")
        .join(lengths, on="mes")
        .join(_fourier(pattern), on="mes", how="left")
        .with_columns(
            pl.col("n", "fourier").fill_null(0), pl.col("paso").fill_null(REACH / 2), pl.col("clase").fill_null(-1)
        )
        .sort("mes")
    )


def _fourier(pattern: Pattern) -> pl.DataFrame:
    """By month, by how many hours of the mean a daily cycle as large as the mean could shift the estimate."""
    turn = 2 * np.pi / 24
    hour = pl.col("hora").dt.convert_time_zone(str(CHILE)).dt.hour() * turn
    waves = [hour.cos().alias("c"), hour.sin().alias("s")]
    estimate = (
        pattern.weights.with_columns(waves)
        .group_by("mes")
        .agg((pl.col("peso") * pl.col("c")).sum().alias("ce"), (pl.col("peso") * pl.col("s")).sum().alias("se"))
    )
    truth = pattern.hours.with_columns(waves).group_by("mes").agg(pl.col("c", "s").sum())
    scale = pl.col("horas") / (pl.col("observadas") + pl.col("interpoladas"))
    return (
        pattern.months.join(estimate, on="mes")
        .join(truth, on="mes")
        .select(
            "mes",
            fourier=((pl.col("ce") * scale - pl.col("c")) ** 2 + (pl.col("se") * scale - pl.col("s")) ** 2).sqrt(),
        )
    )


def _stretches(days: Floats, runs: list[list[int]], mean: Floats) -> tuple[Floats, Floats]:
    """Variances, below and above, of uncovered stretches: squares of the distance to the quantiles' bounds."""
    quantiles = cache(partial(_ratios, days))
    low, high = np.zeros(len(mean)), np.zeros(len(mean))
    for at, lengths in enumerate(runs):
        for length in lengths:
            least, most = quantiles(min(max(round(length / 24), 1), 5))
            low[at] += (length * mean[at] * max(1 - least, 0)) ** 2
            high[at] += (length * mean[at] * max(most - 1, 0)) ** 2
    return low, high


def _ratios(days: Floats, several: int) -> tuple[float, float]:
    """Quantiles of what so many days in a row hold over what the rest of their month does, by day."""
    known = ~np.isnan(days)
    sums, counts = np.nan_to_num(days), known.sum(axis=1, keepdims=True)
    windows = np.lib.stride_tricks.sliding_window_view(sums, several, axis=1).sum(axis=2)
    whole = np.lib.stride_tricks.sliding_window_view(known, several, axis=1).all(axis=2)
    rest = np.maximum(sums.sum(axis=1, keepdims=True) - windows, 0) / np.maximum(counts - several, 1)
    usable = whole & (counts >= 10 + several) & (rest > 0)
    ratios = np.concatenate([(windows[usable] / several) / rest[usable], USUAL_RATIOS])
    weights = np.concatenate([np.full(ratios.size - USUAL_RATIOS.size, 1 / several), np.ones(USUAL_RATIOS.size)])
    order = np.argsort(ratios, kind="stable")
    passed = (np.cumsum(weights[order]) - weights[order] / 2) / weights.sum()
    least, most = np.interp([STRETCH_QUANTILE, 1 - STRETCH_QUANTILE], passed, ratios[order])
    return float(least), float(most)
