"""`investment_validation`: did outages become fewer where works went into service? Computed, never typed in.

Difference in differences of monthly log customer-hours per customer: the work's comunas against the mean of regions
without such work, which takes common shocks out. Each calendar month and each year after the work has a coefficient of
its own; standard errors allow for serial correlation (AR 1). The most negative t of the years, and of all of them
together, is ranked among the same statistic of placebo works: groups of comunas in regions without work, at the same
time. A work counts as seen where its rank among these and Student's t both reach 2% shared out over all works of the
list (Bonferroni), and where no change shows at a placebo date in the middle of the time before.

The reviewed list is `obras.csv`. A new work is a line there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

from sec_core.gold.model import PayloadRow
from sec_core.gold.panel import Method
from sec_core.hours import Month, month_range
from sec_core.reference.tables import read_rows

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Months on either side of the work that count at most, and at least before it and in a year after it.
MOST_MONTHS, LEAST_BEFORE, LEAST_AFTER = 48, 24, 9

# Level of all works together; 0.02, so that it stays under 5% where placebo works hang together.
LEVEL, POWER = 0.02, 0.8
# Comunas of a placebo work at most.
LARGEST_GROUP = 8

# A work whose smallest detectable fall is larger can't be said to have no effect.
UNDECIDED = 0.5

# Hours per customer and month that are added before the logarithm: months almost without outages weigh alike.
FLOOR = 0.01

INSUFFICIENT: Literal["Datos insuficientes"] = "Datos insuficientes"
Verdict = Literal["Inmediato", "Lag (2 Años)", "Lag (3 Años)", "Lag (4 Años)", "Sin efecto", "Datos insuficientes"]


@dataclass(frozen=True, slots=True)
class Work:
    """A work of transmission that went into service.

    Attributes:
        regions: Regions that it serves, in the dashboard's short form.
        comunas: Comunas that it serves, upper case without accents; empty for the whole of the regions.
        first: First month of the time in which it went into service.
        last: Last month of that time: the same, or December where only the year is known.
    """

    name: str
    regions: tuple[str, ...]
    comunas: tuple[str, ...]
    first: Month
    last: Month


@cache
def works() -> tuple[Work, ...]:
    """All works of the file."""
    found = []
    for row in read_rows("obras.csv"):
        year, _, month = row["en_servicio"].partition("-")
        regions, comunas = (tuple(filter(None, row[name].split("|"))) for name in ("regiones", "comunas"))
        first, last = (Month(int(year), int(month or other)) for other in (1, 12))
        found.append(Work(row["nombre"], regions, comunas, first, last))
    return tuple(found)


class ValidationRow(PayloadRow):
    """One work."""

    project: str
    """Its name."""
    year: int
    """Year in which it went into service."""
    type: Verdict
    """`Inmediato` if the first year after, or all years together, fell against the comparison; `Lag (N Años)` if only
    year N did; `Sin efecto`; `Datos insuficientes` where it can't be decided."""
    delta: float | None
    """Change of customer-hours per customer against the comparison, in percent; null where data don't carry it."""
    context: str
    """What it rests on, and the smallest fall that could have been seen."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What comparison shows of one work; logarithms.

    Attributes:
        years: Change in each year after, NaN where it has too few months.
        whole: Change over all of them.
        scores: t of each year and of all.
        p: Share of placebo works (and itself) with as low a lowest score.
        limit: Score below which a window counts.
        error: Standard error of `whole`.
        before_score: t of a placebo date in the middle of the time before.
        placebos: How many placebo works there are.
    """

    years: Floats
    whole: float
    scores: Floats
    p: float
    limit: float
    error: float
    before_score: float
    placebos: int

    @property
    def smallest_fall(self) -> float:
        """Fall, as a share, that would be seen with a power of 80%."""
        return float(1 - np.exp(-(norm.ppf(POWER) - self.limit) * self.error))


def investment_validation(comunal: pl.DataFrame, works: Sequence[Work]) -> list[ValidationRow]:
    """All works of the list, in its order.

    Args:
        comunal: mes, codigo_comuna, nombre_comuna, nombre_region, metodo, cliente_horas, clientes: `Indices.comunal`.
        works: The reviewed list.
    """
    known = comunal.filter((pl.col("metodo") != Method.INSUFFICIENT.value) & (pl.col("clientes") > 0))
    return [_validate(work, known, works) for work in works]


