"""Storms: hours in which many comunas of one area are without power, from the first cut to the restoration.

A comuna-hour is *hit* when its customers out reach a number and a share of its customers. Hits belong together when
they are of one comuna in neighbouring loaded hours, or of neighbouring comunas in one hour. A connected set is a
storm when its hits of some hour reach `peak` customers in at least `min_comunas` comunas.

Its curve is what its comunas have out above their usual level, from the first hit until the curve stays at or under 5%
of its peak for two loaded hours, 30 days at most. Hits after that begin a new set, so sets are cut in time order and
each piece is looked at again: what only a later hit had joined falls apart.

`under_way` looks for those of the last weeks that are not over in the newest loaded hour, straight from Silver.
"""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.gold.frames import snapshot, source_hours, with_month
from sec_core.gold.storm_curves import CURVES_SCHEMA, HOUR_US, STORMS_SCHEMA, Curve, World, instant
from sec_core.hours import CHILE, HOUR
from sec_core.reference import tables
from sec_core.text import counted

# How far back is looked: the usual level's week and two more. Retention keeps at least thirty days.
WINDOW: Final = timedelta(days=21)
_NEWEST = "SELECT max(hora) AS hora FROM cargas"
_LOADED = "SELECT hora FROM cargas LEFT JOIN capturas USING (hora) WHERE NOT coalesce(sospechosa, false) AND hora >= $1"
_PANEL = """
    SELECT hora, codigo_comuna, sum(clientes_afectados)::bigint AS clientes_afectados
    FROM fact_observaciones JOIN dim_geografia USING (id_geografia) WHERE hora >= $1 GROUP BY 1, 2
"""
_CUSTOMERS = """
    SELECT DISTINCT ON (codigo_comuna) codigo_comuna, clientes FROM clientes_comunales ORDER BY codigo_comuna, mes DESC
"""


@dataclass(frozen=True, slots=True)
class StormRules:
    """What a storm is.

    Attributes:
        min_customers: Customers out from which a comuna-hour is hit.
        share: Share of the comuna's customers that must be out besides, 0 to 1.
        peak: Customers out that a set must reach in some hour.
        min_comunas: Comunas hit in that hour.
        max_gap_hours: How far apart two neighbouring loaded hours of one comuna may be.
    """

    min_customers: int = 50
    share: float = 0.01
    peak: int = 10_000
    min_comunas: int = 3
    max_gap_hours: int = 6

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """By the settings."""
        return cls(
            settings.storm_min_customers,
            settings.storm_share,
            settings.storm_peak,
            settings.storm_min_comunas,
            settings.event_max_gap_hours,
        )


