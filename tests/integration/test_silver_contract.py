"""Silver's promises that no other test holds: clocks, late imports, sums, counts, denominators, live views, archive."""

import shutil
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import orjson
import polars as pl
import pytest
from support.fixtures import StandingClock, contents, on_disk
from support.reference_rules import Hour, Listed, utc
from support.silver_world import NUNOA, MemoryBronze, Silver, aggregated, body_of

from sec_core.gold.build import build_gold
from sec_core.hours import CHILE, HOUR, Month, day_start, from_wall, hours_of_day, id_tiempo
from sec_core.reference import tables
from sec_core.silver.universe import store_universe
from sec_core.simulator.answers import hour_body
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.world import World
from sec_core.source.answers import RegionCustomers
from sec_core.source.shapes import Shape
from sec_core.usecases.upkeep import apply_retention

# Days of 23 or 25 hours; in April the source knows 24 of the 25.
CHANGES = [
    day
    for year in range(2017, 2027)
    for day in (date(year, 1, 1) + timedelta(days=step) for step in range(365))
    if day_start(day + timedelta(days=1)) - day_start(day) != timedelta(hours=24)
]


# --- real hours ---


def test_every_year_changes_its_clock_twice() -> None:
    assert len(CHANGES) == 20
    assert Counter(day.year for day in CHANGES) == dict.fromkeys(range(2017, 2027), 2)


@pytest.mark.parametrize("shape", list(Shape))
def test_every_change_of_the_clock_and_turn_of_a_year_is_loaded_hour_by_hour(shape: Shape, silver: Silver) -> None:
    """An outage over each change, each turn of a year and each February 29: hours, sums and keys are the source's."""
    bronze = silver.bronze
    turns = [date(year, 12, 31) for year in range(2017, 2027, 3)]
    leap = [date(2020, 2, 28), date(2024, 2, 29)]
    expected: list[tuple[Any, ...]] = []
    for day in sorted([*CHANGES, *turns, *leap]):
        # The hours from 20h of the day before to 5h of the day after: the change lies within.
        before, after = hours_of_day(day - timedelta(days=1)), hours_of_day(day + timedelta(days=1))
        hours = [*before[20:], *hours_of_day(day), *after[:5]]
        start = day - timedelta(days=1)
        for number, hour in enumerate(hours):
            row = Listed(NUNOA, 1, None, 100 + number)
            if shape is Shape.DETAILED:
                row = Listed(NUNOA, 15, start, 100 + number)
            bronze.put(hour, shape, body_of(Hour(shape.value, [row])))
        inicio = day_start(start) if shape is Shape.DETAILED else hours[0]
        total = sum(range(100, 100 + len(hours)))
        expected.append((inicio, id_tiempo(inicio), hours[0], hours[-1], hours[-1], 99 + len(hours), total, len(hours)))
    silver.load()
    assert silver.rows("select hora from cargas order by hora") == [(hour,) for hour in sorted(bronze.held)]
    found = silver.rows(
        """
        select e.inicio, e.id_tiempo, primera_hora, ultima_hora, hora_maximo, clientes_afectados, cliente_horas,
            n_observaciones
        from fact_interrupciones e join dim_tiempo t on t.id_tiempo = e.id_tiempo and t.inicio = e.inicio
        order by primera_hora
        """,
    )
    assert found == expected
    per_day = Counter(hour.astimezone(CHILE).date() for hour in bronze.held)
    assert {per_day[day] for day in CHANGES if day.month in {8, 9}} == {23}
    assert {per_day[day] for day in CHANGES if day.month in {4, 5}} == {24}
    by_wall = "select (hora at time zone 'America/Santiago')::date, count(*)::int from cargas group by 1"
    assert {row[0]: row[1] for row in silver.rows(by_wall)} == per_day


