"""The simulator's truth, checked against what is worked out by hand; `test_silver_events` does so for events."""

from datetime import UTC, date, datetime, timedelta

from support.truth import NOT_REPORTED, UNKNOWN, Listed, Truth

from sec_core.hours import HOUR, Month
from sec_core.simulator.options import Dirt, Outage, WorldOptions
from sec_core.simulator.world import World
from sec_core.source.shapes import Shape

# 2025-06-10 08h in Chile.
START = datetime(2025, 6, 10, 12, tzinfo=UTC)


def made(*outages: Outage, **changes: object) -> World:
    quiet: dict[str, object] = {"rows_per_hour": 0, "stale_rows": 0, "blank_share": 0, "outages": outages}
    return World(WorldOptions.model_validate({**quiet, **changes}))


def span(hours: int) -> list[datetime]:
    return [START + i * HOUR for i in range(hours)]


def test_rows_of_one_comuna_company_and_date_are_one_observation() -> None:
    world = made(
        Outage("13101", "ENEL", START, (10, 30, 30)),
        Outage("13101", "ENEL", START + HOUR, (5, 5, None, 2)),
        Outage("13101", "ENEL", START, (7,), started_on=date(2025, 6, 9)),
    )
    truth = Truth(world)
    assert truth.observations(START + HOUR)["13101", "ENEL", date(2025, 6, 10)] == Listed(customers=35, rows=2)
    (event,) = [each for each in truth.events(span(6)) if each.start == datetime(2025, 6, 10, 4, tzinfo=UTC)]
    assert (event.geo, event.company, event.first, event.last) == ("13101", "ENEL", START, START + 4 * HOUR)
    assert (event.peak, event.peak_hour, event.customer_hours, event.listed) == (35, START + HOUR, 82, 4)


def test_blank_names_and_companies_are_unknown() -> None:
    truth = Truth(made(Outage("", "", START, (4,)), Outage("", "CGE", START, (3,))))
    assert set(truth.observations(START)) == {("", UNKNOWN, date(2025, 6, 10)), ("", "CGE", date(2025, 6, 10))}
    assert truth.observations(START, Shape.AGGREGATED) == {("", NOT_REPORTED, None): Listed(customers=7, rows=1)}


def test_spoilt_rows_count_as_the_contract_imputes_them() -> None:
    outage = Outage("13101", "ENEL", START, (4, 4), started_on=date(2025, 6, 1))
    truth = Truth(made(outage, dirt=Dirt(count=1, company=1, date=1)))
    group = ("13101", UNKNOWN, date(2025, 6, 10))
    assert truth.observations(START) == {group: Listed(customers=0, rows=1, bad_counts=1, bad_dates=1)}
    assert truth.national(START) == 0


def test_hours_without_data_are_left_out_and_rows_are_counted_by_shape() -> None:
    world = World(WorldOptions.tiny())
    truth = Truth(world)
    hours = Month(2025, 1).hours()[48:96]
    with_data = truth.hours_with_data(hours)
    assert len(with_data) == 48 - 5
    hour = with_data[0]
    assert truth.row_count(hour) == len(world.rows(hour))
    assert truth.row_count(hour, Shape.AGGREGATED) == len(truth.comuna_values(hour))
    assert truth.national(hour) == world.total(hour)
    assert with_data[-1] - with_data[0] == timedelta(hours=47)
