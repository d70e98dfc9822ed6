"""`investment_validation`: did outages become fewer where works went into service? Computed, never typed in.

The rate is affected customers (high-water marks of the events that begin in a month) per 1 000 customers and month. The
24 months before the work went into service are compared with the 36 months after it, calendar month by calendar month,
so that a winter is held against winters. Only months that can be compared count: enough of their days were looked at,
and the source had the shape that most of these months have. Too few of them, and the answer is `Datos insuficientes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean, stdev
from typing import TYPE_CHECKING, Literal

import polars as pl

from sec_core.gold.model import PayloadRow
from sec_core.gold.universe import nearest
from sec_core.hours import CHILE, Month

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sec_core.gold.seia.works import Work

MONTHS_BEFORE = 24
MONTHS_AFTER = 36
LEAST_CALENDAR_MONTHS = 9
"""Calendar months that must be comparable on both sides."""

LEAST_HOURS_A_DAY = 4
LEAST_SHARE_OF_DAYS = 0.8
"""A month counts if this share of its days has that many captured hours: the older captures are four a day."""

LARGEST_SAMPLING_RATIO = 1.5
"""How far the mean captured hours of the two sides may lie apart: denser looks see more outages."""

STUDENT_975 = {8: 2.306, 9: 2.262, 10: 2.228, 11: 2.201}
"""97.5% quantiles of Student's t for the degrees of freedom of 9 to 12 calendar months."""

Verdict = Literal["Inmediato", "Lag (2 Años)", "Lag (3 Años)", "Sin efecto", "Datos insuficientes"]
LATE: tuple[Verdict, Verdict] = ("Lag (2 Años)", "Lag (3 Años)")


class ValidationRow(PayloadRow):
    """One work."""

    project: str
    """Its name."""
    year: int
    """Year in which it went into service."""
    type: Verdict
    """`Inmediato` if the first year after improved, `Lag (N Años)` if the second or third was the first that did,
    `Sin efecto`, or `Datos insuficientes`. Improved means that the whole 95% confidence interval lies below zero."""
    delta: float | None
    """Change of the rate in percent: of the three years after, for a lag of the first year that improved; null
    where data don't carry it."""
    context: str
    """Rates, confidence interval and what they rest on, in a sentence."""


@dataclass(frozen=True, slots=True)
class Change:
    """Rate before and after, and the difference with its 95% confidence interval, per 1 000 customers and month."""

    before: float
    after: float
    low: float
    high: float
    calendar_months: int

    @property
    def improved(self) -> bool:
        """Whether the whole interval lies below zero."""
        return self.high < 0

    def percent(self, value: float) -> float:
        """A difference in percent of the rate before."""
        return 100 * value / self.before


def investment_validation(
    events: pl.DataFrame, calendar: pl.DataFrame, customers: pl.DataFrame, works: Sequence[Work]
) -> list[ValidationRow]:
    """All works of the list, in its order.

    Args:
        events: mes, nombre_region, nombre_comuna, clientes_afectados.
        calendar: see `sec_core.gold.frames.hour_calendar`.
        customers: see `universe.CUSTOMERS_SCHEMA`.
        works: The reviewed list.
    """
    sampled = _sampled(calendar)
    sums = (
        events.group_by("mes", "nombre_region", "nombre_comuna")
        .agg(pl.col("clientes_afectados").sum())
        .with_columns(pl.col("nombre_region", "nombre_comuna").cast(pl.String))
    )
    return [_validate(work, sums, sampled, customers) for work in works]


def _validate(work: Work, events: pl.DataFrame, sampled: pl.DataFrame, customers: pl.DataFrame) -> ValidationRow:
    months = [work.first.shift(-i) for i in range(MONTHS_BEFORE, 0, -1)]
    later = [work.last.shift(i) for i in range(1, MONTHS_AFTER + 1)]
    rates = _rates(work, [*months, *later], events, sampled, customers)
    before = rates.filter(pl.col("mes") < work.first.first_day)
    years = [_between(rates, later[i], later[i + 11]) for i in range(0, MONTHS_AFTER, 12)]
    after = pl.concat(years)
    found = [compare(before, year) for year in years]
    whole = compare(before, after)
    verdict: Verdict
    if whole is None or not _alike(before, after):
        verdict, shown = "Datos insuficientes", None
    elif found[0] is not None and found[0].improved:
        verdict, shown = "Inmediato", whole
    else:
        late = next(((i, change) for i, change in enumerate(found) if change is not None and change.improved), None)
        verdict, shown = (LATE[late[0] - 1], late[1]) if late else ("Sin efecto", whole)
    return ValidationRow(
        project=work.name,
        year=work.first.year,
        type=verdict,
        delta=None if shown is None else round(shown.percent(shown.after - shown.before), 1),
        context=_context(shown, before.height, after.height, verdict),
    )