def test_the_hours_that_do_not_exist_are_the_only_gaps_of_the_line(silver: Silver) -> None:
    """With no gap allowed at all, an outage over both changes of a year stays one event each."""
    bronze = silver.bronze
    for first in (date(2024, 4, 6), date(2024, 9, 7)):
        for day in (first, first + timedelta(days=1)):
            for hour in hours_of_day(day):
                bronze.put(hour, Shape.AGGREGATED, aggregated(500))
    steps = {later - earlier for earlier, later in pairwise(sorted(bronze.held)) if later - earlier < timedelta(days=1)}
    assert steps == {HOUR, 2 * HOUR}
    silver.load(by=silver.make_settings(event_close_hours=1, event_max_gap_hours=0))
    assert silver.rows("select n_observaciones from fact_interrupciones order by inicio") == [(48,), (47,)]


# --- both shapes, one history ---


def made_world(seed: int) -> tuple[World, list[datetime]]:
    world = World(WorldOptions.tiny(seed=seed))
    hours = [hour for step in range(6) for hour in hours_of_day(date(2025, 6, 28) + timedelta(days=step))]
    return world, hours


def legacy_hour(hour: datetime) -> bool:
    wall = hour.astimezone(CHILE)
    return wall.day % 2 == 0 and wall.hour % 6 == 0


def test_a_detailed_import_into_loaded_months_equals_having_had_it_first(silver: Silver) -> None:
    world, hours = made_world(3)
    late, first = silver.bronze, MemoryBronze()
    for hour in hours:
        body = hour_body(world, hour, Shape.AGGREGATED)
        late.put(hour, Shape.AGGREGATED, body)
        first.put(hour, Shape.AGGREGATED, body)
    silver.load()
    only_aggregated = silver.export()
    for hour in filter(legacy_hour, hours):
        late.put(hour, Shape.DETAILED, hour_body(world, hour, Shape.DETAILED))
        first.held[hour] = late.held[hour]
        first.bodies.update(late.bodies)
    silver.load()
    imported = silver.export()
    silver.clear()
    silver.bronze = first
    silver.load()
    assert {name: strip(rows) for name, rows in silver.export().items()} == {
        name: strip(rows) for name, rows in imported.items()
    }
    assert imported != only_aggregated
    # Every hour has the rows of one shape only, and the events' customer-hours are those of the days' own shape.
    shapes = """
        select count(*) from (
            select hora from fact_observaciones group by hora
            having count(*) filter (where fecha_inicio is null) not in (0, count(*))
        ) as mixed
    """
    assert silver.rows(shapes) == [(0,)]
    detailed = """
        select (select sum(cliente_horas) from fact_interrupciones where forma = 'detailed')
            = (select sum(clientes_afectados) from fact_observaciones where fecha_inicio is not null)
    """
    assert silver.rows(detailed) == [(True,)]
    beside = """
        select count(*) from fact_interrupciones e join cargas c on c.hora between e.primera_hora and e.ultima_hora
        where e.forma = 'aggregated' and c.forma = 'aggregated' and e.primera_hora = c.hora
            and exists (select from cargas d where d.forma = 'detailed'
                and (d.hora at time zone 'America/Santiago')::date = (c.hora at time zone 'America/Santiago')::date)
    """
    assert silver.rows(beside) == [(0,)]


