"""Storms: hours in which many comunas of one area are without power, from the first cut to the restoration.

A comuna-hour is *hit* when its customers out reach a number and a share of its customers. Hits belong together when
they are of one comuna in neighbouring loaded hours, or of neighbouring comunas in one hour. A connected set is a
storm when its hits of some hour reach `peak` customers in at least `min_comunas` comunas.

Its curve is what its comunas have out above their usual level, from the first hit until the curve stays at or under 5%
of its peak for two loaded hours, 30 days at most. Hits after that begin a new set, so sets are cut in time order and
each piece is looked at again: what only a later hit had joined falls apart.

What a gap hides is null: a value is given only if the hours that decide it are loaded.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sec_core.hours import CHILE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

USUAL_HOURS: Final = 168
"""The usual level of a comuna is its median over so many hours before the first hit."""

END_SHARE: Final = 0.05
END_HOURS: Final = 2
LONGEST_HOURS: Final = 720
_HOUR_US: Final = 3_600_000_000

STORMS_SCHEMA: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    "id": pl.String,
    "inicio": pl.Datetime("us", "UTC"),
    "fin": pl.Datetime("us", "UTC"),
    "hora_punta": pl.Datetime("us", "UTC"),
    "punta": pl.Int64,
    "cliente_horas": pl.Int64,
    "comunas": pl.Int32,
    "regiones": pl.String,
    "horas_hasta_punta": pl.Int32,
    "horas_50": pl.Int32,
    "horas_90": pl.Int32,
    "horas_95": pl.Int32,
    "salidas": pl.Int64,
    "reposiciones": pl.Int64,
    "reposicion_maxima": pl.Int64,
    "cobertura": pl.Float64,
    "abierta": pl.Boolean,
}
CURVES_SCHEMA: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    "id": pl.String,
    "hora": pl.Datetime("us", "UTC"),
    "codigo_comuna": pl.String,
    "clientes_afectados": pl.Int64,
}


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


@dataclass(frozen=True, slots=True)
class _World:
    """The panel as arrays.

    Attributes:
        hours: Loaded hours, microseconds since 1970, in order.
        codes: Codes of the comunas, in order.
        values: Customers out, by hour and comuna.
        expected: All hours that the source can have, microseconds, in order.
    """

    hours: NDArray[np.int64]
    codes: list[str]
    values: NDArray[np.int32]
    expected: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Curve:
    """A storm as arrays.

    Attributes:
        first: Position of its first loaded hour.
        lowest: Position of the lowest code hit in it.
        comunas: Positions of its comunas.
        excess: What they have out above their usual level, by loaded hour and comuna; with the hours that end it.
        hours: Number of loaded hours before its end.
        end: Its end, microseconds; None while it is open.
    """

    first: int
    lowest: int
    comunas: NDArray[np.int64]
    excess: NDArray[np.int64]
    hours: int
    end: np.int64 | None


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
        panel: hora (UTC), codigo_comuna, clientes_afectados; the listed comunas of loaded hours, UNKNOWN left out.
        loaded: Hours with data that is not suspect, in any order.
        expected: All hours that the source can have, at least from the first loaded to the last.
        customers: mes (Date, the month in Chile), codigo_comuna, clientes; a comuna-hour without them is never hit.
        neighbours: Pairs of codes.
        rules: What a storm is.

    Returns:
        The storms by `STORMS_SCHEMA`, in the order of their beginning, and their curves by `CURVES_SCHEMA`: the excess
        of each comuna in each loaded hour of its window, without zeros. The peak is the highest value seen.
    """
    world = _world(panel, loaded, expected)
    curves = sorted(
        _curves(world, _hits(world, panel, customers, rules), neighbours, rules),
        key=lambda curve: (curve.first, curve.lowest),
    )
    rows = [_measure(world, curve) for curve in curves]
    hours = [_curve_rows(world, curve) for curve in curves]
    return (
        pl.DataFrame(rows, schema=STORMS_SCHEMA, orient="row"),
        pl.concat(hours) if hours else pl.DataFrame(schema=CURVES_SCHEMA),
    )


def storm_id(first: datetime, lowest_code: str) -> str:
    """The identity of a storm: MD5 of `YYYYMMDDTHH|code`, first hour in Chile and lowest code hit in it."""
    key = f"{first.astimezone(CHILE):%Y%m%dT%H}|{lowest_code}"
    return str(uuid.UUID(hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()))


def _world(panel: pl.DataFrame, loaded: pl.Series, expected: pl.Series) -> _World:
    hours = loaded.unique().sort()
    codes = panel["codigo_comuna"].unique().sort()
    values = np.zeros((len(hours), len(codes)), dtype=np.int32)
    placed = (
        panel.select("hora", "clientes_afectados", pl.col("codigo_comuna").cast(pl.String))
        .join(pl.DataFrame({"hora": hours}).with_row_index("h"), on="hora")
        .join(pl.DataFrame({"codigo_comuna": codes.cast(pl.String)}).with_row_index("c"), on="codigo_comuna")
    )
    values[placed["h"].to_numpy(), placed["c"].to_numpy()] = placed["clientes_afectados"].clip(0, 2**31 - 1).to_numpy()
    return _World(
        hours=hours.dt.epoch("us").to_numpy(),
        codes=codes.cast(pl.String).to_list(),
        values=values,
        expected=expected.unique().sort().dt.epoch("us").to_numpy(),
    )


