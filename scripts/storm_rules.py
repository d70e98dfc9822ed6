"""`make calibrate`: how the catalogue of storms changes with its rules, on simulated years; into docs/storms.md.

A year has the simulator's ordinary outages, cuts of one or two comunas (up to 40 000 customers in each), and
storms of every size. Everything is drawn from seeds: the same code writes the same table.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from sec_core.gold.frames import UTC_TIME, source_hours
from sec_core.gold.storms import StormRules, find_storms
from sec_core.hours import Month
from sec_core.reference.geometry import neighbours
from sec_core.simulator.options import Outage, Storm, WorldOptions
from sec_core.simulator.places import REGIONS
from sec_core.simulator.world import World

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

PAGE = Path(__file__).resolve().parents[1] / "docs" / "storms.md"
BEGIN = "<!-- sensitivity: written by `make calibrate` -->"
END = "<!-- end of sensitivity -->"
FIRST = Month(2023, 1)
SEEDS = (1, 2)
STORMS = 20
FEEDERS = 100
RULES = ("min_customers", "share", "peak", "min_comunas", "max_gap_hours")


def beside(code: str, codes: Collection[str]) -> list[str]:
    """A comuna and, where it has one among `codes`, its first neighbour."""
    near = {*(b for a, b in neighbours() if a == code), *(a for a, b in neighbours() if b == code)}
    return [code, *sorted(near & set(codes))[:1]]


def feeders(seed: int, hours: Sequence[datetime], count: int = FEEDERS) -> Iterator[Outage]:
    """Large cuts of one or two comunas: no storms, however many customers they have."""
    draw = Random(f"feeders {seed}")  # noqa: S311 - a simulation, not a secret
    codes = [code for region in REGIONS for code, _ in region.comunas]
    for _ in range(count):
        start, length = draw.choice(hours), draw.randint(1, 12)
        for code in beside(draw.choice(codes), codes)[: draw.choice((1, 2))]:
            yield Outage(code, "", start, (draw.randint(2_000, 40_000),) * length)


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


def year(seed: int) -> tuple[World, pl.Series, pl.DataFrame, pl.DataFrame]:
    """A simulated country, its hours, its panel without storms, and with them."""
    end = FIRST.shift(11)
    hours = source_hours(FIRST.start, end.start, datetime(2030, 1, 1, tzinfo=UTC))["hora"]
    listed = hours.to_list()
    world = World(WorldOptions(seed=seed, holes=(), outages=tuple(feeders(seed, listed))))
    weather = World(
        WorldOptions(seed=seed, holes=(), rows_per_hour=0, stale_rows=0, storms=tuple(storms(seed, listed)))
    )
    ordinary = panel(world, listed)
    stormy = pl.concat([ordinary, panel(weather, listed)]).group_by("hora", "codigo_comuna").agg(pl.all().sum())
    return world, hours, ordinary, stormy


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


def found(world: World, hours: pl.Series, seen: pl.DataFrame, rules: StormRules) -> pl.DataFrame:
    """The catalogue of a simulated year."""
    served = pl.DataFrame(
        [(place.code, int(place.customers)) for place in world.places],
        schema=["codigo_comuna", "clientes"],
        orient="row",
    )
    months = hours.dt.convert_time_zone("America/Santiago").dt.date().dt.month_start().unique()
    return find_storms(
        seen, hours, hours, served.join(pl.DataFrame({"mes": months}), how="cross"), neighbours(), rules
    )[0]


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


def main() -> None:
    """Draw the years and write the table."""
    years = [year(seed) for seed in SEEDS]
    lines = [
        f"{len(SEEDS)} simulated years, {STORMS} storms and {FEEDERS} cuts of one or two comunas in each; false ones",
        "are from the same years without storms.",
        "",
        "| rules | storms a year | median peak | median comunas | median hours to 95% | false a year |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, rules in variants():
        rows = pl.concat([found(world, hours, stormy, rules) for world, hours, _, stormy in years])
        false = sum(found(world, hours, ordinary, rules).height for world, hours, ordinary, _ in years) / len(years)
        lines.append(
            f"| {name} | {rows.height / len(years):.1f} | {_median(rows['punta'])} | {_median(rows['comunas'])} |"
            f" {_median(rows['horas_95'])} | {false:.1f} |"
        )
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    text = "\n".join(lines)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
