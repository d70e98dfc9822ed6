"""Names and error texts that try to act: none does, in whatever output they come."""

import csv
import io
import json
import logging
import re
import sys
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from loguru import logger
from markdown_it import MarkdownIt
from pydantic import SecretStr

from deployments.cli import show
from deployments.cli.app import say
from deployments.cli.main import main
from deployments.stack import notices
from deployments.stack.matters import Told
from flows.artifacts import show_billing, show_month
from flows.upkeep import health_text, monitor_text
from sec_core.bronze.ledger_rules import HourState
from sec_core.errors import InputError
from sec_core.gold.customers import BILLING_SCHEMA, Billing
from sec_core.gold.sheets import BadRow
from sec_core.health.verdict import Check, Level, Verdict
from sec_core.hours import Month
from sec_core.log import setup_logging
from sec_core.text import LONGEST, counted, for_chat, for_csv, for_line, for_mail, for_markdown
from sec_core.usecases.reports import SyncReport
from sec_core.usecases.upkeep import MonitorReport
from tasks.runtime import prefect_sink

HOSTILE = (
    "[/bold]", "[link=http://evil.example]Talca[/link]", "[red]", "\x1b[2J\x1b[31mTalca", "\x1b]0;title\x07Talca",
    "\x1b]8;;http://evil.example\x1b\\Talca\x1b]8;;\x1b\\", "\x9b31mTalca", "Tal\u202eac\u2066x", "Tal\u200b\ufeffca",
    "Talca\r2026-01-01 INFO all is well", "Talca\nsec: all is well", "Talca\u2028sec\x0b\x85next", "Tal\x00ca\x7f",
    "![x](http://evil.example/x.png)", "[Talca](javascript:alert(1))", "<img src=x onerror=alert(1)>", "a_b_c",
    "http://evil.example/a www.evil.example a@evil.example <http://evil.example>", "# Talca *b*",
    "| a | b |\n|---|---|", "`Talca` ```", "{0} {extra} %s </red>",
    "<!channel> @all &lt;b&gt; &#33;[x](http://evil.example)", "\\![x](http://evil.example)",
    "\ud800Talca", "=HYPERLINK(\"http://evil.example\")", "Talca" * 5000, "- 1. + > ~~Talca~~ $x$ $$",
)  # fmt: skip
STEERING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
each_text = pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))


def hold_plain(shown: str, lines: int | None = None) -> None:
    """Nothing in it steers a terminal or the direction of writing; it has so many lines."""
    assert not {unicodedata.category(each) for each in shown.replace("\n", "")} & STEERING
    shown.encode()
    assert lines is None or len(shown.splitlines()) == lines


def hold_markdown(markdown: str, text: str) -> None:
    """It renders as a paragraph (or cells) of text alone, the one that was given."""
    found = [
        token for block in MarkdownIt().enable("table").parse(markdown) for token in [block, *(block.children or [])]
    ]
    inside = {token.type for token in found} - {"inline", "paragraph_open", "paragraph_close"}
    assert inside <= {"text", "text_special"}, inside
    assert "".join(token.content for token in found if token.type == "text") == for_line(text).strip()
    # What GitHub's dialect makes a link of by itself.
    assert not re.search(r"://|www\.|\w@", markdown)


def hold_chat(line: str) -> None:
    """It is a code span, or has no sign that any chat knows."""
    assert re.fullmatch(r"`[^`<>]*`", line) or not re.search(r"[\\`*_\[\]<>#@&|~$!]|://|www\.|\w\.\w", line)


@each_text
def test_plain_lines(text: str) -> None:
    shown = for_line(text)
    hold_plain(shown, 1)
    assert len(shown) < 2 * LONGEST
    assert for_line(shown[:100]) == shown[:100]
    assert for_line("Ñuñoa, O'Higgins  (VI)") == "Ñuñoa, O'Higgins  (VI)"


@each_text
def test_markdown_chat_and_mail(text: str) -> None:
    hold_markdown(for_markdown(text), text)
    chat = for_chat(text)
    hold_plain(chat, 1)
    hold_chat(chat)
    mail = for_mail(text)
    hold_plain(mail, 1)
    assert "://" not in mail
    assert "www." not in mail


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "Talca", "a=1", "", 'Ñ"\n;,'])
def test_no_cell_of_a_csv_is_a_formula(text: str) -> None:
    frame = pl.DataFrame({"nombre": [text, None], "n": [-1, 2]})
    back = [*csv.reader(io.StringIO(for_csv(frame).decode(), newline=""))]
    assert back[1] == [text if not re.match(r"[=+\-@\t\r]", text) else f"'{text}", "-1"]


