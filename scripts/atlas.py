"""The site's `mapa.js` and `comunas.js`, from the reference geometry and tables: `python -m scripts.atlas` writes them.

The comunas are paths on panels: Chile is too long for one picture. A test fails while the files are not current.

Mercator, north up, each panel at its own scale, in whole units. Greater Santiago stands in two: where it is, and large.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from sec_core.gold.site.words import slug
from sec_core.reference.tables import comunas, regiones, topology

if TYPE_CHECKING:
    Point = tuple[float, float]
    Ring = list[Point]

ASSETS: Final = Path("sec_core/gold/site/assets")
# Units that a panel's longer side has.
WIDTH: Final = 2000

# Where people live: the rest of these comunas is rocks, or too far away for the same picture.
_ISLANDS: Final = {
    "05201": ("pascua", (-109.5, -27.25, -109.2, -27.0)),
    "05104": ("juan-fernandez", (-79.05, -33.75, -78.7, -33.55)),
}
_PANELS: Final = {"norte": "15 01 02 03 04", "centro": "05 13 06 07 16 08", "sur": "09 14 10", "austral": "11 12"}
_GREATER_SANTIAGO: Final = {"13201", "13401"} | {f"131{number:02}" for number in range(1, 33)}
# Degrees of longitude beyond which only the islands' own panels show anything.
_WEST: Final = -76.6
# West, south, east and north of the city's panel: some of its comunas reach far beyond the streets.
_CITY: Final = (-70.85, -33.69, -70.47, -33.3)
_WORLD: Final = (-180.0, -85.0, 180.0, 85.0)


@dataclass(frozen=True, slots=True)
class Panel:
    """A part of the map: `paths` by code of the comuna, as SVG path data."""

    id: str
    width: int
    height: int
    paths: dict[str, str]


def generated_files() -> dict[Path, bytes]:
    """Both files, as they should be."""
    atlas = [{"id": p.id, "ancho": p.width, "alto": p.height, "trazos": p.paths} for p in panels()]
    regions = {region.codigo: region.nombre_oficial for region in regiones()}
    index = [[c.codigo, c.nombre_oficial, slug(c.nombre_oficial), regions[c.codigo_region]] for c in comunas()]
    return {
        ASSETS / "mapa.js": b"window.ATLAS=" + orjson.dumps(atlas) + b";\n",
        ASSETS / "comunas.js": b"window.COMUNAS=" + orjson.dumps(index) + b";\n",
    }


@cache
def panels() -> tuple[Panel, ...]:
    """All panels: four from north to south, the city, two islands."""
    shapes = {geometry["id"]: list(_rings(geometry)) for geometry in topology()["objects"]["comunas"]["geometries"]}
    found = []
    for name, regions in _PANELS.items():
        inside = [code for code in sorted(shapes) if code[:2] in regions.split() and code not in _ISLANDS]
        found.append(_panel(name, {code: _near(shapes[code]) for code in inside}))
    city = {code: shapes[code] for code in sorted(_GREATER_SANTIAGO)}
    found.append(_panel("santiago", city, _CITY))
    found += [_panel(name, {code: shapes[code]}, frame) for code, (name, frame) in _ISLANDS.items()]
    return tuple(found)


def _near(rings: list[Ring]) -> list[Ring]:
    return [ring for ring in rings if ring[0][0] > _WEST]


def _panel(name: str, shapes: dict[str, list[Ring]], frame: tuple[float, float, float, float] = _WORLD) -> Panel:
    west, south, east, north = frame
    shapes = {
        code: [
            [(min(max(x, west), east), _mercator(min(max(y, south), north))) for x, y in ring]
            for ring in rings
            if any(west < x < east and south < y < north for x, y in ring)
        ]
        for code, rings in shapes.items()
    }
    points = [point for rings in shapes.values() for ring in rings for point in ring]
    left, right = (bound(x for x, _ in points) for bound in (min, max))
    low, high = (bound(y for _, y in points) for bound in (min, max))
    scale = WIDTH / max(right - left, high - low)

    def place(point: Point) -> tuple[int, int]:
        return round((point[0] - left) * scale), round((high - point[1]) * scale)

    paths = {code: "".join(_path(ring, place) for ring in rings) for code, rings in shapes.items()}
    return Panel(name, math.ceil((right - left) * scale), math.ceil((high - low) * scale), paths)


def _mercator(latitude: float) -> float:
    """Northing in degrees of the equator."""
    return math.degrees(math.log(math.tan(math.pi / 4 + math.radians(latitude) / 2)))


def _path(ring: Ring, place: Callable[[Point], tuple[int, int]]) -> str:
    """A ring as relative steps, points that coincide left out; empty if nothing is left to see."""
    placed = [place(point) for point in ring]
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(placed) if a != b]
    if len(steps) < 3:
        return ""
    return f"M{placed[0][0]} {placed[0][1]}l" + " ".join(f"{x} {y}" for x, y in steps[:-1]).replace(" -", "-") + "z"


def _rings(geometry: dict[str, Any]) -> Iterator[Ring]:
    polygons = [geometry["arcs"]] if geometry["type"] == "Polygon" else geometry["arcs"]
    for polygon in polygons:
        for ring in polygon:
            yield _joined(ring)


def _joined(numbers: Sequence[int]) -> Ring:
    """The arcs of a ring as one line; a negative number is the same arc, walked backwards."""
    line: Ring = []
    for number in numbers:
        arc = _arc(number) if number >= 0 else _arc(~number)[::-1]
        line += arc[1:] if line else arc
    return line


@cache
def _arc(number: int) -> Ring:
    """An arc in degrees: TopoJSON keeps whole steps from point to point."""
    (sx, sy), (tx, ty) = topology()["transform"]["scale"], topology()["transform"]["translate"]
    x = y = 0
    line = []
    for dx, dy in topology()["arcs"][number]:
        x, y = x + dx, y + dy
        line.append((x * sx + tx, y * sy + ty))
    return line


if __name__ == "__main__":
    for file, body in generated_files().items():
        file.write_bytes(body)
