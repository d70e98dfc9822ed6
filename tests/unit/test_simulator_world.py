"""The simulated world: the same for the same options, and as wild as the SEC's."""

from collections import Counter
from datetime import UTC, date, datetime

import orjson
import pytest
from pydantic import ValidationError

from sec_core.hours import CHILE, Month
from sec_core.simulator.answers import aggregated_body, detailed_body, regional_customers
from sec_core.simulator.country import REGIONS
from sec_core.simulator.country import parse_wall_hour as at
from sec_core.simulator.options import Dirt, Outage, Storm, WorldOptions
from sec_core.simulator.world import World

KEYS = [
    *("DIA_INT", "MES_INT", "ANHO_INT", "HORA", "DIA", "MES", "ANHO", "NOMBRE_REGION", "NOMBRE_COMUNA"),
    *("NOMBRE_EMPRESA", "CLIENTES_AFECTADOS", "ACTUALIZADO_HACE", "FECHA_INT_STR"),
]


@pytest.fixture(scope="module")
def national() -> World:
    return World(WorldOptions.storm_month(Month(2024, 8)))


def test_same_options_give_the_same_bytes_in_whatever_order_hours_are_asked() -> None:
    hours = Month(2025, 3).hours()[:60]
    one, other = World(WorldOptions.tiny(seed=7)), World(WorldOptions.tiny(seed=7))
    forward = [detailed_body(one, hour, one.rows(hour)) for hour in hours]
    backward = [detailed_body(other, hour, other.rows(hour)) for hour in reversed(hours)]
    assert forward == backward[::-1]
    third = World(WorldOptions.tiny(seed=8))
    assert forward != [detailed_body(third, hour, third.rows(hour)) for hour in hours]


def test_ordinary_hours_have_the_rows_of_the_real_ones(national: World) -> None:
    counts = [len(national.rows(hour)) for hour in Month(2024, 8).hours()[-20 * 24 :]]
    assert min(counts) >= 300
    assert max(counts) <= 840


def test_a_storm_takes_a_million_customers_and_the_metropolitana_most(national: World) -> None:
    hours = Month(2024, 8).hours()[18:40]
    peak = max(hours, key=national.total)
    by_region: Counter[str] = Counter()
    for row in national.rows(peak):
        by_region[national.places[row.place].region if row.place >= 0 else ""] += row.customers
    assert national.total(peak) > 1_000_000
    assert len(national.rows(peak)) > 8_000
    assert by_region.most_common(1)[0][0] == "Metropolitana"
    assert by_region["Metropolitana"] > 600_000


def test_every_known_company_and_oddity_of_names_turns_up(national: World) -> None:
    names, regions = set(), set()
    for hour in Month(2024, 8).hours()[:200:4]:
        for row in orjson.loads(detailed_body(national, hour, national.rows(hour))):
            names.add(row["NOMBRE_COMUNA"])
            regions.add(row["NOMBRE_REGION"])
    owners = {(place.region_code, company) for place in national.places for company, _ in place.companies}
    assert owners == {(region.code, company) for region in REGIONS for company, _ in region.companies}
    assert {"Castro ", "Arauco ", "Ñuñoa", "Hualañé", "Marchihue", "Tiltil"} <= names
    assert {"", "O`Higgins", "Aysén", "Ñuble"} <= regions
    assert len(regions) == 17


def test_detailed_rows_have_the_keys_types_and_quirks_of_the_source(national: World) -> None:
    hour = at("2024-08-20T15")
    body = detailed_body(national, hour, national.rows(hour))
    rows = orjson.loads(body)
    assert orjson.dumps(rows) == body
    assert all(list(row) == KEYS for row in rows)
    assert all((row["HORA"], row["DIA"], row["MES"], row["ANHO"]) == (0, 0, 0, 0) for row in rows)
    assert all(type(row["CLIENTES_AFECTADOS"]) is int and row["CLIENTES_AFECTADOS"] > 0 for row in rows)
    assert all(row["FECHA_INT_STR"] == f"{row['DIA_INT']}/{row['MES_INT']}/{row['ANHO_INT']}" for row in rows)
    assert all(row["ACTUALIZADO_HACE"].endswith(" Minutos ") for row in rows)
    started = [date(row["ANHO_INT"], row["MES_INT"], row["DIA_INT"]) for row in rows]
    assert max(started) <= hour.astimezone(CHILE).date()
    assert min(started).year <= 2022
    places = [(row["NOMBRE_REGION"], row["NOMBRE_COMUNA"]) for row in rows]
    assert places != sorted(places)
    assert len({orjson.dumps(row) for row in rows}) < len(rows) * 0.9, "rows alike to the letter are usual"
    shared = Counter((row["NOMBRE_COMUNA"], row["NOMBRE_EMPRESA"], row["FECHA_INT_STR"]) for row in rows)
    assert shared.most_common(1)[0][1] >= 10


def test_aggregated_rows_are_the_sums_of_the_detailed_ones(national: World) -> None:
    hour = at("2024-08-02T04")
    detailed = orjson.loads(detailed_body(national, hour, national.rows(hour)))
    aggregated = orjson.loads(aggregated_body(national, hour, national.rows(hour)))
    sums: Counter[tuple[str, str]] = Counter()
    for row in detailed:
        sums[row["NOMBRE_REGION"], row["NOMBRE_COMUNA"].strip()] += row["CLIENTES_AFECTADOS"]
    assert [list(row) for row in aggregated[:1]] == [["NOMBRE_REGION", "NOMBRE_COMUNA", "CLIENTES_AFECTADOS"]]
    places = [(row["NOMBRE_REGION"], row["NOMBRE_COMUNA"]) for row in aggregated]
    assert places == sorted(sums)
    assert [row["CLIENTES_AFECTADOS"] for row in aggregated] == [sums[place] for place in places]