def _validate(work: Work, known: pl.DataFrame, works: Sequence[Work]) -> ValidationRow:
    begin, end = work.first.shift(-MOST_MONTHS).first_day, work.last.shift(MOST_MONTHS).first_day
    outside = ~pl.col("mes").is_between(work.first.first_day, work.last.first_day)
    rows = known.filter(pl.col("mes").is_between(begin, end) & outside)
    treated = pl.col("nombre_region").is_in(work.regions)
    if work.comunas:
        treated &= pl.col("nombre_comuna").is_in(work.comunas)
    busy = {region for each in works for region in each.regions}
    own, others = rows.filter(treated), rows.filter(~pl.col("nombre_region").is_in(list(busy)))
    months = sorted(set(own["mes"]) & set(others["mes"]))
    # Years begin after the last month in which it may have gone into service.
    gap = len(month_range(work.first, work.last))
    at = np.array([(day.year - work.first.year) * 12 + day.month - work.first.month for day in months], dtype=np.int64)
    at = np.where(at > 0, at - gap, at)
    before = int((at < 0).sum())
    effect = None
    if before >= LEAST_BEFORE and (at >= 0).sum() >= LEAST_AFTER and others.height:
        shared = pl.col("mes").is_in(months)
        groups, regions = _placebos(others.filter(shared), len(months), own["codigo_comuna"].n_unique())
        calendar = np.array([day.month - 1 for day in months])
        effect = compare(_rate(own.filter(shared)), groups, regions, at, calendar, LEVEL / len(works))
    kind, delta = verdict(effect)
    basis = f"{before} meses antes y {len(months) - before} después, de {MOST_MONTHS} a cada lado"
    return ValidationRow(
        project=work.name, year=work.first.year, type=kind, delta=delta, context=_context(effect, basis, kind)
    )


def _rate(rows: pl.DataFrame) -> Floats:
    """Log of customer-hours per customer by month, all comunas of the rows together."""
    sums = rows.group_by("mes").agg(pl.col("cliente_horas", "clientes").sum()).sort("mes")
    return np.log((sums["cliente_horas"] / sums["clientes"]).to_numpy() + FLOOR)


def _placebos(rows: pl.DataFrame, months: int, size: int) -> tuple[Floats, Integers]:
    """Log rates (groups by months) of placebo works, neighbours in the order of codes, and the region of each."""
    whole = rows.filter(pl.len().over("codigo_comuna") == months).sort("nombre_region", "codigo_comuna", "mes")
    found, regions = [np.zeros((0, months))], list[int]()
    for number, own in enumerate(whole.partition_by("nombre_region", maintain_order=True)):
        hours, served = (
            own[name].to_numpy().astype(float).reshape(-1, months) for name in ("cliente_horas", "clientes")
        )
        group = np.arange(min(size, LARGEST_GROUP, len(hours)))
        chosen = (np.arange(len(hours))[:, None] + group) % len(hours)
        found.append(np.log(hours[chosen].sum(axis=1) / served[chosen].sum(axis=1) + FLOOR))
        regions += [number] * len(hours)
    return np.concatenate(found), np.array(regions, dtype=np.int64)


def compare(
    own: Floats, groups: Floats, regions: Integers, at: Integers, calendar: Integers, level: float
) -> Effect | None:
    """Hold a work against regions without one, and against placebo works.

    Args:
        own: The work's log rate by month.
        groups: Those of placebo works, works by months.
        regions: Number of each placebo work's region.
        at: Each month's distance from the work: negative before, 0 for the first month after.
        calendar: 0 to 11.
        level: Chance of a false finding for this work.

    Returns:
        None where there are too few placebo works for the level, or less than two regions of them.
    """
    count = int(regions.max(initial=-1)) + 1
    if count < 3 or level * (len(groups) + 1) < 1:
        return None
    means = np.array([groups[regions == number].mean(axis=0) for number in range(count)])
    mean_of_others = (means.sum(axis=0) - means[regions]) / (count - 1)
    series = np.vstack([own - means.mean(axis=0), groups - mean_of_others])
    years, whole, scores, error, freedom = _scores(series, at, calendar)
    lowest = np.nanmin(scores, axis=1)
    p = float((1 + (lowest[1:] <= lowest[0]).sum()) / (1 + len(groups)))
    bound = float(np.quantile(lowest[1:], level, method="lower"))
    limit = min(bound, float(student.ppf(level / scores.shape[1], freedom[0])))
    early = at < 0
    middle = at[early] - int(np.median(at[early]))
    before = _scores(series[:, early], middle, calendar[early])[2][0]
    return Effect(years[0], float(whole[0]), scores[0], p, limit, float(error[0]), float(before[-1]), len(groups))


