"""Major event days by the 2.5 beta method of IEEE 1366-2012, section 3.5 and annex B.

A day is a major event day if its SAIDI exceeds exp(alpha + 2.5 beta), where alpha and beta are the mean and the
standard deviation of the natural logarithms of daily SAIDI over the five years before the reporting year. Days without
any interruption don't enter. Where the five years hold too little, the standard takes all that is available: the
reporting year itself then joins.

Only days that were seen alike make a base: a threshold from days seen every sixth hour says nothing of hourly ones.
"""

import polars as pl

from sec_core.gold.panel import MINIMUM_COVERED
from sec_core.source.shapes import Shape

# Days with interruptions from which the years before suffice by themselves.
FULL_BASE_DAYS = 365

# Days with interruptions below which no threshold is computed at all.
LEAST_BASE_DAYS = 10


# Share of a year's observed hours in one form from which the year is of this form.
SAME_FORM = 0.95

# Difference of the observed share of the mean day up to which two years were seen alike.
SAME_SHARE = 0.1

# Observed share of the mean day below which no day is judged: days seen every sixth hour are too rough; they miss the
# number of hourly data by up to seven (docs/estimates.md).
LEAST_SHARE = 0.5

# Share of a year's days whose observed share must lie this near to the median day's, else the year is not one.
USUAL_DAYS, USUAL_SHARE = 0.9, 0.25


def alike(days: pl.DataFrame, loads: pl.DataFrame) -> pl.DataFrame:
    """Which years can be a base for which, by form and by how much of a day was seen.

    Args:
        days: dia, horas, observadas, interpoladas, see `panel.Pattern`.
        loads: hora, mes, forma of loaded hours.

    Returns:
        anho, base: pairs of years, each year with itself where it was seen in one way and often enough.
    """
    covered = (pl.col("observadas") + pl.col("interpoladas")) >= MINIMUM_COVERED * pl.col("horas")
    share = pl.col("observadas") / pl.col("horas")
    usual = (pl.col("visto") - pl.col("visto").median()).abs() <= USUAL_SHARE
    seen = (
        days.filter(covered)
        .select(anho=pl.col("dia").dt.year(), visto=share)
        .group_by("anho")
        .agg(pl.col("visto").mean(), parejo=usual.mean() >= USUAL_DAYS)
    )
    detailed = (pl.col("forma") == Shape.DETAILED.value).mean()
    forms = loads.group_by(anho=pl.col("mes").dt.year()).agg(detallada=detailed)
    one_form = (pl.col("detallada") >= SAME_FORM) | (pl.col("detallada") <= 1 - SAME_FORM)
    years = (
        seen.join(forms, on="anho").filter(pl.col("parejo") & one_form & (pl.col("visto") >= LEAST_SHARE)).sort("anho")
    )
    pairs = years.join(years, how="cross", suffix="_base").filter(
        ((pl.col("visto") - pl.col("visto_base")).abs() <= SAME_SHARE)
        & ((pl.col("detallada") >= 0.5) == (pl.col("detallada_base") >= 0.5))
    )
    return pairs.select("anho", base="anho_base")


def thresholds(daily: pl.DataFrame, alike: pl.DataFrame) -> pl.DataFrame:
    """The threshold of every region and reporting year.

    Args:
        daily: serie (region), dia (Date), saidi (hours per customer): one row for each region and day that is known.
        alike: anho, base: years whose days may be compared.

    Returns:
        serie, anho, umbral_med (hours per customer; null where the base is too small, or would be made of
        the reporting year alone although there are earlier ones), dias_base, distinta (whether the latter).
    """
    days = daily.lazy().select("serie", "saidi", anho=pl.col("dia").dt.year())
    usable = days.filter(pl.col("saidi") > 0).select("serie", "anho", ln=pl.col("saidi").log())
    pairs = days.select("serie", "anho").unique().join(usable, on="serie", how="left", suffix="_base")
    known = alike.lazy().with_columns(igual=True)
    key = ["serie", "anho"]
    same = pl.col("igual").fill_null(value=False)
    earlier = pl.col("anho_base").is_between(pl.col("anho") - 5, pl.col("anho") - 1)
    enough = (earlier & same).sum().over(key) >= FULL_BASE_DAYS
    base = pl.col("ln").filter("base")
    return (
        pairs.join(known, left_on=["anho", "anho_base"], right_on=["anho", "base"], how="left")
        .with_columns(basta=enough, base=same & (earlier | (~enough & (pl.col("anho_base") == pl.col("anho")))))
        .group_by(key)
        .agg(
            umbral_med=(base.mean() + 2.5 * base.std()).exp(),
            dias_base=pl.col("base").sum().cast(pl.Int64),
            distinta=(earlier & ~same & ~pl.col("basta")).any(),
        )
        .with_columns(
            umbral_med=pl.when((pl.col("dias_base") >= LEAST_BASE_DAYS) & ~pl.col("distinta")).then("umbral_med")
        )
        .sort(key)
        .collect()
    )
