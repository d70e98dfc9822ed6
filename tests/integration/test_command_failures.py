"""What goes wrong ends with exit code 1 and one clear line, and what was captured stays."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from support.capturing import keep_answers
from support.fixtures import SEC

from deployments.cli.main import main
from sec_core.bronze.ledger import Ledger
from sec_core.hours import Month
from sec_core.simulator.faults import FaultOptions, FaultRule
from sec_core.simulator.options import WorldOptions

if TYPE_CHECKING:
    from sec_core.config import Settings
    from sec_core.db.database import Database
    from sec_core.simulator.server import Simulator


MONTH = Month(2025, 2)
WORLD = WorldOptions.tiny(seed=3)


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
    before = Ledger(database).month_summary([MONTH], source.now())[0]
    assert 100 < before.captured <= 7 * 24

    monkeypatch.setenv("SEC_BASE_URL", "http://127.0.0.1:1/")
    assert main(["sync", "--month", str(MONTH)]) == 1
    assert "probe" in last_line(capsys)
    assert Ledger(database).month_summary([MONTH], source.now())[0].captured == before.captured


def test_a_person_sees_one_line_and_no_trace(commands: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert commands.retries == 0
    monkeypatch.setenv("SEC_BASE_URL", "http://127.0.0.1:1/")
    # The fixture's server has set it for this process.
    monkeypatch.delenv("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", raising=False)
    command = [*SEC, "sync", "--month", str(MONTH)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("sec: ")] == done.stderr.splitlines()[-1:]


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
    assert Ledger(database).month_summary([MONTH], source.now())[0].complete


def test_an_answer_of_another_shape_stops_the_run_and_is_kept_while_what_is_good_is_loaded(
    source: Simulator, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    source.set_faults(FaultOptions(rules=(FaultRule.parse("renamed_key,hours=2025-02-02T00..2025-02-28T23"),)))
    assert main(["sync", "--month", str(MONTH)]) == 1
    line = last_line(capsys)
    assert "CLIENTES_AFECTADOS" in line
    assert "sec reprocess" in line
    summary = Ledger(database).month_summary([MONTH], source.now())[0]
    assert summary.quarantined >= 1
    assert summary.captured <= 24
    assert summary.pending > 500
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("select count(*) from cargas").scalar() == summary.captured > 0
