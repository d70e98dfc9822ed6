"""The site of the whole history: from nothing, with nothing changed, and with one month changed in every comuna."""

import time
from dataclasses import dataclass, replace

import polars as pl

from benchmarks.measuring import Bench, apart, opened
from benchmarks.results import Figure
from sec_core.blobs.place import open_blobs
from sec_core.clock import SystemClock
from sec_core.config import Settings
from sec_core.gold.build import read_frames
from sec_core.gold.model import as_json
from sec_core.gold.payloads.registry import PAYLOADS
from sec_core.gold.site.pages import draw
from sec_core.gold.standing import SITE
from sec_core.hours import Month

CHANGED = Month(2021, 5)


@dataclass(frozen=True, slots=True)
class Drawn:
    """Seconds, CPU of this process and files written of each drawing; bytes of pages without what they share."""

    wall_s: dict[str, float]
    cpu_s: dict[str, float]
    written: dict[str, int]
    start_bytes: int
    comuna_bytes: int
    all_bytes: int


def measure(here: Bench, settings: Settings) -> list[Figure]:
    """Draw the site of a history of which Gold was built."""
    drawn = apart(here, draw_all, settings).result
    most = {"first": 25.0, "changed": 5.0, "kept": None}
    figures = []
    for name, wall in drawn.wall_s.items():
        label = f"The site, {name}: {drawn.written[name]:,} files written"
        if (target := most[name]) is None:
            figures.append(Figure(f"site_{name}_wall_s", label, wall, "s"))
        else:
            figures.append(Figure(f"site_{name}_wall_s", label, wall, "s", target=f"≤ {target:g}", met=wall <= target))
        figures.append(Figure(f"site_{name}_cpu_s", "  CPU of its process", drawn.cpu_s[name], "s"))
    for name, label, size, bound in (
        ("start", "Start page with its JSON", drawn.start_bytes, 400),
        ("comuna", "Largest page of a comuna, with JSON and CSV", drawn.comuna_bytes, 250),
    ):
        kilo = size / 1000
        figures.append(Figure(f"site_{name}_kb", label, kilo, "kB", target=f"< {bound}", met=kilo < bound))
    return [*figures, Figure("site_mb", "All files of the site", drawn.all_bytes / 1e6, "MB")]


def draw_all(settings: Settings) -> Drawn:
    """Draw it three times."""
    gold = open_blobs(settings.gold)
    with opened(settings) as database:
        collected, _, _ = read_frames(database, gold, settings, SystemClock())
    payloads = {spec.id: as_json(spec.build(collected)) for spec in PAYLOADS}
    of_month = pl.col("mes") == CHANGED.first_day
    saidi = pl.when(of_month).then(pl.col("saidi") * 1.5).otherwise("saidi")
    comunal = collected.indices.comunal.with_columns(saidi=saidi)
    changed = replace(collected, indices=replace(collected.indices, comunal=comunal))
    gold.delete_below(SITE)
    wall, cpu, written = {}, {}, {}
    for name, frames in (("first", collected), ("kept", collected), ("changed", changed)):
        begun, worked = time.perf_counter(), time.process_time()
        done = draw(gold, payloads, frames, settings)
        wall[name], cpu[name] = time.perf_counter() - begun, time.process_time() - worked
        written[name] = len(done.written)
    sizes = {key.removeprefix(SITE): gold.size(key) for key in gold.list(SITE)}
    comunas: dict[str, int] = {}
    for path, size in sizes.items():
        folder = path.rpartition("/")[0]
        comunas[folder] = comunas.get(folder, 0) + size * folder.startswith("comuna/")
    start = sizes["index.html"] + sizes["datos.json"]
    return Drawn(wall, cpu, written, start, max(comunas.values()), sum(sizes.values()))
