"""The verdict on the pipeline's health, from facts alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sec_core.errors import (
    CircuitOpen,
    ConfigError,
    DatabaseUnavailable,
    PublicationError,
    SourceUnavailable,
    StorageError,
)
from sec_core.health.verdict import Check, DataFacts, Facts, Level, PlaceFacts, SourceFacts, Verdict, due_month, judge
from sec_core.hours import CHILE, Month
from sec_core.source.circuit import Circuit, CircuitStatus

NOW = datetime(2026, 11, 21, 15, 5, tzinfo=UTC)
GB = 1024**3

WELL = DataFacts(
    circuit=Circuit(),
    newest_hour=NOW.replace(minute=0),
    first_hour=datetime(2024, 8, 1, 4, tzinfo=UTC),
    due_expected=744,
    published_at=NOW - timedelta(days=19),
    loaded_at=NOW,
)


def facts(data: dict[str, Any] | None = None, **changes: Any) -> Facts:  # noqa: ANN401 - fields of Facts
    """Facts of a pipeline that is well, but for what is given."""
    well = Facts(
        now=NOW,
        disk_free=100 * GB,
        disk_total=200 * GB,
        source=SourceFacts(0.2),
        data=replace(WELL, **(data or {})),
        monitored=True,
    )
    return replace(well, **changes)


def found(verdict: Verdict, name: str) -> Check:
    return next(check for check in verdict.checks if check.name == name)


def test_a_pipeline_that_is_well_has_no_trouble_and_nothing_to_do() -> None:
    verdict = judge(facts())
    assert verdict.level is Level.GOOD
    assert verdict.troubles == []
    assert [check.next_step for check in verdict.checks] == [""] * len(verdict.checks)


@pytest.mark.parametrize(
    ("name", "level", "given"),
    [
        ("disk", Level.WARN, facts(disk_free=5 * GB)),
        ("disk", Level.BAD, facts(disk_free=1 * GB)),
        ("data folder", Level.GOOD, facts(place=PlaceFacts("/data", has_links=False))),
        ("data folder", Level.BAD, facts(place=PlaceFacts("/data", error=StorageError("It is read-only.")))),
        ("time zones", Level.GOOD, facts()),
        ("time zones", Level.BAD, facts({"zones": ConfigError("Polars is old.")})),
        ("object store", Level.GOOD, facts(place=PlaceFacts("s3://datos", remote=True))),
        (
            "object store",
            Level.BAD,
            facts(place=PlaceFacts("s3://datos", remote=True, error=StorageError("It is away."))),
        ),
        ("source", Level.BAD, facts(source=SourceUnavailable("GetHoraServer answered 503."))),
        ("source", Level.WARN, facts(source=CircuitOpen("Open.", reopens_at=NOW))),
        ("source", Level.WARN, facts(source=SourceFacts(0.2, timedelta(minutes=-9)))),
        ("schedule", Level.BAD, facts({"due_missing": 3})),
        ("schedule", Level.WARN, facts({"due_missing": 744, "first_hour": Month(2026, 11).start})),
        ("schedule", Level.WARN, facts({"due_missing": 744, "first_asked": NOW - timedelta(days=1)})),
        ("newest capture", Level.BAD, facts({"newest_hour": NOW - timedelta(hours=5)})),
        ("newest capture", Level.GOOD, facts({"newest_hour": NOW - timedelta(days=20)}, monitored=False)),
        ("newest capture", Level.WARN, facts({"newest_hour": None})),
        ("quarantine", Level.WARN, facts({"quarantined": 4})),
        ("quarantine", Level.BAD, facts({"quarantined": 4, "quarantined_lately": 1})),
        ("kept bodies", Level.BAD, facts({"damaged": (NOW - timedelta(days=9),)})),
        ("names", Level.WARN, facts({"unresolved": (("PUEBLO NUEVO", 12),)})),
        ("publication", Level.WARN, facts({"published_at": None})),
        ("publication", Level.BAD, facts({"published_at": NOW - timedelta(days=40)})),
        ("publication", Level.WARN, facts(to_supabase=True)),
        ("publication", Level.GOOD, facts({"published_at": None}, to_supabase=True, supabase=NOW)),
        (
            "publication",
            Level.BAD,
            facts(to_supabase=True, supabase=PublicationError("Away.", next_step="Wait.")),
        ),
    ],
)
def test_each_trouble_is_named_with_what_to_do_next(name: str, level: Level, given: Facts) -> None:
    check = found(judge(given), name)
    assert check.level is level
    # Only a newest hour that does not exist yet has no step of its own: the schedule's check says it.
    assert (
        bool(check.next_step) == (level is not Level.GOOD and check.text != "There is none yet.")
        or check.name == "source"
    )


def test_an_open_circuit_is_bad_until_a_probe_may_leave() -> None:
    circuit = Circuit(
        status=CircuitStatus.OPEN,
        failures=5,
        opened_at=NOW - timedelta(minutes=10),
        reopens_at=NOW + timedelta(minutes=20),
        error="Get answered 503",
    )
    check = found(judge(facts({"circuit": circuit})), "circuit")
    assert check.level is Level.BAD
    assert "12:25" in check.next_step  # 15:25 UTC, on the wall in Chile
    later = replace(circuit, reopens_at=NOW - timedelta(minutes=1))
    assert found(judge(facts({"circuit": later})), "circuit").level is Level.WARN


def test_without_a_database_the_verdict_says_so_and_judges_the_rest() -> None:
    verdict = judge(replace(facts(), source=None, data=DatabaseUnavailable("PostgreSQL can't be reached.")))
    assert [check.name for check in verdict.troubles] == ["database"]
    assert {check.name for check in verdict.checks} == {"database", "disk", "source"}


def test_checks_of_services_count_too() -> None:
    verdict = judge(facts(services=(Check("services", Level.BAD, "No worker.", "Run `sec up`."),)))
    assert verdict.level is Level.BAD


@pytest.mark.parametrize(
    ("wall", "month"),
    [
        ("2026-11-02T03:00", Month(2026, 9)),
        ("2026-11-03T14:59", Month(2026, 9)),
        ("2026-11-03T15:00", Month(2026, 10)),
        ("2026-11-30T23:59", Month(2026, 10)),
        ("2026-12-01T00:00", Month(2026, 10)),
        ("2027-01-10T00:00", Month(2026, 12)),
    ],
)
def test_a_month_is_due_a_day_and_a_half_after_its_scheduled_run(wall: str, month: Month) -> None:
    assert due_month(datetime.fromisoformat(wall).replace(tzinfo=CHILE).astimezone(UTC)) == month
