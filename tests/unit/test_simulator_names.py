"""The simulator's own table of names and the pipeline's reference, written apart, agree."""

import orjson

from sec_core.reference.tables import NO_COMPANY, UNKNOWN_COMPANY, default_names
from sec_core.simulator.answers import detailed_body
from sec_core.simulator.country import REGIONS, parse_wall_hour
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.world import Row, World


def test_every_simulated_name_resolves_to_its_official_code_and_company() -> None:
    names = default_names()
    world = World(WorldOptions())
    # In 2017 Ñuble is still the Biobío, and CGE has other names in the north.
    for year in (2017, 2026):
        hour = parse_wall_hour(f"{year}-01-01T00")
        rows = [Row(i, place.companies[0][0], hour.date(), 1) for i, place in enumerate(world.places)]
        answered = orjson.loads(detailed_body(world, hour, rows))
        for place, row in zip(world.places, answered, strict=True):
            assert names.id_geografia(row["NOMBRE_REGION"], row["NOMBRE_COMUNA"]) == int(place.code)
            assert names.id_empresa(row["NOMBRE_EMPRESA"]) == names.id_empresa(place.companies[0][0])
        assert ("ELECDA" in {row["NOMBRE_EMPRESA"] for row in answered}) is (year == 2017)


def test_every_simulated_company_and_region_is_known() -> None:
    names = default_names()
    companies = {company for region in REGIONS for company, _ in region.companies}
    assert {names.id_empresa(company) for company in companies}.isdisjoint({UNKNOWN_COMPANY, NO_COMPANY})
    assert len({names.id_empresa(company) for company in companies}) == len(companies)
    for region in REGIONS:
        assert names.codigo_region(region.name) == region.code
        assert names.codigo_region(region.full_name) == region.code
