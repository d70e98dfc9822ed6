"""`make calibrate`: do the intervals of estimates hold what they promise? Worlds with known hourly truth, thinned.

Every world is drawn from its seed alone, so the same code writes the same tables and picture into docs/estimates.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import altair as alt
import numpy as np
import polars as pl
import vl_convert
from numpy.random import Generator
from numpy.typing import NDArray

from scripts.work_worlds import table, works_report
from sec_core.gold import estimates
from sec_core.gold.customers import COUNTRY
from sec_core.gold.frames import source_hours
from sec_core.gold.panel import Method, pattern
from sec_core.hours import CHILE, Month

if TYPE_CHECKING:
    Kept = Callable[[NDArray[np.int64], NDArray[np.int64], Generator], NDArray[np.bool_]]

MAX_GAP = 12
FIRST_MONTH = Month(2023, 3)
# Hours that a world runs before its first month, so that it begins with outages under way.
BEFORE = 120


@dataclass(frozen=True, slots=True)
class World:
    """Hourly truth.

    Attributes:
        hours: All source hours, ascending.
        values: Customers out, hours by region.
        customers: Customers of each region.
    """

    hours: pl.Series
    values: NDArray[np.float64]
    customers: NDArray[np.float64]

    @property
    def names(self) -> list[str]:
        """The regions' names."""
        return [f"R{number:02d}" for number in range(self.values.shape[1])]

    def seen(self, kept: NDArray[np.bool_]) -> pl.DataFrame:
        """What these hours list: hora, serie, clientes, the country among the series."""
        values = np.column_stack([self.values, self.values.sum(axis=1)])[kept]
        row, column = np.nonzero(values)
        names = np.array([*self.names, COUNTRY])
        return pl.DataFrame(
            {
                "hora": self.hours.filter(pl.Series(kept))[row.tolist()],
                "serie": names[column],
                "clientes": values[row, column].astype(np.int64),
            }
        )


def make_world(seed: int, months: int = 2, regions: int = 16, first: Month = FIRST_MONTH) -> World:
    """Ordinary outages on a daily cycle, and storms; peaks by a Pareto law of index 1.1 or less.

    What is not fixed is drawn: how many outages there are, how long they last, how often storms come and how strong
    the daily cycle is.
    """
    draw = np.random.default_rng(seed)
    hours = source_hours(first.start, first.shift(months - 1).start, datetime(2100, 1, 1, tzinfo=UTC))["hora"]
    index, lasting = draw.choice([1.0, 1.05, 1.1]), draw.choice([1.5, 3.0, 6.0])
    cycle, rate, storms = (
        draw.choice([0.2, 0.4]),
        draw.choice([0.3, 1.0, 3.0]),
        draw.poisson(draw.choice([0.5, 1.5]) * months),
    )
    customers = np.exp(draw.normal(12.3, 1.0, regions)).clip(40e3, 3e6)
    time = np.arange(len(hours) + BEFORE)
    wall = hours.dt.convert_time_zone(str(CHILE)).dt.hour().to_numpy()
    daily = 1 + cycle * np.sin(2 * np.pi * (np.concatenate([np.arange(BEFORE) % 24, wall]) - 8) / 24)
    weather = np.zeros((len(time), regions))
    for _ in range(storms):
        since = (time - draw.uniform(0, len(time))) / draw.uniform(6, 30)
        strength = draw.lognormal(3.0, 0.8) * np.exp(np.where(since < 0, np.maximum(since, -50) * 4, -since))
        weather += strength[:, None] * (draw.random(regions) < 0.3)
    values = np.zeros((len(hours), regions))
    for region in range(regions):
        began = np.repeat(time, draw.poisson(rate * customers[region] / 300e3 * (daily + weather[:, region])))
        peak = np.minimum(10 * draw.random(len(began)) ** (-1 / index), customers[region] / 2)
        length = np.ceil(draw.lognormal(np.log(lasting), 0.8, len(began))).clip(1, 96).astype(int)
        falling = draw.random(len(began)) < 0.5
        which = np.repeat(np.arange(len(began)), length)
        passed = np.arange(len(which)) - np.repeat(np.cumsum(length) - length, length)
        height = peak[which] * np.where(falling[which], 1 - passed / length[which], 1.0)
        total = np.bincount(began[which] + passed, height, minlength=len(time))[BEFORE : len(time)]
        values[:, region] = np.floor(np.minimum(total, customers[region]))
    return World(hours, values, customers)


def _every_sixth(time: NDArray[np.int64], wall: NDArray[np.int64], draw: Generator) -> NDArray[np.bool_]:
    del wall
    kept: NDArray[np.bool_] = time % 6 == draw.integers(6)
    return kept


def _at_random(time: NDArray[np.int64], wall: NDArray[np.int64], draw: Generator) -> NDArray[np.bool_]:
    del wall
    return draw.random(len(time)) < 0.3


def _no_nights(time: NDArray[np.int64], wall: NDArray[np.int64], draw: Generator) -> NDArray[np.bool_]:
    del time
    kept: NDArray[np.bool_] = (wall >= draw.integers(6, 10)) & (wall < draw.integers(19, 24))
    return kept