def _scores(series: Floats, at: Integers, calendar: Integers) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Change in each year after and over all, scores (series by windows), its error, degrees of freedom."""
    number = np.where(at >= 0, at // 12, -1)
    kept = [year for year in range(int(number.max()) + 1) if (number == year).sum() >= LEAST_AFTER]
    used = (number < 0) | np.isin(number, kept)
    series, number, calendar = series[:, used], number[used], calendar[used]
    design = np.column_stack(
        [*(calendar == month for month in np.unique(calendar)), *(number == year for year in kept)]
    ).astype(float)
    inverse = np.linalg.pinv(design.T @ design)
    effects = series @ design @ inverse
    left = series - effects @ design.T
    total = (left**2).sum(axis=1)
    rho = (left[:, 1:] * left[:, :-1]).sum(axis=1) / np.maximum(total, 1e-12)
    # The estimate is too low in short series, the more so the more coefficients are fitted.
    rho = np.clip(rho + (1 + 3 * rho + design.shape[1] / 6) / len(number), 0, 0.9)
    variance = total / max(len(number) - design.shape[1], 1) * (1 + rho) / (1 - rho)
    share = np.array([(number == year).sum() for year in kept], dtype=float)
    weights = np.zeros((len(kept) + 1, design.shape[1]))
    weights[np.arange(len(kept)), design.shape[1] - len(kept) + np.arange(len(kept))] = 1
    weights[-1, design.shape[1] - len(kept) :] = share / share.sum()
    values = effects @ weights.T
    errors = np.sqrt(np.maximum(variance[:, None] * np.diag(weights @ inverse @ weights.T), 1e-12))
    every = np.full((len(series), int(max(kept)) + 1), np.nan)
    every[:, kept] = values[:, :-1]
    # Months that hang together are worth fewer: half of what is left, since the correlation itself is estimated.
    freedom = np.maximum((len(number) - design.shape[1]) * (1 - rho) / (1 + rho) / 2, 3)
    return every, values[:, -1], values / errors, errors[:, -1], freedom


def verdict(effect: Effect | None) -> tuple[Verdict, float | None]:
    """`type` and `delta` of a work."""
    if effect is None or abs(effect.before_score) > abs(effect.limit):
        return INSUFFICIENT, None
    years = np.flatnonzero(~np.isnan(effect.years))
    low = effect.scores <= effect.limit
    first = float(effect.years[0])
    if (low[0] and years[0] == 0) or (low[-1] and first <= effect.whole / 2):
        return "Inmediato", _percent(effect.whole)
    if low[:-1].any():
        year = int(years[np.flatnonzero(low[:-1])[0]])
        return cast("Verdict", f"Lag ({year + 1} Años)"), _percent(float(effect.years[year]))
    if low[-1]:
        return "Inmediato", _percent(effect.whole)
    return ("Sin efecto", _percent(effect.whole)) if effect.smallest_fall <= UNDECIDED else (INSUFFICIENT, None)


def _percent(change: float) -> float:
    return round(100 * float(np.expm1(change)), 1)


def _context(effect: Effect | None, basis: str, kind: str) -> str:
    if effect is None:
        return f"{basis}: muy pocos, o sin comunas de comparación suficientes."
    fall = f"{100 * effect.smallest_fall:.0f}%"
    text = (
        f"{basis}. Cambio de las cliente-horas por cliente frente a regiones sin obra: {_percent(effect.whole):+.1f}%; "
        f"{100 * effect.p:.1f}% de {effect.placebos} obras ficticias muestran una baja así. La menor baja que se"
        f" habría visto es de {fall}."
    )
    if kind == INSUFFICIENT and abs(effect.before_score) > abs(effect.limit):
        return f"{text} Ya antes de la obra hubo un cambio así: no se puede atribuir a ella."
    return text
