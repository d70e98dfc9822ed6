"""Storms planted in simulated worlds come back through Silver and Gold as they were planted."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from sqlalchemy import text
from support.fixtures import StandingClock, on_disk
from support.gold_world import bring_in, give_customers
from support.reference_rules import source_hours
from support.silver_world import MemoryBronze
from support.storm_reference import World as Reference
from support.storm_reference import reference_storms

from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.gold.build import build_gold
from sec_core.gold.storm_curves import storm_id
from sec_core.gold.storms import StormRules, under_way
from sec_core.hours import HOUR, Month
from sec_core.reference.tables import neighbours
from sec_core.silver.universe import store_universe
from sec_core.simulator.answers import hour_body
from sec_core.simulator.country import parse_wall_hour as at
from sec_core.simulator.options import Outage, WorldOptions
from sec_core.simulator.world import World
from sec_core.source.answers import read_regions
from sec_core.source.shapes import Shape

NOW = datetime(2024, 12, 1, 12, tzinfo=UTC)
SHAPE = (1000, 4000, 6000, 3000, 2900, 500, 200, 0)
SANTIAGO = ("13101", "13120", "13123", "13132")
CONCEPCION = ("08101", "08102", "08108", "08112")
# Two of them are islands, joined to the large one by sea alone.
CHILOE = ("10206", "10203", "10201", "10205", "10204")


@dataclass
class Planted:
    """One storm: where, since when, and what it adds to whom; `missing` hours from its beginning on have no data."""

    start: datetime
    codes: tuple[str, ...] = SANTIAGO
    shape: tuple[int, ...] = SHAPE
    also: dict[str, tuple[int, tuple[int, ...]]] = field(default_factory=dict)
    missing: tuple[int, ...] = ()

    @property
    def id(self) -> str:
        return storm_id(self.start, min(self.codes))

    def outages(self) -> list[Outage]:
        own = [Outage(code, "CGE", self.start, self.shape) for code in self.codes]
        return own + [Outage(code, "CGE", self.start + late * HOUR, shape) for code, (late, shape) in self.also.items()]


SINGLE = Planted(at("2024-05-05T12"))
APART = (Planted(at("2024-05-15T12")), Planted(at("2024-05-15T12"), CONCEPCION))
MEETING = Planted(at("2024-05-25T03"), SANTIAGO[:2], also={SANTIAGO[2]: (3, SHAPE), SANTIAGO[3]: (3, SHAPE)})
MONTH_END = Planted(at("2024-06-30T21"))
AUTUMN = Planted(at("2024-04-06T21"))
SPRING = Planted(at("2024-09-07T21"))
HOLE = Planted(at("2024-07-10T12"), missing=(1, 3, 4))
FIRST = Planted(at("2024-08-10T12"), also={SANTIAGO[0]: (0, (500,) * 13)})
SECOND = Planted(at("2024-08-11T00"))
ISLANDS = Planted(at("2024-10-10T12"), CHILOE)
ALL = (SINGLE, *APART, MEETING, MONTH_END, AUTUMN, SPRING, HOLE, FIRST, SECOND, ISLANDS)


def hours_about(planted: Planted, until: int = 40) -> set[datetime]:
    """Hours from ten before a storm on that have data."""
    hours = source_hours(planted.start - 10 * HOUR, planted.start + (until - 1) * HOUR)
    return set(hours) - {planted.start + n * HOUR for n in planted.missing}


def world_of(*outages: Outage) -> World:
    return World(WorldOptions(rows_per_hour=0, stale_rows=0, blank_share=0, holes=(), outages=outages))


def by_definition(world: World, hours: set[datetime], settings: Settings) -> list[dict[str, Any]]:
    """What the storms of a world are measured as, by the letter of their definition."""
    values: dict[datetime, dict[str, int]] = {hour: {} for hour in hours}
    for outage in world.options.outages:
        for step, customers in enumerate(outage.course):
            row = values.get(outage.start + step * HOUR, {})
            row[outage.comuna] = row.get(outage.comuna, 0) + (customers or 0)
    comunas = pl.read_parquet(on_disk(settings.gold) / "comunas.parquet").select("codigo_comuna", "clientes")
    expected = pl.read_parquet(on_disk(settings.gold) / "horas.parquet")["hora"].to_list()
    borders = {*neighbours(), *((second, first) for first, second in neighbours())}
    reference = Reference(values, dict(comunas.iter_rows()), borders, expected)
    return [storm.figures for storm in reference_storms(reference, StormRules())]


FixedClock = partial(StandingClock, NOW)


def load(database: Database, settings: Settings, world: World, hours: set[datetime], shape: Shape) -> None:
    """Bring hours of a world into Silver, and note them in the ledger."""
    bronze = MemoryBronze()
    for hour in sorted(hours):
        bronze.put(hour, shape, hour_body(world, hour, shape))
    bring_in(database, settings, bronze)
    give_customers(database, "2024-05-01")


def test_the_wind_of_august_2024(
    database: Database, make_settings: Callable[..., Settings], captures_dir: Path
) -> None:
    settings, bronze = make_settings(), MemoryBronze()
    bronze.put_file(captures_dir / "por_fecha" / "aggregated" / "2024-08-02T12.json")
    regions = (captures_dir / "clientes_regional" / "todas.captured-2024-08-06.json").read_bytes()
    # Regions are scaled to what GetClientesNacional answered: 1.25 times their sum.
    store_universe(database, read_regions(regions), 8_156_814, datetime(2024, 8, 6, 12, tzinfo=UTC))
    bring_in(database, settings, bronze)
    build_gold(database, settings, FixedClock())
    (storm,) = pl.read_parquet(on_disk(settings.gold) / "tormentas.parquet").to_dicts()
    assert (storm["comunas"], storm["punta"]) == (226, 1_161_175)
    assert "13" in storm["regiones"].split(",")
    assert storm["nombre"] == "Temporal de viento del 1 al 3 de agosto de 2024"


@pytest.mark.parametrize("shape", list(Shape))
def test_planted_storms_come_back(shape: Shape, database: Database, make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    # A single comuna above the peak is no storm.
    alone = Outage("05109", "CGE", SINGLE.start, (30_000,) * 8)
    world = world_of(*(outage for planted in ALL for outage in planted.outages()), alone)
    hours = set[datetime]().union(*map(hours_about, ALL))
    load(database, settings, world, hours, shape)
    build_gold(database, settings, FixedClock())
    storms = pl.read_parquet(on_disk(settings.gold) / "tormentas.parquet")
    wanted = by_definition(world, hours, settings)
    assert storms.drop("nombre", "nota").to_dicts() == wanted
    assert {planted.id for planted in ALL if planted is not SECOND} < {storm["id"] for storm in wanted}
    assert storms.height == len(ALL)
    assert "Se vio el 50 % de sus horas" in storms.filter(id=HOLE.id)["nota"].item()

    companies = pl.read_parquet(on_disk(settings.gold) / "kept" / "storm_companies.parquet")
    named = companies.filter(id=SINGLE.id).group_by("nombre_empresa").agg(pl.col("clientes_afectados").max())
    assert named.rows() == ([("CGE", 24_000)] if shape is Shape.DETAILED else [])

    with database.engine.connect() as connection:
        table = connection.execute(text("SELECT * FROM tormentas ORDER BY inicio, id")).mappings().all()
        payload = connection.execute(text("SELECT data FROM dashboard_stats WHERE id = 'storms'")).scalar_one()
    assert [dict(row) for row in table] == storms.to_dicts()
    assert sorted(row["id"] for row in payload) == sorted(storms["id"])
    assert set(payload[0]) == set(storms.columns)
    assert [row["punta"] for row in payload] == sorted((row["punta"] for row in payload), reverse=True)
    curve = pl.read_parquet(on_disk(settings.gold) / "tormentas_horas.parquet").filter(id=SINGLE.id)
    assert curve.group_by("hora").agg(pl.col("clientes_afectados").sum())["clientes_afectados"].max() == 24_000


def test_hits_of_an_earlier_month_join_a_storm(database: Database, make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    world, hours = world_of(*MONTH_END.outages()), hours_about(MONTH_END)
    found = []
    for month in (Month(2024, 7), Month(2024, 6), Month(2024, 6)):
        load(database, settings, world, {hour for hour in hours if Month.of(hour) == month}, Shape.DETAILED)
        build_gold(database, settings, FixedClock())
        with database.engine.connect() as connection:
            found.append([dict(row) for row in connection.execute(text("SELECT * FROM tormentas")).mappings()])
    ((late,), (whole,), (again,)) = found
    assert (late["id"], late["inicio"]) == (storm_id(Month(2024, 7).start, "13101"), Month(2024, 7).start)
    (wanted,) = by_definition(world, hours, settings)
    assert whole == whole | wanted
    assert again == whole


def test_suspect_hours_count_as_without_data(database: Database, make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    load(database, settings, world_of(*SINGLE.outages()), hours_about(SINGLE), Shape.DETAILED)
    with database.engine.begin() as connection:
        top = SINGLE.start + 2 * HOUR
        connection.execute(text("UPDATE capturas SET sospechosa = true WHERE hora = :hour"), {"hour": top})
    build_gold(database, settings, FixedClock())
    (storm,) = orjson.loads((on_disk(settings.gold) / "dashboard_stats" / "storms.json").read_bytes())
    assert (storm["punta"], storm["cliente_horas"]) == (16_000, None)


def test_a_storm_under_way_is_noticed(database: Database, make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    assert under_way(database, settings) == [], "nothing is loaded yet"
    world = world_of(*SINGLE.outages())
    load(database, settings, world, hours_about(SINGLE, 2), Shape.DETAILED)
    assert under_way(database, settings) == [], "customers of comunas are not known before Gold was made"
    assert [row.punta for row in build_gold(database, settings, FixedClock()).new_storms] == [16_000]
    (storm,) = under_way(database, settings)
    assert storm == (
        "A storm is under way since 2024-05-05 12h in Chile: peak so far 16,000 customers, 4 comunas,"
        f" 16,000 out now and rising. [{SINGLE.id}]"
    )
    load(database, settings, world, hours_about(SINGLE, 5), Shape.DETAILED)
    (storm,) = under_way(database, settings)
    assert storm.endswith(f"24,000 customers, 4 comunas, 11,600 out now and falling. [{SINGLE.id}]")
    load(database, settings, world, hours_about(SINGLE, 20), Shape.DETAILED)
    assert under_way(database, settings) == []
    assert build_gold(database, settings, FixedClock()).new_storms == [], "the same one, known by its identity"
