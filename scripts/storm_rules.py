"""`make calibrate`: how the catalogue of storms changes with its rules, on simulated years; into docs/storms.md.

A year has ordinary outages over all comunas, cuts of single comunas of 10 000 customers and more, and storms of every
size. Everything is drawn from seeds: the same code writes the same tables.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import numpy as np
import polars as pl

from sec_core.gold.customers import dwellings
from sec_core.gold.frames import UTC_TIME, source_hours, with_month
from sec_core.gold.storm_catalogue import described
from sec_core.gold.storms import StormRules, find_hits, find_storms
from sec_core.hours import Month
from sec_core.reference.tables import neighbours
from sec_core.simulator.options import Storm, WorldOptions
from sec_core.simulator.world import World

PAGE = Path(__file__).resolve().parents[1] / "docs" / "storms.md"
FIRST = Month(2023, 1)
SEEDS = range(1, 6)
STORMS = 20
# Cuts a year of single comunas.
CUTS = (0, 10, 30, 100)
# Ordinary outages that begin in an hour. Calm captures have 5 to 7 comunas hit, those of August 2026 5 to 40.
BUSY = (28, 45, 70)
CALM = BUSY[0]
LARGE = 10_000
RULES = ("min_customers", "share", "peak", "min_comunas", "max_gap_hours")


def ordinary(seed: int, hours: pl.Series, busy: int = CALM, cuts: int = 0) -> pl.DataFrame:
    """Customers out by hour and comuna in a year without storms.

    Args:
        seed: What the year is drawn from.
        hours: Its hours.
        busy: Ordinary outages that begin in an hour, where customers are.
        cuts: Cuts of single comunas a year, of `LARGE` customers and more, for up to 12 hours.
    """
    draw = np.random.default_rng(seed)
    places = dwellings()
    size, count = places["viviendas"].to_numpy(), draw.poisson(busy * len(hours))
    able = np.flatnonzero(0.9 * size >= LARGE)
    place = np.append(draw.choice(len(size), count, p=size / size.sum()), draw.choice(able, cuts))
    usual = np.minimum(draw.lognormal(2.4, 1.9, count), 2_600)
    out = np.append(usual, LARGE * (1 + draw.pareto(1.1, cuts)))
    length = np.append(np.ceil(np.minimum(draw.lognormal(0.75, 0.95, count), 96)), draw.integers(1, 13, cuts))
    # The hours of an outage follow its first one.
    at = np.repeat(np.arange(len(place)), length.astype(int))
    hour = draw.integers(0, len(hours), len(place))[at] + np.arange(len(at)) - np.searchsorted(at, at)
    seen = hour < len(hours)
    at = at[seen]
    return (
        pl.DataFrame(
            {
                "hora": hours.gather(hour[seen]),
                "codigo_comuna": places["codigo_comuna"].gather(place[at]),
                "clientes_afectados": np.ceil(np.minimum(out, 0.9 * size[place])).astype(int)[at],
            }
        )
        .group_by("hora", "codigo_comuna")
        .agg(pl.all().sum())
    )


def storms(seed: int, hours: Sequence[datetime]) -> Iterator[Storm]:
    """Storms from a few thousand customers to a million, of one to four neighbouring regions."""
    draw = Random(f"storms {seed}")  # noqa: S311
    order = ["15", "01", "02", "03", "04", "05", "13", "06", "07", "16", "08", "09", "14", "10"]
    for number in range(STORMS):
        size = min(int(4_000 * draw.paretovariate(0.6)), 1_000_000)
        first = draw.randrange(len(order) - 3)
        hit = order[first : first + draw.randint(1, 4)]
        start = hours[int((number + draw.random() / 2) * len(hours) / STORMS)]
        yield Storm(
            start=start,
            customers=size,
            rows=max(50, size // 1000),
            hours_to_peak=draw.randint(2, 18),
            regions=dict.fromkeys(hit, 1 / len(hit)),
        )


def year_hours() -> pl.Series:
    """The hours of the simulated year."""
    return source_hours(FIRST.start, FIRST.shift(11).end, datetime(2030, 1, 1, tzinfo=UTC))["hora"]


def stormy(seed: int, hours: pl.Series, usual: pl.DataFrame) -> pl.DataFrame:
    """A year with storms besides."""
    planted = tuple(storms(seed, hours.to_list()))
    weather = World(WorldOptions(seed=seed, holes=(), rows_per_hour=0, stale_rows=0, storms=planted))
    return pl.concat([usual, panel(weather, hours.to_list())]).group_by("hora", "codigo_comuna").agg(pl.all().sum())


def panel(world: World, hours: Sequence[datetime]) -> pl.DataFrame:
    """Customers out by hour and comuna."""
    rows: list[tuple[datetime, str, int]] = []
    codes = [place.code for place in world.places]
    for hour in hours:
        sums: Counter[int] = Counter()
        for row in world.rows(hour):
            sums[row.place] += row.customers
        rows += [(hour, codes[place], customers) for place, customers in sums.items() if place >= 0]
    schema = pl.Schema({"hora": UTC_TIME, "codigo_comuna": pl.String(), "clientes_afectados": pl.Int64()})
    return pl.DataFrame(rows, schema=schema, orient="row")


def served(hours: pl.Series) -> pl.DataFrame:
    """The customers of comunas in each month: their dwellings."""
    months = with_month(hours.to_frame("hora")).select("mes").unique()
    return dwellings().select("codigo_comuna", clientes="viviendas").join(months, how="cross")


def found(hours: pl.Series, seen: pl.DataFrame, rules: StormRules) -> pl.DataFrame:
    """The catalogue of a simulated year."""
    rows, curves = find_storms(seen, hours, hours, served(hours), neighbours(), rules)
    return described(rows, curves, pl.DataFrame({"hora": hours, "forma": "detailed"}))


def variants() -> Iterator[tuple[str, StormRules]]:
    """The rules, and each of them halved and doubled."""
    yield "as they are", StormRules()
    for name in RULES:
        value = getattr(StormRules(), name)
        for factor, word in ((0.5, "halved"), (2, "doubled")):
            changed = type(value)(value * factor) if isinstance(value, float) else max(round(value * factor + 0.1), 1)
            yield f"`{name}` {word} to {changed:g}", StormRules(**(asdict(StormRules()) | {name: changed}))


def _median(values: pl.Series) -> str:
    middle = values.drop_nulls().cast(pl.Float64).to_numpy()
    return f"{np.median(middle):,.0f}" if len(middle) else ""


def unmarked(rows: pl.DataFrame) -> int:
    """Entries whose note does not say that they may be a local failure."""
    return rows.height - int(rows["nota"].str.contains("falla local").sum())


def false_table() -> Iterator[str]:
    """False storms of ordinary years, by how busy they are and how many single comunas are cut."""
    hours = year_hours()
    yield "| comunas hit in an ordinary hour | " + " | ".join(f"{cuts} cuts a year" for cuts in CUTS) + " |"
    yield "|---:|" + "---:|" * len(CUTS)
    for busy in BUSY:
        hit = find_hits(ordinary(SEEDS[0], hours, busy), served(hours), StormRules()).height / len(hours)
        cells = []
        for cuts in CUTS:
            rows = pl.concat([found(hours, ordinary(seed, hours, busy, cuts), StormRules()) for seed in SEEDS])
            cells.append(f"{rows.height / len(SEEDS):.1f} ({unmarked(rows) / len(SEEDS):.1f})")
        yield f"| {hit:.1f} | " + " | ".join(cells) + " |"


def rules_table() -> Iterator[str]:
    """The catalogue of years with storms when each rule is halved and doubled, and what it has without them."""
    hours = year_hours()
    usual = {seed: ordinary(seed, hours, CALM, CUTS[-1]) for seed in SEEDS[:2]}
    weather = {seed: stormy(seed, hours, usual[seed]) for seed in usual}
    yield "| rules | storms a year | median peak | median comunas | median hours to 95% | false a year |"
    yield "|---|---:|---:|---:|---:|---:|"
    for name, rules in variants():
        rows = pl.concat([found(hours, weather[seed], rules) for seed in usual])
        false = sum(found(hours, usual[seed], rules).height for seed in usual) / len(usual)
        yield (
            f"| {name} | {rows.height / len(usual):.1f} | {_median(rows['punta'])} | {_median(rows['comunas'])} |"
            f" {_median(rows['horas_95'])} | {false:.1f} |"
        )


def main() -> None:
    """Draw the years and write the tables."""
    text = PAGE.read_text(encoding="utf-8")
    for name, lines in (("false storms", false_table()), ("sensitivity", rules_table())):
        before, _, rest = text.partition(f"<!-- {name}: written by `make calibrate` -->\n")
        after = rest.partition(f"<!-- end of {name} -->")[2]
        table = "\n".join(lines)
        text = f"{before}<!-- {name}: written by `make calibrate` -->\n\n{table}\n\n<!-- end of {name} -->{after}"
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