@each_text
def test_tables_and_lines_of_the_terminal(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = io.StringIO()
    terminal = show.Terminal(file=written, width=200, force_terminal=True, color_system=None)
    monkeypatch.setattr(show, "Terminal", lambda: terminal)
    show.print_table(("kind", "name"), [((1, text), False)])
    show.print_reports([SyncReport.model_validate({"month": "2025-01", "notes": [text], "outputs": {"gold": text}})])
    show.print_verdict(verdict(text))
    # Styles, which are ours, are off; any escape that is left came from the text.
    hold_plain(re.sub(r"\x1b\[[0-9;]*m", "", written.getvalue()) if "[2J" not in text else written.getvalue())
    assert "\x1b]8" not in written.getvalue()
    for word in re.findall(r"\[[/a-z]+\]", text):
        assert word in written.getvalue()
    say(text)
    hold_plain(capsys.readouterr().out, 1)


@each_text
def test_errors_of_commands_are_one_line(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise InputError(f"{text} is no month.", next_step=text)

    monkeypatch.setattr("deployments.cli.main.commands", lambda: fail)
    assert main(["status"]) == 1
    told = capsys.readouterr()
    hold_plain(told.err, 1)
    assert told.err.startswith("sec: ")
    assert not told.out
    # What Prefect shows of a failed run.
    hold_plain(str(InputError(text)), 1)


def _take(terminal: io.StringIO, message: str) -> None:
    terminal.write(message)


@pytest.fixture
def sinks(tmp_path: Path) -> Iterator[tuple[Path, io.StringIO]]:
    terminal = io.StringIO()
    setup_logging(tmp_path, terminal=lambda message: _take(terminal, message), extra_sinks=(prefect_sink,))
    yield tmp_path, terminal
    logger.remove()
    logger.add(sys.stderr)


@each_text
def test_logs_have_a_line_for_each_message(
    text: str, sinks: tuple[Path, io.StringIO], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder, terminal = sinks
    monkeypatch.setattr("tasks.runtime.get_run_logger", lambda: logging.getLogger("runs"))
    with caplog.at_level(logging.INFO, logger="runs"):
        logger.bind(stage=text, month=text).info("Not read: {}", text)
    hold_plain(terminal.getvalue(), 1)
    (file,) = folder.iterdir()
    raw = file.read_text(encoding="utf-8")
    hold_plain(raw, 1)
    assert json.loads(raw)["message"] == for_line(f"Not read: {text}")
    (record,) = caplog.records
    hold_plain(record.getMessage(), 1)


def verdict(text: str) -> Verdict:
    return Verdict(datetime(2026, 1, 1, tzinfo=UTC), (Check("names", Level.BAD, text, text),))


@each_text
def test_artifacts_of_prefect(text: str) -> None:
    lines = health_text(verdict(text)).splitlines()
    hold_markdown(re.split(r"(?<!\\)\|", lines[-1])[3][1:-1], text)
    hold_markdown(lines[4].partition(" **What to do:** ")[2], text)
    hold_markdown(monitor_text(MonitorReport(note=text)).partition("\n\n")[2].removesuffix("\n"), text)


@each_text
async def test_the_artifacts_of_a_month(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []

    async def keep(**artifact: Any) -> None:  # noqa: ANN401 - whatever an artifact has
        made.append(artifact)

    monkeypatch.setattr("flows.artifacts.acreate_table_artifact", keep)
    monkeypatch.setattr("flows.artifacts.acreate_markdown_artifact", keep)
    monkeypatch.setattr("flows.artifacts.show_overview", keep)
    states = dict.fromkeys(Month.parse("2025-01").hours(), HourState.EMPTY)
    await show_month(SyncReport(month="2025-01", notes=[text], missing_hours=text), states)
    await show_billing(text, Billing(pl.DataFrame(schema=BILLING_SCHEMA), 0, (BadRow(2, text),)))
    title, _, _, row = made.pop()["description"].split("\n")
    hold_markdown(title.removeprefix("# "), text)
    hold_markdown(row.removeprefix("- Row 2 was left out: "), text)
    note = made[0]["description"].partition("\n\n- ")[2]
    hold_markdown(note, text)
    hold_markdown(next(row["figure"] for row in made[0]["table"] if row["what"] == "missing hours"), text)


@each_text
def test_notices(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, str]] = []

    class Apprise:
        def add(self, _: str) -> bool:
            return True

        def notify(self, **mail: str) -> bool:
            sent.append(mail)
            return True

    monkeypatch.setattr("apprise.Apprise", Apprise)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    state = {"type": "FAILED", "name": text, "message": text}
    told = Told(looked=now, healthy=now)
    run = {"name": text, "state": state, "parameters": {}, "id": "r", "end_time": now.isoformat()}
    told.learn(run, "load", "http://127.0.0.1")
    notice = told.due(now)[0].notice
    for field in notice.model_dump().values():
        hold_plain(field)
    hold_chat(notice.text)

    assert notices._send_mail(SecretStr("mailto://x"), notice)
    (mail,) = sent
    hold_plain(mail["title"], 1)
    hold_plain(mail["body"], 3)
    assert "://" not in mail["title"] + mail["body"].replace(notice.url, "")


def test_a_number_of_things_has_the_right_noun() -> None:
    assert [counted(count, "hour") for count in (0, 1, 2, 1234)] == ["0 hours", "1 hour", "2 hours", "1,234 hours"]
    assert [counted(count, "body is", "bodies are") for count in (1, 2)] == ["1 body is", "2 bodies are"]
