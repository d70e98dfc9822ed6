"""Loads of several months at once, beside what needs all months for itself: the same tables, no waiting forever."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import partial

import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config
from support.fixtures import MakeSettings
from support.reference_rules import Hour, Listed, utc
from support.silver_world import MONTHS, NUNOA, MemoryBronze, Silver, body_of, world

from sec_core.db import schema
from sec_core.db.database import Database
from sec_core.db.schema import migrate
from sec_core.hours import HOUR, Month
from sec_core.silver.universe import store_universe
from sec_core.source.answers import RegionCustomers
from sec_core.source.shapes import Shape
from sec_core.usecases.upkeep import apply_retention


def together(work: list[Callable[[], object]]) -> None:
    with ThreadPoolExecutor(len(work)) as pool:
        for done in [pool.submit(each) for each in work]:
            done.result()


def outages_over_borders() -> MemoryBronze:
    """Three months of the source's two shapes: detailed outages that every month lists, and runs over each border."""
    bronze = world()
    old = [Listed(NUNOA, 15, date(2025, 5, day), 10 * day) for day in range(1, 29)]
    for step in range(0, 24 * 62, 11):
        hour = utc(2025, 5, 2, 4) + HOUR * step
        rows = [row for row in old if row.start is not None and row.start < hour.date()]
        if rows and hour.day not in {30, 31, 1, 2}:
            bronze.put(hour, Shape.DETAILED, body_of(Hour("detailed", rows)))
    return bronze


@pytest.mark.parametrize("seed", range(6))
def test_months_loaded_at_once_equal_months_loaded_in_turn(silver: Silver, seed: int) -> None:
    chance = random.Random(seed)
    bronze = silver.bronze = outages_over_borders()
    silver.load()
    expected = silver.export()
    assert len({row[0] for row in expected["tramos"] if row[4] == date(2025, 5, 3)}) == 3
    silver.clear()
    hours = chance.sample(sorted(bronze.held), 4)
    work: list[Callable[[], object]] = [partial(silver.load, month, force=True) for month in MONTHS * 2]
    work.append(lambda: silver.load_hours(hours))
    chance.shuffle(work)
    together(work)
    assert silver.export() == expected
    assert silver.rows("select count(*) from pg_inherits where inhparent = 'fact_observaciones'::regclass") == [(3,)]


@pytest.mark.parametrize("seed", range(4))
def test_loads_beside_retention_new_rules_and_customers_end_as_they_should(silver: Silver, seed: int) -> None:
    chance = random.Random(seed)
    strict, silver.bronze = silver.make_settings(event_threshold=10), outages_over_borders()
    regions = [RegionCustomers("13", "Region Metropolitana de Santiago", "052019", 350)]
    store_universe(silver.database, regions, None, utc(2025, 6, 1, 12))
    silver.load(by=strict)
    expected = {table: rows for table, rows in silver.export().items() if table != "fact_observaciones"}
    work: list[Callable[[], object]] = [
        partial(silver.load, month, by=chosen, force=chance.random() < 0.8)
        for month in MONTHS
        for chosen in (silver.settings, strict)
    ]
    work += [
        lambda: apply_retention(silver.database, silver.settings, keep_days=30),
        lambda: store_universe(silver.database, regions, None, utc(2025, 6, 1, 12)),
    ]
    chance.shuffle(work)
    together(work)
    silver.load(by=strict)
    assert {table: rows for table, rows in silver.export().items() if table != "fact_observaciones"} == expected


def test_a_history_that_loses_its_last_hour_is_empty(silver: Silver) -> None:
    bronze = silver.bronze
    hour, month = utc(2025, 6, 15, 16), Month(2025, 6)
    bronze.put(hour, Shape.DETAILED, body_of(Hour("detailed", [Listed(NUNOA, 15, date(2025, 6, 14), 300)])))
    assert silver.load(month)[0].events_new == 1
    del bronze.held[hour]
    (report,) = silver.load(month)
    assert (report.hours_removed, report.events_removed) == (1, 1)
    assert not any(silver.export().values())


def test_a_database_of_the_first_version_goes_on(empty_database: Database, make_settings: MakeSettings) -> None:
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS_DIR))
    config.set_main_option("path_separator", "newline")
    with empty_database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(sqlalchemy.text("select asegurar_particion('2025-05-01')"))
    migrate(empty_database.engine)
    silver = Silver(empty_database, partial(make_settings, database_url=empty_database.url))
    silver.bronze = world()
    silver.load()
    names = silver.rows("select inhrelid::regclass::text from pg_inherits order by 1")
    assert {name for (name,) in names if "observaciones_2025" in name and not name.endswith("_key")} == {
        "fact_observaciones_202505",
        "fact_observaciones_202506",
        "fact_observaciones_202507",
    }