def find_storms(
    panel: pl.DataFrame,
    loaded: pl.Series,
    expected: pl.Series,
    customers: pl.DataFrame,
    neighbours: Collection[tuple[str, str]],
    rules: StormRules,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Find and measure all storms of a period.

    Args:
        panel: hora (UTC), codigo_comuna, clientes_afectados; the listed comunas of loaded hours.
        loaded: Hours with data that is not suspect, in any order.
        expected: All hours that the source can have, at least from the first loaded to the last.
        customers: mes (Date, the month in Chile), codigo_comuna, clientes; a comuna-hour without them is never hit.
        neighbours: Pairs of codes.
        rules: What a storm is.

    Returns:
        The storms by `STORMS_SCHEMA`, in the order of their beginning, and their curves by `CURVES_SCHEMA`: the excess
        of each comuna in each loaded hour of its window, without zeros. The peak is the highest value seen.
    """
    search = StormSearch(find_hits(panel, customers, rules), loaded, expected, neighbours, rules)
    search.fill(panel)
    empty = STORMS_SCHEMA.to_frame(), CURVES_SCHEMA.to_frame()
    storms, curves = map(pl.concat, zip(empty, *map(search.measure, search.sets), strict=True))
    return storms.sort("inicio", "id"), curves.sort("id", "hora", "codigo_comuna")


def find_hits(panel: pl.DataFrame, customers: pl.DataFrame, rules: StormRules) -> pl.DataFrame:
    """The comuna-hours that are hit, by the columns of the panel that it has: see `find_storms`."""
    many = panel.select("hora", pl.col("codigo_comuna").cast(pl.String), "clientes_afectados").filter(
        pl.col("clientes_afectados") >= rules.min_customers
    )
    return (
        with_month(many)
        .join(customers.select("mes", "codigo_comuna", "clientes"), on=["mes", "codigo_comuna"])
        .filter(pl.col("clientes") > 0, pl.col("clientes_afectados") >= rules.share * pl.col("clientes"))
        .select("hora", "codigo_comuna", "clientes_afectados")
        .sort("hora", "codigo_comuna")
    )


class StormSearch:
    """Looks for storms among hits; what it measures needs the panel about them, see `span` and `fill`.

    Attributes:
        sets: The connected sets that reach the peak, as rows of (hour, comuna), both positions, ordered.
    """

    def __init__(
        self,
        hits: pl.DataFrame,
        loaded: pl.Series,
        expected: pl.Series,
        neighbours: Collection[tuple[str, str]],
        rules: StormRules,
    ) -> None:
        self._rules = rules
        self._hours = loaded.unique().sort().to_frame("hora").with_row_index("h")
        self._codes = hits["codigo_comuna"].unique().sort().to_frame().with_row_index("c")
        pairs = pl.DataFrame(list(neighbours), {"codigo_comuna": pl.String, "otra": pl.String}, orient="row")
        beside = self._codes.select(otra="codigo_comuna", beside="c")
        self._borders = pairs.join(self._codes, on="codigo_comuna").join(beside, on="otra").select("c", "beside")
        self._world = World(
            self._hours["hora"].dt.epoch("us").to_numpy(),
            self._codes["codigo_comuna"].to_list(),
            np.zeros((len(self._hours), len(self._codes)), np.int32),
            expected.unique().sort().dt.epoch("us").to_numpy(),
        )
        self.sets = _sets(self._world, self.fill(hits), self._borders, rules)

    def fill(self, panel: pl.DataFrame) -> NDArray[np.int64]:
        """Take in values of loaded hours; returns their places as rows of (hour, comuna), in the panel's order."""
        found = (
            panel.select(
                "hora", pl.col("codigo_comuna").cast(pl.String), pl.col("clientes_afectados").clip(0, 2**31 - 1)
            )
            .join(self._hours, on="hora", maintain_order="left")
            .join(self._codes, on="codigo_comuna", maintain_order="left")
        )
        self._world.values[found["h"], found["c"]] = found["clientes_afectados"]
        return found.select(pl.col("h", "c").cast(pl.Int64)).to_numpy()

    def span(self, cells: NDArray[np.int64]) -> tuple[datetime, datetime]:
        """The first and last instant whose values can matter to a set."""
        first, last = self._world.span(cells)
        return instant(first), instant(last)

    def identity(self, cells: NDArray[np.int64]) -> bytes:
        """A digest of a set and of which hours about it have data: all that its storms depend on besides values."""
        world = self._world
        first, last = world.span(cells)
        digest = hashlib.sha256(np.array(world.codes, dtype=np.int64)[cells[:, 1]].tobytes())
        digest.update(world.hours[cells[:, 0]].tobytes())
        for hours in (world.hours, world.expected):
            digest.update(b"|" + hours[slice(*np.searchsorted(hours, [first, last]))].tobytes())
        # A storm is open until hours after its window have data, wherever they are.
        digest.update(str(bool(world.hours[-1] >= last)).encode())
        return digest.digest()

    def measure(self, cells: NDArray[np.int64]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The storms of a set and their curves; none where nothing is above the usual level."""
        curves = list(_curves(self._world, cells, self._borders, self._rules))
        return (
            pl.DataFrame(map(self._world.measures, curves), schema=STORMS_SCHEMA, orient="row"),
            pl.concat([CURVES_SCHEMA.to_frame(), *map(self._world.rows, curves)]),
        )


def _curves(world: World, candidate: NDArray[np.int64], borders: pl.DataFrame, rules: StormRules) -> Iterator[Curve]:
    """All storms of a connected set."""
    waiting = [candidate]
    while waiting:
        cells = waiting.pop()
        curve = world.curve(cells)
        if not curve.excess.any():
            # Nothing above the usual level: what a storm before it left.
            continue
        inside = cells[:, 0] < curve.first + len(curve.excess)
        if not inside.all():
            # What only a later hit had joined may fall apart, and need not be a storm by itself.
            waiting += [*_sets(world, cells[inside], borders, rules), *_sets(world, cells[~inside], borders, rules)]
            continue
        yield curve


def _sets(world: World, cells: NDArray[np.int64], borders: pl.DataFrame, rules: StormRules) -> list[NDArray[np.int64]]:
    """The connected sets of some hits that reach the peak, each ordered by hour and comuna as `cells` is."""
    if not len(cells):
        return []
    out = world.values[cells[:, 0], cells[:, 1]].astype(np.int64)
    hits = pl.DataFrame({"h": cells[:, 0], "c": cells[:, 1], "n": np.arange(len(cells)), "out": out})
    near = np.append(np.diff(world.hours) <= rules.max_gap_hours * HOUR_US, False)
    edges = pl.concat(
        [
            hits.filter(near[cells[:, 0]]).select(pl.col("h") + 1, "c", "n"),
            hits.join(borders.cast(pl.Int64), on="c").select("h", c="beside", n="n"),
        ]
    ).join(hits, on=["h", "c"], suffix="_2")
    graph = coo_array((np.ones(len(edges), np.int8), (edges["n"], edges["n_2"])), shape=(len(cells), len(cells)))
    hits = hits.with_columns(conjunto=connected_components(graph, directed=False)[1])
    high = (
        hits.group_by("conjunto", "h")
        .agg(pl.col("out").sum(), comunas=pl.len())
        .filter(pl.col("out") >= rules.peak, pl.col("comunas") >= rules.min_comunas)
    )
    storms = hits.join(high, on="conjunto", how="semi").sort("conjunto", "n").partition_by("conjunto")
    return [storm.select("h", "c").to_numpy() for storm in storms]


def under_way(database: Database, settings: Settings) -> list[str]:
    """A line for each storm that is not over in the newest loaded hour, with its identity so far in brackets.

    There is none before Gold has made customers by comuna.

    Raises:
        DatabaseUnavailable: The database can't be reached.
    """
    with snapshot(database) as connection:
        newest: datetime | None = connection.query(_NEWEST).item()
        if newest is None:
            return []
        first = newest - WINDOW
        loaded = connection.query(_LOADED, first)["hora"]
        panel = connection.query(_PANEL, first)
        customers = connection.query(_CUSTOMERS)
    expected = source_hours(first, newest + HOUR, newest + HOUR)
    months = with_month(expected).select("mes").unique()
    storms, curves = find_storms(
        panel,
        loaded,
        expected["hora"],
        customers.join(months, how="cross"),
        tables.neighbours(),
        StormRules.of(settings),
    )
    sums = curves.group_by("id", "hora").agg(pl.col("clientes_afectados").sum())
    out = {(storm, hour): customers for storm, hour, customers in sums.iter_rows()}
    recent = loaded.sort().tail(2).to_list()
    found = []
    for row in storms.filter("abierta").iter_rows(named=True):
        before, now = (out.get((row["id"], hour), 0) for hour in (recent[0], recent[-1]))
        course = "rising" if now > before else "falling" if now < before else "steady"
        found.append(
            f"A storm is under way since {row['inicio'].astimezone(CHILE):%Y-%m-%d %Hh} in Chile: peak so far"
            f" {counted(row['punta'], 'customer')}, {counted(row['comunas'], 'comuna')},"
            f" {now:,} out now and {course}. [{row['id']}]"
        )
    return found
