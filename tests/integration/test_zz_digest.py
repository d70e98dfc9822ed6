import hashlib
import json
import os
import sys
from pathlib import Path

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import test_gold_storms as ts
from support import gold_world

from sec_core.gold.build import build_gold
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.world import World
from sec_core.source.shapes import Shape


def digest(folder):
    out = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        key = str(path.relative_to(folder))
        if path.suffix == ".parquet":
            f = pl.read_parquet(path, hive_partitioning=False)
            f = f.drop([c for c in f.columns if c in ("version",)])
            body = (str(f.schema) + f.write_ndjson()).encode()
        else:
            body = path.read_bytes()
        out[key] = hashlib.sha256(body).hexdigest()
    return out


@pytest.mark.parametrize("which", ["detailed", "aggregated", "storms"])
def test_digest(which, database, make_settings):
    settings = make_settings()
    if which == "storms":
        outages = tuple(o for p in ts.ALL for o in p.outages())
        world = World(WorldOptions(rows_per_hour=0, stale_rows=0, blank_share=0, holes=(), outages=outages))
        hours = set().union(*map(ts.hours_about, ts.ALL))
        ts.load(database, settings, world, hours, Shape.DETAILED)
        build_gold(database, settings, ts.FixedClock())
    else:
        gold_world.load_world(database, settings, Shape(which))
        build_gold(database, settings, gold_world.FixedClock())
    Path(os.environ["DIGEST_OUT"] + f".{which}.json").write_text(
        json.dumps(digest(settings.gold_dir), indent=0, sort_keys=True)
    )