def _hits(world: _World, panel: pl.DataFrame, customers: pl.DataFrame, rules: StormRules) -> NDArray[np.int64]:
    """Hits as rows of (hour, comuna), both as positions, ordered by hour and comuna."""
    wall = pl.col("hora").dt.convert_time_zone(str(CHILE))
    hit = (
        panel.filter(pl.col("clientes_afectados") >= rules.min_customers)
        .with_columns(pl.col("codigo_comuna").cast(pl.String), mes=wall.dt.date().dt.month_start())
        .join(customers.select("mes", "codigo_comuna", "clientes"), on=["mes", "codigo_comuna"])
        .filter(pl.col("clientes") > 0, pl.col("clientes_afectados") >= rules.share * pl.col("clientes"))
    )
    hour = np.searchsorted(world.hours, hit["hora"].dt.epoch("us").to_numpy())
    known = (hour < len(world.hours)) & np.isin(hit["hora"].dt.epoch("us").to_numpy(), world.hours)
    comuna = np.searchsorted(np.array(world.codes, dtype=str), hit["codigo_comuna"].to_numpy().astype(str))
    cells = np.unique(np.column_stack([hour[known], comuna[known]]).astype(np.int64), axis=0)
    return cells.reshape(-1, 2)


def _curves(
    world: _World, hits: NDArray[np.int64], neighbours: Collection[tuple[str, str]], rules: StormRules
) -> Iterator[_Curve]:
    """All storms among some hits."""
    borders = _border_positions(world.codes, neighbours)
    waiting = list(_sets(world, hits, borders, rules))
    while waiting:
        cells = waiting.pop()
        if not _is_storm(world, cells, rules):
            continue
        curve = _curve(world, cells)
        if not curve.excess.any():
            # Nothing above the usual level: what a storm before it left.
            continue
        inside = cells[:, 0] < curve.first + len(curve.excess)
        if not inside.all():
            # What only a later hit had joined may fall apart, and need not be a storm by itself.
            waiting += [*_sets(world, cells[inside], borders, rules), *_sets(world, cells[~inside], borders, rules)]
            continue
        yield curve


def _border_positions(codes: Sequence[str], neighbours: Collection[tuple[str, str]]) -> NDArray[np.int64]:
    """Pairs of neighbours as positions in `codes`, both ways."""
    at = {code: number for number, code in enumerate(codes)}
    pairs = [(at[a], at[b]) for a, b in neighbours if a in at and b in at]
    both = pairs + [(b, a) for a, b in pairs]
    return np.array(both, dtype=np.int64).reshape(-1, 2)


def _sets(
    world: _World, cells: NDArray[np.int64], borders: NDArray[np.int64], rules: StormRules
) -> Iterator[NDArray[np.int64]]:
    """The connected sets of some hits, each ordered by hour and comuna."""
    if not len(cells):
        return
    width = len(world.codes)
    keys = cells[:, 0] * width + cells[:, 1]
    near = np.diff(world.hours) <= rules.max_gap_hours * _HOUR_US
    go_on = cells[:, 0] < len(near)
    go_on[go_on] = near[cells[go_on, 0]]
    from_, to = [np.flatnonzero(go_on)], [keys[go_on] + width]
    order = np.argsort(borders[:, 0], kind="stable")
    sorted_borders = borders[order]
    starts = np.searchsorted(sorted_borders[:, 0], np.arange(width + 1))
    counts = (starts[1:] - starts[:-1])[cells[:, 1]]
    source = np.repeat(np.arange(len(cells)), counts)
    offset = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    beside = sorted_borders[starts[cells[source, 1]] + offset, 1]
    from_.append(source)
    to.append(cells[source, 0] * width + beside)
    edge_from, edge_to = np.concatenate(from_), np.concatenate(to)
    place = np.minimum(np.searchsorted(keys, edge_to), len(keys) - 1)
    real = keys[place] == edge_to
    graph = coo_array(
        (np.ones(int(real.sum()), dtype=np.int8), (edge_from[real], place[real])), shape=(len(keys), len(keys))
    )
    count, label = connected_components(graph, directed=False)
    order = np.argsort(label, kind="stable")
    yield from np.split(cells[order], np.searchsorted(label[order], np.arange(1, count)))