def strip(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows without the instant of capture, which the two imports number differently."""
    return [tuple(value for value in row if not (isinstance(value, datetime) and value.year == 2030)) for row in rows]


# --- sums ---


@pytest.mark.parametrize("shape", list(Shape))
def test_rows_and_customers_in_are_rows_and_customers_out_of_every_hour(shape: Shape, silver: Silver) -> None:
    world, hours = made_world(5)
    bronze = silver.bronze
    for hour in hours[::3]:
        bronze.put(hour, shape, hour_body(world, hour, shape))
    silver.load()
    expected = []
    for hour in hours[::3]:
        rows = orjson.loads(bronze.bodies[bronze.held[hour].key])
        expected.append((hour, len(rows), sum(row["CLIENTES_AFECTADOS"] for row in rows)))
    sums = "select hora, sum(n_filas)::int, sum(clientes_afectados)::bigint from fact_observaciones"
    assert silver.rows(f"{sums} group by hora order by hora") == expected
    assert silver.rows("select hora, n_filas, clientes from cargas order by hora") == expected


def test_counts_of_imputations_are_computed_and_never_added_up(silver: Silver) -> None:
    bronze = silver.bronze
    counts = "select mes, regla, filas, total from calidad_imputacion order by mes, regla"
    bad = {"NOMBRE_REGION": "", "NOMBRE_COMUNA": "Atlantis", "CLIENTES_AFECTADOS": -5}
    hours = [utc(2025, 6, 10, 12), utc(2025, 6, 11, 12), utc(2025, 7, 1, 12)]
    for hour in hours:
        bronze.put(hour, Shape.AGGREGATED, orjson.dumps([bad, {**bad, "CLIENTES_AFECTADOS": 700}]))
    silver.load()
    once = silver.rows(counts)
    assert [row[1:] for row in once if row[0] == date(2025, 6, 1)] == [
        ("clientes", 2, 4),
        ("empresa", 0, 4),
        ("fecha", 0, 4),
        ("geografia", 4, 4),
        ("tope", 0, 2),
    ]
    for _ in range(2):
        silver.load(force=True)
        silver.load_hours(hours)
        assert silver.rows(counts) == once
    # A revision without these faults takes its share out of the counts again.
    bronze.put(hours[0], Shape.AGGREGATED, aggregated(50))
    silver.load()
    june = [row[1:] for row in silver.rows(counts) if row[0] == date(2025, 6, 1)]
    assert june[0] == ("clientes", 1, 3)
    assert june[3:] == [("geografia", 2, 3), ("tope", 0, 1)]


# --- the customer universe ---


def regions(customers: int) -> list[RegionCustomers]:
    return [RegionCustomers(region.codigo, region.nombre_sec, "052019", customers) for region in tables.regiones()]


def test_the_denominator_is_the_nearest_month_the_earlier_on_a_tie(silver: Silver) -> None:
    bronze = silver.bronze
    bronze.put(utc(2025, 6, 15, 12), Shape.AGGREGATED, aggregated(1_000))
    silver.load()
    event = "select clientes_afectados, topado, meses_denominador, clientes_afectados_crudo from fact_interrupciones"
    assert silver.rows(event) == [(1_000, False, None, 1_000)]
    for captured, customers, expected in (
        (utc(2025, 9, 10), 900, (900, True, -3, 1_000)),
        (utc(2025, 3, 10), 800, (800, True, 3, 1_000)),
        (utc(2025, 5, 10), 2_000, (1_000, False, 1, 1_000)),
        (utc(2025, 6, 10), 700, (700, True, 0, 1_000)),
    ):
        store_universe(silver.database, regions(customers), 16 * customers * 2, captured)
        assert silver.rows(event) == [expected]
    # The estimate sums to the national total and is never what caps.
    estimates = "select sum(clientes_estimados)::int from clientes_regionales where mes = '2025-06-01'"
    assert silver.rows(f"{estimates} and codigo_region <> '00'") == [(16 * 700 * 2,)]


# --- the live views ---


def test_the_live_views_end_with_the_newest_loaded_hour(silver: Silver) -> None:
    bronze = silver.bronze
    newest = utc(2025, 7, 15, 12)
    ages = {"out": timedelta(days=31), "edge": timedelta(days=30), "in": timedelta(days=29)}
    for age in ages.values():
        bronze.put(newest - age, Shape.AGGREGATED, aggregated(300))
        bronze.put(newest - age + 8 * HOUR, Shape.AGGREGATED, b"[]")
    bronze.put(newest - timedelta(days=5), Shape.AGGREGATED, aggregated(400, place=5101))
    bronze.put(newest, Shape.AGGREGATED, aggregated(20))
    silver.load()
    window = sorted(hour for hour in bronze.held if hour > newest - timedelta(days=30))
    hourly = silver.rows(
        "select hora, nombre_region, clientes_afectados from v_afectacion_horaria_30d order by hora, nombre_region",
    )
    assert len(hourly) == 17 * len(window)
    affected = {(hour, region): customers for hour, region, customers in hourly if customers}
    assert affected == {
        (newest - ages["in"], "METROPOLITANA"): 300,
        (newest - timedelta(days=5), "VALPARAISO"): 400,
        (newest, "METROPOLITANA"): 20,
    }
    events = silver.rows("select primera_hora, nombre_comuna from v_interrupciones_30d order by inicio")
    # The one that ended as the window began is not in it.
    assert events == [(newest - ages["in"], "NUNOA"), (newest - timedelta(days=5), "VALPARAISO")]


# --- cold storage ---


FixedClock = partial(StandingClock, datetime(2025, 7, 5, tzinfo=UTC))


def test_gold_of_archived_months_is_the_same_to_the_byte(silver: Silver) -> None:
    settings, bronze = silver.settings, silver.bronze
    world = World(WorldOptions.tiny(seed=9))
    for month in (4, 5, 6, 7):
        shape = Shape.DETAILED if month == 5 else Shape.AGGREGATED
        for day in (1, 2, 28):
            for hour in hours_of_day(date(2025, month, day))[::2]:
                if hour < utc(2025, 7, 3):
                    bronze.put(hour, shape, hour_body(world, hour, shape))
    silver.load()
    build_gold(silver.database, settings, FixedClock())
    before = contents(on_disk(settings.gold))
    assert apply_retention(silver.database, settings, keep_days=30).months == (Month(2025, 4), Month(2025, 5))
    # What is current is not written again; what is written again from the archive is the same.
    assert build_gold(silver.database, settings, FixedClock()).months_written == ()
    assert contents(on_disk(settings.gold)) == before
    shutil.rmtree(on_disk(settings.gold))
    build_gold(silver.database, settings, FixedClock())
    assert contents(on_disk(settings.gold)) == before
    # A month that is loaded again comes back from the archive, and nothing but its own file is written again.
    april = on_disk(settings.gold) / "observaciones" / "anho=2025" / "mes=04" / "observaciones.parquet"
    rows = pl.read_parquet(april)
    silver.load(Month(2025, 4), force=True)
    assert silver.rows("select mes from archivo") == [(date(2025, 5, 1),)]
    assert build_gold(silver.database, settings, FixedClock()).months_written == (Month(2025, 4),)
    assert pl.read_parquet(april).equals(rows)
    after = contents(on_disk(settings.gold))
    # What is kept notes that the hours were written again, but computes the same.
    changed = {name for name in after if after[name] != before[name] and not name.startswith("kept/")}
    assert changed <= {str(april.relative_to(on_disk(settings.gold))), "panel/anho=2025/mes=04/panel.parquet"}


def test_hours_before_the_first_of_a_month_stay_in_their_own(silver: Silver) -> None:
    """The last hour of a year in Chile lies in the next year by UTC."""
    bronze = silver.bronze
    last = from_wall(date(2024, 12, 31), 23)
    assert last == utc(2025, 1, 1, 2)
    bronze.put(last, Shape.AGGREGATED, aggregated(150))
    bronze.put(last + HOUR, Shape.AGGREGATED, aggregated(160))
    silver.load()
    assert silver.rows("select id_tiempo, n_observaciones, cliente_horas from fact_interrupciones") == [
        (2024123123, 2, 310)
    ]
    assert silver.rows("select tableoid::regclass::text from fact_observaciones order by hora") == [
        ("fact_observaciones_202412",),
        ("fact_observaciones_202501",),
    ]