def _block_missing(time: NDArray[np.int64], wall: NDArray[np.int64], draw: Generator) -> NDArray[np.bool_]:
    """Five days, once in each thirty."""
    del wall
    kept = np.ones(len(time), dtype=bool)
    for start in range(0, len(time) - 719, 720):
        begin = start + draw.integers(0, 600)
        kept[begin : begin + 120] = False
    return kept


def _real_pattern(time: NDArray[np.int64], wall: NDArray[np.int64], draw: Generator) -> NDArray[np.bool_]:
    del time, draw
    kept: NDArray[np.bool_] = wall % 6 == 0
    return kept


# How worlds are thinned.
PATTERNS: dict[str, Kept] = {
    "every sixth hour": _every_sixth,
    "30% at random": _at_random,
    "no nights": _no_nights,
    "five days missing": _block_missing,
}

# What was seen from 2017 to 2025.
REAL = {"hours 0, 6, 12, 18": _real_pattern}


def estimate(world: World, kept: NDArray[np.bool_]) -> pl.DataFrame:
    """Estimates of all months from the hours kept, beside the truth.

    Returns:
        mes, serie, metodo, verdad, cliente_horas, cliente_horas_inf, cliente_horas_sup.
    """
    calendar = pl.DataFrame({"hora": world.hours, "cargada": kept, "sospechosa": False})
    what = pattern(calendar, MAX_GAP)
    names = [*world.names, COUNTRY]
    pieces = estimates.parts(world.seen(kept), what, names, what.months["mes"].to_list())
    found = estimates.months(pieces, what)
    truth = (
        world.seen(np.ones(len(kept), dtype=bool))
        .join(what.hours.select("hora", "mes"), on="hora")
        .group_by("mes", "serie")
        .agg(verdad=pl.col("clientes").sum())
    )
    return found.join(truth, on=["mes", "serie"], how="left").with_columns(pl.col("verdad").fill_null(0))


def thinned(worlds: Iterable[World], patterns: dict[str, Kept], seed: int) -> pl.DataFrame:
    """Estimates of all worlds in all patterns: the columns of `estimate`, patron, mundo, clientes (of the region)."""
    rows = []
    for number, world in enumerate(worlds):
        time = np.arange(len(world.hours))
        wall = world.hours.dt.convert_time_zone(str(CHILE)).dt.hour().to_numpy().astype(np.int64)
        size = pl.DataFrame({"serie": [*world.names, COUNTRY], "clientes": [*world.customers, world.customers.sum()]})
        for name, keep in patterns.items():
            kept = keep(time, wall, np.random.default_rng([seed, number]))
            found = estimate(world, kept).join(size, on="serie")
            rows.append(found.with_columns(patron=pl.lit(name), mundo=number))
    return pl.concat(rows)


def summary(rows: pl.DataFrame, by: str | None = None) -> pl.DataFrame:
    """How well intervals do, by a column or for all rows: meses, dentro, debajo, encima, sesgo, ancho.

    `ancho` is the median half width over the median absolute error; estimates alone count, not what was measured.
    """
    known = rows.filter(pl.col("metodo") == Method.ESTIMATED.value)
    truth, value = pl.col("verdad"), pl.col("cliente_horas")
    low, high = pl.col("cliente_horas_inf"), pl.col("cliente_horas_sup")
    below, above, width = truth < low, truth > high, high - low
    figures = [
        pl.len().alias("meses"),
        (~below & ~above).mean().alias("dentro"),
        below.mean().alias("debajo"),
        above.mean().alias("encima"),
        (value.sum() / truth.sum() - 1).alias("sesgo"),
        (width.median() / 2 / (value - truth).abs().median()).alias("ancho"),
    ]
    return known.group_by(by, maintain_order=True).agg(figures) if by else known.select(figures)


SIZES = [(150e3, "under 150 000 customers"), (600e3, "150 000 to 600 000"), (math.inf, "over 600 000")]
PAGE = Path(__file__).resolve().parents[1] / "docs" / "estimates.md"
PICTURE = PAGE.parent / "images" / "calibration.png"
BEGIN, END = "<!-- calibration: written by `make calibrate` -->", "<!-- end of calibration -->"
# Worlds of two months for the months' intervals, and of two years for the country's.
WORLDS, YEARS = 40, 20


def sized(rows: pl.DataFrame) -> pl.DataFrame:
    """Add `tamano`: the size of the region, or the country."""
    size = pl.lit(SIZES[-1][1])
    for limit, name in reversed(SIZES):
        size = pl.when(pl.col("clientes") < limit).then(pl.lit(name)).otherwise(size)
    size = pl.when(pl.col("serie") == COUNTRY).then(pl.lit("the country")).otherwise(size)
    order = pl.Enum([*(name for _, name in SIZES), "the country"])
    return rows.with_columns(tamano=size.cast(order))