def test_about_one_hour_in_twenty_has_a_blank_name() -> None:
    world = World(WorldOptions.tiny())
    hours = [hour for month in range(1, 13) for hour in Month(2024, month).hours()[:100]]
    share = sum(any(row.place < 0 for row in world.rows(hour)) for hour in hours) / len(hours)
    assert 0.03 < share < 0.07


def test_the_known_holes_have_no_rows() -> None:
    world = World(WorldOptions.tiny())
    empty = [hour.astimezone(CHILE).hour for hour in Month(2025, 1).hours()[:120] if not world.has_data(hour)]
    assert empty == [3, 4, 5, 6, 7]
    assert not any(world.has_data(hour) for hour in Month(2019, 7).hours()[::50])
    assert not world.has_data(at("2016-12-31T23"))
    assert world.has_data(at("2019-08-01T00"))


def test_nuble_belonged_to_the_biobio_before_it_was_a_region() -> None:
    world = World(WorldOptions.tiny(regions=("16",), stale_rows=1))
    before, after = at("2018-08-01T00"), at("2019-09-01T00")
    named = [
        {r["NOMBRE_REGION"] for r in orjson.loads(aggregated_body(world, h, world.rows(h)))} for h in (before, after)
    ]
    assert named[0] - {""} == {"Biobio"}
    assert named[1] - {""} == {"Ñuble"}


def test_a_revision_changes_an_hour_a_little() -> None:
    world = World(WorldOptions())
    hour = at("2025-05-05T05")
    rows, revised = world.rows(hour), world.rows(hour, 1)
    assert rows != revised
    assert abs(len(rows) - len(revised)) < len(rows) * 0.05
    assert revised == World(WorldOptions()).rows(hour, 1)


def test_outages_by_hand_are_listed_as_written() -> None:
    start = at("2025-06-01T10")
    outage = Outage("13101", "ENEL", start, (5, None, 7), started_on=date(2025, 5, 30))
    world = World(WorldOptions.tiny(rows_per_hour=0, stale_rows=0, blank_share=0, outages=(outage,)))
    listed = [[(row.company, row.day, row.customers) for row in world.rows(h)] for h in Month(2025, 6).hours()[9:14]]
    day = date(2025, 5, 30)
    assert listed == [[], [("ENEL", day, 5)], [], [("ENEL", day, 7)], []]


def test_dirt_spoils_the_share_of_rows_that_was_asked_for() -> None:
    world = World(WorldOptions(dirt=Dirt(count=0.2, date=0.1, company=0.1, place=0.1)))
    hour = at("2025-05-05T05")
    rows = orjson.loads(detailed_body(world, hour, world.rows(hour)))
    counts = [row["CLIENTES_AFECTADOS"] for row in rows]
    spoilt = sum(not isinstance(n, int) or n < 0 for n in counts)
    assert 0.12 < spoilt / len(rows) < 0.28
    assert {None, "", "s/i", -3} <= set(counts)
    assert any(row["FECHA_INT_STR"] == "31/2/2025" for row in rows)
    assert any(row["NOMBRE_COMUNA"] == "Comuna Fantasma" for row in rows)
    assert any(row["NOMBRE_EMPRESA"] == "ELECTRICA FANTASMA" for row in rows)


def test_regional_customers_are_those_of_may_2019() -> None:
    assert sum(region.customers for region in REGIONS) == 6_534_588


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("Valparaiso", ["5"]),
        ("O'Higgins", ["6"]),
        ("O`Higgins", []),
        ("de Los ", ["10", "14"]),
        ("", [region.number for region in REGIONS]),
    ],
)
def test_a_region_is_found_by_a_part_of_its_full_name(part: str, found: list[str]) -> None:
    answer = orjson.loads(regional_customers(part))
    assert [row["REGION_ID"] for row in answer] == found
    assert all(isinstance(value, str) for row in answer for value in row.values())


def test_options_refuse_what_can_not_be() -> None:
    with pytest.raises(ValidationError, match="not an hour of the source"):
        WorldOptions(outages=(Outage("13101", "ENEL", datetime(2025, 4, 6, 3, 30, tzinfo=UTC), (1,)),))
    with pytest.raises(ValidationError, match="timezone"):
        Storm(start=datetime(2025, 1, 1))  # noqa: DTZ001 - the point of the test


def test_an_outage_is_spread_over_its_feeders() -> None:
    start = at("2025-03-04T10")
    written = tuple(Outage(code, "CGE", start, (40, 41, 2)) for code in ("13101", "13120", "13119", "08101"))
    bare = {"rows_per_hour": 0, "stale_rows": 0, "blank_share": 0, "holes": (), "outages": written}
    one, many = World(WorldOptions.model_validate(bare)), World(WorldOptions.model_validate({**bare, "feeders": 4}))
    numbers = []
    for step in range(3):
        rows = many.rows(at(f"2025-03-04T{10 + step}"))
        customers: Counter[int] = Counter()
        for row in rows:
            assert row.customers > 0
            customers[row.place] += row.customers
        assert customers == {row.place: row.customers for row in one.rows(at(f"2025-03-04T{10 + step}"))}
        numbers.append(Counter(row.place for row in rows))
    # An outage keeps its feeders for as long as it has customers for all of them.
    assert numbers[0] == numbers[1]
    assert sum(numbers[0].values()) > 4
    assert max(numbers[2].values()) <= 2
