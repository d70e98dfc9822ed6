"""The simulator's truth, checked against events worked out by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from support.truth import NOT_REPORTED, UNKNOWN, Listed, Truth

from sec_core.hours import HOUR, Month, is_source_hour
from sec_core.simulator.options import Dirt, Outage, WorldOptions
from sec_core.simulator.world import World
from sec_core.source.shapes import Shape

# 2025-06-10 08h in Chile.
START = datetime(2025, 6, 10, 12, tzinfo=UTC)


def made(*outages: Outage, **changes: object) -> World:
    quiet: dict[str, object] = {"rows_per_hour": 0, "stale_rows": 0, "blank_share": 0, "outages": outages}
    return World(WorldOptions.model_validate({**quiet, **changes}))


def always(hours: int) -> Outage:
    """Keeps every hour from lacking data."""
    return Outage("05101", "CHILQUINTA", START, (1,) * hours)


def span(hours: int) -> list[datetime]:
    return [START + i * HOUR for i in range(hours)]


def test_detailed_rows_of_one_comuna_company_and_date_are_one_event() -> None:
    world = made(
        Outage("13101", "ENEL", START, (10, 30, 30)),
        Outage("13101", "ENEL", START + HOUR, (5, 5, None, 2)),
        Outage("13101", "ENEL", START, (7,), started_on=date(2025, 6, 9)),
        always(6),
    )
    truth = Truth(world)
    assert truth.observations(START + HOUR)["13101", "ENEL", date(2025, 6, 10)] == Listed(customers=35, rows=2)
    event = {e.identity: e for e in truth.detailed_events(span(6))}["13101|ENEL|20250610"]
    assert (event.peak, event.peak_hour, event.first_hour, event.last_hour) == (
        35,
        START + HOUR,
        START,
        START + 4 * HOUR,
    )
    assert (event.customer_hours, event.hours_listed) == (10 + 35 + 35 + 2, 4)
    assert event.begins == datetime(2025, 6, 10, 4, tzinfo=UTC)
    assert event.ends == START + 5 * HOUR
    assert len(truth.detailed_events(span(6))) == 3


def test_a_detailed_event_in_the_newest_hour_is_open() -> None:
    truth = Truth(made(Outage("13101", "ENEL", START, (1, 1))))
    assert [e.ends for e in truth.detailed_events(span(2))] == [None]
    assert [e.ends for e in truth.detailed_events(span(2), newest=START + 5 * HOUR)] == [START + 2 * HOUR]


def test_a_run_closes_after_hours_below_the_threshold() -> None:
    course = (50, 150, 99, 200, 20, None, 120, 10)
    truth = Truth(made(Outage("13101", "ENEL", START, course), always(8)), shape_of=lambda _: Shape.AGGREGATED)
    first, second = truth.aggregated_events(span(8))
    assert (first.first_hour, first.last_hour, first.ends) == (START + HOUR, START + 3 * HOUR, START + 4 * HOUR)
    assert (first.peak, first.peak_hour, first.customer_hours, first.hours_listed) == (
        200,
        START + 3 * HOUR,
        150 + 99 + 200,
        3,
    )
    assert (second.first_hour, second.ends, second.company) == (START + 6 * HOUR, None, NOT_REPORTED)
    assert second.identity == "13101|NO INFORMADA|20250610T14"


@pytest.mark.parametrize(("missing", "runs"), [(6, 1), (7, 2)])
def test_a_run_outlives_a_gap_of_six_hours_and_no_longer(missing: int, runs: int) -> None:
    truth = Truth(made(Outage("13101", "ENEL", START, (150,) * 20), always(20)))
    captured = [START, *span(20)[missing + 1 :]]
    events = truth.aggregated_events(captured)
    assert len(events) == runs
    assert events[0].ends == (START + HOUR if runs == 2 else None)


def test_the_repeated_hour_of_april_is_no_hour_without_data() -> None:
    before = datetime(2025, 4, 6, 2, tzinfo=UTC)  # Saturday 23h, the first one
    hours = [hour for i in range(10) if is_source_hour(hour := before + i * HOUR)]
    outage = Outage("13101", "ENEL", before, (150,) * 10)
    truth = Truth(made(outage))
    assert len(hours) == 9
    assert len(truth.aggregated_events([hours[0], *hours[7:]])) == 1
    assert len(truth.aggregated_events([hours[0], hours[8]])) == 2


def test_an_hour_listed_below_the_threshold_does_not_start_a_run_and_absence_is_zero() -> None:
    truth = Truth(made(Outage("13101", "ENEL", START, (99, 99, None)), always(3)))
    assert truth.aggregated_events(span(3)) == []
    assert truth.comuna_values(START + 2 * HOUR) == {"05101": 1}
    assert truth.comuna_values(START) == {"13101": 99, "05101": 1}


def test_a_day_with_a_detailed_hour_is_a_detailed_day() -> None:
    switch = START + 10 * HOUR
    world = made(Outage("13101", "ENEL", START, (150,) * 48))
    truth = Truth(world, shape_of=lambda hour: Shape.AGGREGATED if hour >= switch else Shape.DETAILED)
    events = truth.events(span(48))
    midnight = datetime(2025, 6, 11, 4, tzinfo=UTC)
    assert [(e.shape, e.first_hour, e.last_hour) for e in events] == [
        (Shape.DETAILED, START, START + 9 * HOUR),
        (Shape.AGGREGATED, midnight, START + 47 * HOUR),
    ]
    assert [e.ends for e in events] == [START + 10 * HOUR, None]


@pytest.mark.parametrize(("later", "ends"), [(6, None), (7, START + HOUR)])
def test_detailed_hours_after_a_run_are_hours_without_data(later: int, ends: datetime | None) -> None:
    truth = Truth(made(Outage("13101", "ENEL", START, (150,) * 20)))
    assert [e.ends for e in truth.aggregated_events([START], newest=START + later * HOUR)] == [ends]


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
