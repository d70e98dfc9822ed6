"""Three time zone databases: a difference is found and named, and what an old one wrote is set right."""

import zoneinfo
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from support.fixtures import MakeSettings
from support.reference_rules import Hour, Listed, utc
from support.silver_world import body_of

from sec_core.bronze.journal import Journal
from sec_core.bronze.ledger import Finding, Ledger
from sec_core.bronze.ledger_rules import Origin, Outcome, Result
from sec_core.bronze.store import BodyName, BronzeStore, digest
from sec_core.db import checks
from sec_core.db.checks import check_zones
from sec_core.db.database import Database
from sec_core.errors import ConfigError
from sec_core.hours import HOUR, Month, from_wall
from sec_core.silver.load import load_month
from sec_core.silver.reports import month_figures

SEPTEMBER = Month(2022, 9)
# The week by which Chile put its change off; data older than August 2022 has the change at its beginning.
LATE = (utc(2022, 9, 4, 4), utc(2022, 9, 11, 4))


def test_the_projects_own_data_goes_first() -> None:
    assert Path(zoneinfo.TZPATH[0]).parent.name == "tzdata"


def test_the_three_agree_on_the_whole_history(database: Database) -> None:
    check_zones(database.engine, Month(2017, 1).start, Month(2027, 1).start)


@pytest.mark.parametrize(
    ("who", "renewal"), [("python", "upgrade tzdata"), ("polars", "upgrade polars"), ("postgres", "Renew PostgreSQL")]
)
def test_the_old_one_is_named_and_nothing_is_captured(
    who: str, renewal: str, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = getattr(checks, f"_{who}")

    def old(*arguments: list[datetime]) -> tuple[int, ...]:
        hours = arguments[-1]
        return tuple(
            offset + 3600 * (LATE[0] <= hour < LATE[1]) for offset, hour in zip(real(*arguments), hours, strict=True)
        )

    monkeypatch.setattr(checks, f"_{who}", old)
    with pytest.raises(ConfigError) as caught:
        Ledger(database, BronzeStore(tmp_path)).repair(SEPTEMBER)
    told = str(caught.value).lower()
    assert f"time zone data of {who}" in told
    assert renewal.lower() in told
    assert "2022-09-04 04h utc-3" in told
    assert "\n" not in told
    check_zones(database.engine, Month(2022, 8).start, Month(2022, 8).end)  # nothing differs there


def test_when_all_differ_all_are_named(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_polars", lambda hours: (0,) * len(hours))
    monkeypatch.setattr(checks, "_python", lambda hours: (1,) * len(hours))
    with pytest.raises(ConfigError, match="Python and Polars and PostgreSQL"):
        check_zones(database.engine, SEPTEMBER.start, SEPTEMBER.end)


def test_what_an_old_one_wrote_is_set_right_by_a_rebuild(database: Database, make_settings: MakeSettings) -> None:
    settings = make_settings()
    store = BronzeStore(settings.bronze)
    outcomes = []
    for day in (2, 6, 8, 20):
        right = from_wall(date(2022, 9, day), 12)
        assert right is not None
        wrong = right - HOUR if LATE[0] <= right < LATE[1] else right
        body = body_of(Hour("aggregated", [Listed(13101, 1, None, 100 + day)]))
        name = BodyName(right, right + timedelta(days=1), Origin.SEC)
        store.put(name, body)
        capture = replace(Finding(right, name.captured_at, body).capture(name, digest(body)), hour=wrong)
        outcomes.append(Outcome(wrong, name.captured_at, Result.CAPTURED, capture))
    Journal(store.blobs).append(SEPTEMBER, outcomes)
    ledger = Ledger(database, store)
    ledger.rebuild()
    hours = [from_wall(date(2022, 9, day), 12) for day in (2, 6, 8, 20)]
    assert [value.hour for value in ledger.values(SEPTEMBER.start, SEPTEMBER.end)] == hours
    assert ledger.repair(SEPTEMBER) == 0
    load_month(database, store.read_kept, SEPTEMBER, settings, values=ledger)
    report = month_figures(database, SEPTEMBER)
    assert report.hours == 4
    with database.engine.connect() as connection:
        stored = connection.exec_driver_sql(
            "select distinct hora at time zone 'America/Santiago' from fact_observaciones order by 1"
        ).scalars()
        assert [wall.hour for wall in stored] == [12, 12, 12, 12]