def two_years(worlds: Iterable[World]) -> pl.DataFrame:
    """The country's years where the first is seen every sixth hour and the second hourly, beside the truth.

    Returns:
        mundo, estimado and verdad (second year over first), desvio (first year over its truth, less 1), dentro,
        ancho (half width over the first year's estimate).
    """
    rows = []
    for number, world in enumerate(worlds):
        year = world.hours.dt.convert_time_zone(str(CHILE)).dt.year()
        first = (year == year[0]).to_numpy()
        kept = ~first | (np.arange(len(first)) % 6 == 0)
        what = pattern(pl.DataFrame({"hora": world.hours, "cargada": kept, "sospechosa": False}), MAX_GAP)
        pieces = estimates.parts(world.seen(kept), what, [*world.names, COUNTRY], what.months["mes"].to_list())
        found = estimates.years(pieces, what).filter(pl.col("serie") == COUNTRY).sort("anho")
        (value, later), low, high = found["cliente_horas"], found["cliente_horas_inf"][0], found["cliente_horas_sup"][0]
        truth, later_truth = world.values[first].sum(), world.values[~first].sum()
        rows.append(
            {
                "mundo": number,
                "estimado": later / value,
                "verdad": later_truth / truth,
                "desvio": value / truth - 1,
                "dentro": bool(low <= truth <= high),
                "ancho": (high - low) / 2 / value,
            }
        )
    return pl.DataFrame(rows)


def _lines(found: pl.DataFrame) -> list[list[str]]:
    return [
        [
            str(row.get("patron") or row.get("tamano") or "all four ways"),
            f"{row['meses']}",
            f"{row['dentro']:.1%}",
            f"{row['debajo']:.1%}",
            f"{row['encima']:.1%}",
            f"{row['sesgo']:+.1%}",
            f"{row['ancho']:.1f}",
        ]
        for row in found.to_dicts()
    ]


def report(rows: pl.DataFrame, years: pl.DataFrame) -> str:
    """The tables, as Markdown."""
    regions = rows.filter(pl.col("serie") != COUNTRY)
    four = regions.filter(pl.col("patron").is_in(list(PATTERNS)))
    head = "months | inside | truth below | truth above | bias of the sum | half width / median error"
    sizes = summary(sized(rows.filter(pl.col("patron").is_in(list(PATTERNS)))), "tamano")
    inside, near = np.mean(years["dentro"].to_numpy()), np.mean(np.abs(years["desvio"].to_numpy()) <= 0.05)
    error, width = years["desvio"].to_numpy(), np.median(years["ancho"].to_numpy())
    ratio = np.median(np.abs((years["estimado"] / years["verdad"] - 1).to_numpy()))
    country = [
        f"The country's year, seen every sixth hour: {near:.0%} of estimates are within 5% of the truth, and the truth",
        f"lies inside {inside:.0%} of the intervals. The median error is {np.median(np.abs(error)):.1%}, the largest",
        f"{np.abs(error).max():.1%}, the median of all {np.median(error):+.1%}, the median half width {width:.1%}. The",
        f"ratio of an hourly year to the one before, seen every sixth hour, is off by {ratio:.1%} in the median.",
    ]
    return "\n\n".join(
        [
            f"{WORLDS} worlds of 16 regions and two months; {YEARS} of two years.",
            table(f"region-months, thinned | {head}", [*_lines(summary(regions, "patron")), *_lines(summary(four))]),
            table(f"by size, thinned in all four ways | {head}", _lines(sizes.sort("tamano"))),
            "![Share of region-months whose truth lies inside, by pattern and size](images/calibration.png)",
            "\n".join(country),
        ]
    )


def picture(rows: pl.DataFrame) -> bytes:
    """Share inside by pattern and size, and the promise from 88 to 99%, as PNG."""
    found = (
        sized(rows)
        .group_by("patron")
        .map_groups(lambda group: summary(group, "tamano").with_columns(patron=pl.lit(group["patron"][0])))
    )
    share = alt.X("dentro:Q", title="share inside", scale=alt.Scale(domain=[0.8, 1], zero=False, clamp=True)).axis(
        format="%"
    )
    promise = alt.Chart(pl.DataFrame({"dentro": [0.88], "hasta": [0.99]})).mark_rect(opacity=0.15)
    points = alt.Chart(found.with_columns(pl.col("tamano").cast(pl.String))).mark_point(filled=True, size=60)
    order = [*(name for _, name in SIZES), "the country"]
    chart = promise.encode(x=share, x2="hasta:Q") + points.encode(
        x=share,
        y=alt.Y("patron:N", title=None),
        yOffset=alt.YOffset("tamano:N", sort=order),
        color=alt.Color("tamano:N", title="region", sort=order),
    )
    spec = chart.properties(width=420, height=180).to_json()
    png: bytes = vl_convert.vegalite_to_png(spec, scale=1.5)
    return png


def main() -> None:
    """Draw the worlds, thin them, and write the page's tables and picture."""
    rows = thinned((make_world(seed) for seed in range(WORLDS)), PATTERNS | REAL, seed=7)
    years = two_years(make_world(seed, 24, first=Month(2023, 1)) for seed in range(YEARS))
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{report(rows, years)}\n\n{works_report()}\n\n{END}{after}", encoding="utf-8")
    PICTURE.write_bytes(picture(rows))


if __name__ == "__main__":
    main()
