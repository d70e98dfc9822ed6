"""A worker of its own: loads months of a made-up Bronze into a database, so that a test can kill it.

Run as `python -m support.load_process URL DATA_DIR MONTH…`; it says `ready` when it could begin, begins when it reads a
line, and says `done` at the end.
"""

import random
import sys
from datetime import date, timedelta
from pathlib import Path

from sec_core.config import load_settings
from sec_core.db.database import Database
from sec_core.hours import CHILE, Month
from sec_core.reference import tables
from sec_core.silver.load import load_month
from sec_core.source.shapes import Shape
from support.reference_rules import Hour, Listed
from support.silver_world import MemoryBronze, body_of

MONTHS = [Month(2025, 3), Month(2025, 4), Month(2025, 5)]
# Every so many hours of a month have a body.
STEP = 12


def made_up_bronze() -> MemoryBronze:
    """Three months of both shapes, a few hundred rows each; the same in every process."""
    rng = random.Random(7)
    places = [comuna.id_geografia for comuna in tables.comunas()]
    bronze = MemoryBronze()
    for month in MONTHS:
        for hour in month.hours()[::STEP]:
            day = hour.astimezone(CHILE).date()
            here = rng.sample(places, 20)
            if day.day <= 6:
                rows = [Listed(place, 3, day - timedelta(days=rng.randrange(3)), rng.randrange(300)) for place in here]
                rows.append(Listed(places[0], 15, date(2024, 2, 19), 5))
                bronze.put(hour, Shape.DETAILED, body_of(Hour("detailed", rows)))
            else:
                rows = [Listed(place, 1, None, rng.randrange(200)) for place in here]
                bronze.put(hour, Shape.AGGREGATED, body_of(Hour("aggregated", rows)))
    return bronze


def main() -> None:
    """Load the months named in the arguments, in their order."""
    url, data_dir, *months = sys.argv[1:]
    database = Database(url)
    settings = load_settings(_env_file=None, data_dir=Path(data_dir), database_url=url)
    bronze = made_up_bronze()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for month in months:
        load_month(database, bronze.read, Month.parse(month), settings, values=bronze)
    sys.stdout.write("done\n")


if __name__ == "__main__":
    main()