def _is_storm(world: _World, cells: NDArray[np.int64], rules: StormRules) -> bool:
    """Whether the hits of some hour reach the peak in enough comunas."""
    if len(cells) < rules.min_comunas:
        return False
    hours = cells[:, 0] - cells[0, 0]
    out = np.bincount(hours, weights=world.values[cells[:, 0], cells[:, 1]])
    return bool(np.any((out >= rules.peak) & (np.bincount(hours) >= rules.min_comunas)))


def _curve(world: _World, cells: NDArray[np.int64]) -> _Curve:
    """The window of a set and what its comunas have out above their usual level."""
    first, lowest = (int(each) for each in cells[0])
    start = world.hours[first]
    comunas = np.unique(cells[:, 1])
    before = int(np.searchsorted(world.hours, start - USUAL_HOURS * _HOUR_US))
    usual = np.median(world.values[before:first, comunas], axis=0) if before < first else np.zeros(len(comunas))
    limit = start + LONGEST_HOURS * _HOUR_US
    longest = int(np.searchsorted(world.hours, limit))
    excess = np.rint(np.maximum(world.values[first:longest, comunas] - usual, 0)).astype(np.int64)
    total = excess.sum(axis=1)
    peak_so_far = np.maximum.accumulate(total)
    low = (total <= END_SHARE * peak_so_far) & (peak_so_far > 0)
    ends = np.flatnonzero(low[:-1] & low[1:])
    if len(ends):
        stop = int(ends[0])
        return _Curve(first, lowest, comunas, excess[: stop + END_HOURS], stop, world.hours[first + stop])
    return _Curve(first, lowest, comunas, excess, len(excess), limit if longest < len(world.hours) else None)


def _name(world: _World, curve: _Curve) -> str:
    return storm_id(_instant(world.hours[curve.first]), world.codes[curve.lowest])


def _measure(world: _World, curve: _Curve) -> tuple[object, ...]:
    """A row of `STORMS_SCHEMA`."""
    total = curve.excess.sum(axis=1)
    hours = world.hours[curve.first : curve.first + len(total)]
    peak_at = int(np.argmax(total))
    whole = _no_gap(world, curve.first, curve.first + len(total) - 1)
    begin_seen = _no_gap(world, curve.first - 1, curve.first)
    peak_seen = begin_seen and _no_gap(world, curve.first, min(curve.first + peak_at + 1, len(world.hours) - 1))
    change = np.diff(total[: curve.hours + 1], prepend=0)
    expected = _expected_between(world, hours[0], hours[-1] + _HOUR_US if curve.end is None else curve.end)
    return (
        _name(world, curve),
        _instant(hours[0]),
        None if curve.end is None else _instant(curve.end),
        _instant(hours[peak_at]),
        int(total[peak_at]),
        int(total[: curve.hours].sum()) if whole else None,
        len(curve.comunas),
        ",".join(sorted({world.codes[int(comuna)][:2] for comuna in curve.comunas})),
        _hours_between(hours[0], hours[peak_at]) if peak_seen else None,
        *(_restored(world, curve, total, peak_at, left) for left in (0.5, 0.1, 0.05)),
        int(change[change > 0].sum()) if whole and begin_seen else None,
        int(-change[change < 0].sum()) if whole else None,
        int(max(-change.min(), 0)) if whole else None,
        curve.hours / expected,
        curve.end is None,
    )


def _restored(world: _World, curve: _Curve, total: NDArray[np.int64], peak_at: int, share: float) -> int | None:
    """Hours from the peak until the curve first is at or under a share of it; None while open or behind a gap."""
    under = np.flatnonzero(total[peak_at:] <= share * total[peak_at])
    if not len(under):
        return None
    at = curve.first + peak_at + int(under[0])
    return _hours_between(world.hours[curve.first + peak_at], world.hours[at]) if _no_gap(world, at - 1, at) else None


def _no_gap(world: _World, first: int, last: int) -> bool:
    """Whether all expected hours between two loaded ones are loaded too."""
    if first < 0:
        return False
    return _expected_between(world, world.hours[first], world.hours[last]) == last - first


def _expected_between(world: _World, start: np.int64, end: np.int64) -> int:
    first, last = np.searchsorted(world.expected, [start, end])
    return int(last - first)


def _hours_between(start: np.int64, end: np.int64) -> int:
    return int((end - start) // _HOUR_US)


def _instant(microseconds: np.int64) -> datetime:
    instant: datetime = pl.Series([int(microseconds)]).cast(pl.Datetime("us", "UTC")).item()
    return instant


def _curve_rows(world: _World, curve: _Curve) -> pl.DataFrame:
    """Rows of `CURVES_SCHEMA`."""
    hour, comuna = np.nonzero(curve.excess)
    return pl.DataFrame(
        {
            "id": [_name(world, curve)] * len(hour),
            "hora": world.hours[curve.first + hour],
            "codigo_comuna": [world.codes[int(curve.comunas[each])] for each in comuna],
            "clientes_afectados": curve.excess[hour, comuna],
        }
    ).cast(pl.Schema(CURVES_SCHEMA))
