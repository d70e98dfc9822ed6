"""Commands on months: what goes wrong ends with exit code 1 and one clear line, and runs mend themselves."""

import json
from itertools import pairwise

import pytest
from support.capturing import keep_answers

from deployments.cli.main import main
from sec_core.bronze.ledger_table import LedgerTables
from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.gold.publish import PublishReport
from sec_core.hours import Month
from sec_core.simulator.faults import FaultOptions, FaultRule
from sec_core.simulator.server import Simulator

MONTHS = [Month(2025, 1), MONTH := Month(2025, 2)]
COOLDOWN_S = 3.0


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The line that the command ends with, which must be the only one of its kind."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("sec: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize("month", ["2024-13", "August", "2024-008", "0000-01"])
def test_a_bad_month_is_refused_before_anything_starts(month: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sync", "--month", month]) == 1
    assert "YYYY-MM" in last_line(capsys)


def test_an_unknown_option_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sync", "--moon"]) == 1
    assert "--moon" in last_line(capsys)


def test_a_database_that_is_down(
    commands: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commands.database_url is not None
    monkeypatch.setenv("SEC_DATABASE_URL", "postgresql://sec:secret-word@127.0.0.1:1/sec")
    assert main(["sync", "--month", str(MONTH)]) == 1
    line = last_line(capsys)
    assert "127.0.0.1:1" in line
    assert "SEC_DATABASE_URL" in line
    assert "secret-word" not in line


def test_an_unreachable_source_keeps_what_was_captured(
    source: Simulator, database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source.set_faults(FaultOptions(rules=(FaultRule.parse("status,status=503,hours=2025-02-08T00..2025-02-28T23"),)))
    assert main(["sync", "--month", str(MONTH)]) == 1
    assert "answered 503" in last_line(capsys)
    before = LedgerTables(database).month_summary([MONTH], source.now())[0]
    assert 100 < before.captured <= 7 * 24

    monkeypatch.setenv("SEC_BASE_URL", "http://127.0.0.1:1/")
    assert main(["sync", "--month", str(MONTH)]) == 1
    assert "probe" in last_line(capsys)
    assert LedgerTables(database).month_summary([MONTH], source.now())[0].captured == before.captured


def test_hours_that_fail_alone_leave_the_rest_loaded_and_are_mended_by_the_next_run(
    source: Simulator,
    commands: Settings,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    keep_answers(source, database, commands, MONTH.hours()[240:])
    monkeypatch.setenv("SEC_CIRCUIT_FAILURES", "1000")
    source.set_faults(FaultOptions(rules=(FaultRule.parse("status,status=500,hours=2025-02-08T00..2025-02-08T05"),)))
    assert main(["sync", "--month", str(MONTH)]) == 1
    line = last_line(capsys)
    assert "6 hours failed" in line
    assert "sec sync --month 2025-02" in line

    source.set_faults(FaultOptions())
    asked = len(source.hours_asked())
    assert main(["sync", "--month", str(MONTH)]) == 0
    assert len(source.hours_asked()) - asked == 6
    assert LedgerTables(database).month_summary([MONTH], source.now())[0].complete


def test_an_answer_of_another_shape_stops_the_run_and_is_kept_while_what_is_good_is_loaded(
    source: Simulator, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    source.set_faults(FaultOptions(rules=(FaultRule.parse("renamed_key,hours=2025-02-02T00..2025-02-28T23"),)))
    assert main(["sync", "--month", str(MONTH)]) == 1
    line = last_line(capsys)
    assert "CLIENTES_AFECTADOS" in line
    assert "sec reprocess" in line
    summary = LedgerTables(database).month_summary([MONTH], source.now())[0]
    assert summary.quarantined >= 1
    assert summary.captured <= 24
    assert summary.pending > 500
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("select count(*) from cargas").scalar() == summary.captured > 0


def test_a_month_stopped_by_the_circuit_finishes_by_itself(
    source: Simulator, commands: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_answers(source, database, commands, MONTHS[1].hours()[240:])
    monkeypatch.setenv("SEC_CIRCUIT_COOLDOWN_S", str(COOLDOWN_S))
    monkeypatch.setenv("SEC_MAX_CONCURRENCY", "2")
    source.set_faults(FaultOptions(rules=(FaultRule.parse("status,status=503,requests=60..66"),)))
    assert main(["sync", "--month", "2025-02", "--wait"]) == 0
    assert LedgerTables(database).month_summary([MONTH], source.now())[0].complete

    hours = [request for request in source.requests if request.endpoint == "GetPorFecha"]
    pauses = [later.arrived - earlier.arrived for earlier, later in pairwise(hours)]
    # Of the seven failures five or six opened it; each pause ends with one probe, until a probe succeeds.
    waits = [index for index, pause in enumerate(pauses) if pause > COOLDOWN_S - 0.5]
    assert waits
    for index in waits[:-1]:
        assert pauses[index + 1] > COOLDOWN_S - 0.5, "a failed probe must be alone"


def test_failed_months_are_found_and_only_their_missing_hours_asked_for(
    source: Simulator,
    commands: Settings,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for month in MONTHS:
        keep_answers(source, database, commands, month.hours()[48:-48])
    monkeypatch.setenv("SEC_CIRCUIT_FAILURES", "1000")
    rule = FaultRule.parse("status,status=500,hours=2025-01-31T22..2025-02-01T01")
    source.set_faults(FaultOptions(rules=(rule,)))
    assert main(["backfill", "--from", "2025-01", "--to", "2025-02"]) == 1
    captured = capsys.readouterr()
    assert "2 of 2 months miss 4 hours: 2025-02 (2025-02-01 00h-01h), 2025-01 (2025-01-31 22h-23h)." in captured.err
    months = [Month.of(hour) for hour in source.hours_asked()]
    assert months == sorted(months, reverse=True), "newest first"

    source.set_faults(FaultOptions())
    asked = len(source.hours_asked())
    assert main(["rerun"]) == 0
    told = "2 closed months miss 4 hours: 2025-02 (2), 2025-01 (2); about 1 minute"
    assert told in capsys.readouterr().err
    holes = 5  # 2025-01-03, 03h to 07h, empty at the source and not settled yet
    assert len(source.hours_asked()) - asked == 4 + holes
    assert all(summary.complete for summary in LedgerTables(database).month_summary(MONTHS, source.now()))
    assert main(["status", "--json"]) == 0
    assert all(month["complete"] for month in json.loads(capsys.readouterr().out)["months"])


def test_a_bad_range_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backfill", "--from", "2025-02", "--to", "2025-01"]) == 1
    assert "earlier month first" in capsys.readouterr().err


@pytest.fixture
def february(source: Simulator, commands: Settings, database: Database) -> None:
    """A month that is in Bronze already."""
    keep_answers(source, database, commands, MONTHS[1].hours())


@pytest.mark.usefixtures("february")
def test_reprocess_gives_the_same_facts_and_asks_nothing(source: Simulator, database: Database) -> None:
    assert main(["sync", "--month", "2025-02"]) == 0
    query = "select md5(string_agg(f::text, '|' order by hash_id)) from fact_interrupciones f"
    with database.engine.connect() as connection:
        before = connection.exec_driver_sql(query).scalar()
    asked = len(source.requests)
    assert main(["reprocess", "--from", "2025-02", "--to", "2025-02"]) == 0
    assert len(source.requests) == asked
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql(query).scalar() == before


@pytest.mark.usefixtures("february")
def test_each_command_that_publishes_can_be_told_of_another_source(
    source: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []

    async def publish(_adapters: object, _force: object, other_source: bool, _payloads: object) -> PublishReport:
        told.append(other_source)
        return PublishReport(published=False)

    monkeypatch.setattr("sec_core.usecases.gold.publish_gold", publish)
    span = ["--from", "2025-02", "--to", "2025-02"]
    for command in (
        ["sync", "--month", "2025-02"],
        ["rerun", "--month", "2025-02"],
        ["backfill", *span],
        ["reprocess", *span],
    ):
        assert main(command) == main([*command, "--other-source"]) == 0
    assert told == [False, True] * 4
    assert source.hours_asked() == []