def compare(before: pl.DataFrame, after: pl.DataFrame) -> Change | None:
    """Compare two sets of months, calendar month by calendar month.

    Args:
        before: mes, tasa; comparable months only.
        after: The same.

    Returns:
        The change with a paired t interval over calendar months; None where fewer than nine of them are on both sides,
        or nothing happened before.
    """
    sides = [
        frame.group_by(pl.col("mes").dt.month().alias("m")).agg(pl.col("tasa").mean()).sort("m")
        for frame in (before, after)
    ]
    pairs = sides[0].join(sides[1], on="m", suffix="_after").sort("m")
    if pairs.height < LEAST_CALENDAR_MONTHS:
        return None
    earlier, later = pairs["tasa"].to_list(), pairs["tasa_after"].to_list()
    differences = [b - a for a, b in zip(earlier, later, strict=True)]
    if mean(earlier) == 0:
        return None
    half = STUDENT_975[pairs.height - 1] * stdev(differences) / pairs.height**0.5
    change = mean(differences)
    return Change(mean(earlier), mean(later), change - half, change + half, pairs.height)


def _sampled(calendar: pl.DataFrame) -> pl.DataFrame:
    """Months that were looked at closely enough: mes, forma (of most hours), horas (a day)."""
    day = pl.col("hora").dt.convert_time_zone(str(CHILE)).dt.date()
    days = calendar.group_by("mes", day.alias("dia")).agg(
        horas=pl.col("cargada").sum(),
        detalladas=(pl.col("cargada") & (pl.col("forma") == "detailed")).sum(),
    )
    return (
        days.group_by("mes")
        .agg(
            vistos=(pl.col("horas") >= LEAST_HOURS_A_DAY).mean(),
            horas=pl.col("horas").mean(),
            detalladas=pl.col("detalladas").sum() * 2 >= pl.col("horas").sum(),
        )
        .filter(pl.col("vistos") >= LEAST_SHARE_OF_DAYS)
        .select("mes", "horas", forma=pl.when("detalladas").then(pl.lit("detailed")).otherwise(pl.lit("aggregated")))
    )


def _rates(
    work: Work, months: Sequence[Month], events: pl.DataFrame, sampled: pl.DataFrame, customers: pl.DataFrame
) -> pl.DataFrame:
    """mes, tasa, horas of the comparable months."""
    wanted = pl.DataFrame({"mes": [month.first_day for month in months]}).join(sampled, on="mes")
    if wanted.is_empty():
        return pl.DataFrame(schema={"mes": pl.Date, "tasa": pl.Float64, "horas": pl.Float64})
    shapes = wanted.group_by("forma").len().sort("len", "forma", descending=[True, True])
    wanted = wanted.filter(pl.col("forma") == shapes["forma"][0])
    places = pl.col("nombre_region").is_in(work.regions)
    if work.comunas:
        places &= pl.col("nombre_comuna").is_in(work.comunas)
    affected = events.filter(places).group_by("mes").agg(pl.col("clientes_afectados").sum())
    served = (
        nearest(wanted.select("mes").join(pl.DataFrame({"nombre_region": list(work.regions)}), how="cross"), customers)
        .group_by("mes")
        .agg(pl.col("universo").sum(), conocidas=pl.col("universo").is_not_null().all())
        .filter("conocidas")
    )
    return (
        wanted.join(served, on="mes")
        .join(affected, on="mes", how="left")
        .with_columns(tasa=pl.col("clientes_afectados").fill_null(0) * 1000.0 / pl.col("universo"))
        .select("mes", "tasa", "horas")
        .sort("mes")
    )


def _between(rates: pl.DataFrame, first: Month, last: Month) -> pl.DataFrame:
    return rates.filter(pl.col("mes").is_between(first.first_day, last.first_day))


def _alike(before: pl.DataFrame, after: pl.DataFrame) -> bool:
    """Whether both sides were looked at about as often."""
    hours = sorted([before["horas"].to_list(), after["horas"].to_list()], key=mean)
    return bool(mean(hours[1]) <= LARGEST_SAMPLING_RATIO * mean(hours[0]))


def _context(shown: Change | None, before: int, after: int, verdict: Verdict) -> str:
    basis = f"se pueden comparar {before} de {MONTHS_BEFORE} meses antes y {after} de {MONTHS_AFTER} después"
    if shown is None:
        return f"Solo {basis}: son muy pocos, o se observaron de manera muy distinta."
    low, high = shown.percent(shown.low), shown.percent(shown.high)
    text = (
        f"De {shown.before:.1f} a {shown.after:.1f} clientes afectados por cada 1 000 clientes y mes"
        f" (IC de 95% del cambio: {low:+.1f}% a {high:+.1f}%)".replace(".", ",")
        + f"; {basis}."
    )
    if verdict in LATE:
        return f"{text} La primera mejora es del año {LATE.index(verdict) + 2} después de la obra."
    return text
