"""Bodies gone wrong through store, ledger and Silver: every one is kept, and every row counted."""

import json
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.fixtures import MakeSettings, on_disk
from support.fuzz_bodies import AGGREGATED, DETAILED, body_from

from sec_core.bronze.ledger import Finding, Ledger
from sec_core.bronze.ledger_rules import HourState, Result
from sec_core.bronze.store import BronzeStore
from sec_core.db.database import Database
from sec_core.hours import Month
from sec_core.silver.load import load_month
from sec_core.silver.reports import month_figures, unresolved_names
from sec_core.source.shapes import BodyKind, classify

MONTH = Month(2024, 8)
LATER = datetime(2026, 9, 30, tzinfo=UTC)
RESULTS = {BodyKind.EMPTY: Result.EMPTY, BodyKind.DETAILED: Result.CAPTURED, BodyKind.AGGREGATED: Result.CAPTURED}


@settings(
    max_examples=examples(12),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    # An example is a batch of bodies in one database that goes on: it would take too long to shrink.
    phases=[Phase.explicit, Phase.generate],
    database=None,
)
@given(data=st.data())
def batch(data: st.DataObject, database: Database, make_settings: MakeSettings, rounds: list[int]) -> None:
    settings_ = make_settings()
    store = BronzeStore(on_disk(settings_.bronze))
    ledger = Ledger(database, store)
    rounds.append(len(rounds))
    at = LATER + timedelta(hours=rounds[-1])
    hours = MONTH.hours()[:40]
    bodies = {hour: body_from(data.draw(st.binary(max_size=48))) for hour in hours}
    verdicts = {hour: classify(body) for hour, body in bodies.items()}
    recorded = ledger.record([Finding(hour, at, body, verdicts[hour]) for hour, body in bodies.items()])
    for entry in recorded:
        outcome, body, verdict = entry.outcome, bodies[entry.outcome.hour], verdicts[entry.outcome.hour]
        assert outcome.result is RESULTS.get(verdict.kind, Result.QUARANTINED)
        if entry.kept:
            assert outcome.capture is not None
            assert store.read(outcome.capture.key) == body
            assert (outcome.capture.rows, outcome.capture.customers) == (verdict.rows, verdict.customers)
        if outcome.result is Result.QUARANTINED:
            assert outcome.error
    rows = ledger.rows(hours)
    assert set(rows) == set(hours)
    assert ledger.states(MONTH)[hours[0]] is not HourState.PENDING

    # Nothing in quarantine is loaded, and of what is loaded every row is counted.
    values = [row.value for row in rows.values() if row.value is not None]
    load_month(database, store.read_kept, MONTH, settings_, values=ledger)
    report = month_figures(database, MONTH)
    assert report.hours == len(values)
    assert report.rows == sum(value.rows for value in values)
    assert report.customers == sum(value.customers for value in values)


def test_bodies_gone_wrong_are_kept_and_counted(database: Database, make_settings: MakeSettings) -> None:
    batch(database=database, make_settings=make_settings, rounds=[])
    ledger = Ledger(database, BronzeStore(on_disk(make_settings().bronze)))
    hours = MONTH.hours()
    before = ledger.rows(hours)
    assert sum(row.revisions for row in before.values()) > 200
    quarantined = ledger.quarantine(MONTH.start, MONTH.end)
    assert len(quarantined) > 20
    assert all(item.reason for item in quarantined)
    ledger.rebuild()
    assert ledger.rows(hours) == before


def test_names_however_odd_or_long_are_unresolved_names(database: Database, make_settings: MakeSettings) -> None:
    settings_ = make_settings()
    store = BronzeStore(on_disk(settings_.bronze))
    ledger = Ledger(database, store)
    mixed = "".join(chr(0x4E00 + number * 7919 % 20_000) for number in range(20_000))
    names = [
        "\x00", "a\x00b", "\ud800", "x\udc00y", "\u202eroml", "\x1b[31m", mixed, "x" * 200_000, "\uffff", "[/bold]",
        "\n\r", "},{", '"', "\\", " " * 300, "Talca\u200b", "\U0001f4a9" * 3000,
    ]  # fmt: skip
    for hour, row in zip(MONTH.hours(), (AGGREGATED, DETAILED), strict=False):
        keys = [key for key in row if key.startswith("NOMBRE")]
        rows = [row | {key: name} for name in names for key in keys]
        rows += [row | dict.fromkeys(keys, name) for name in names]
        body = json.dumps(rows).encode()
        ledger.record([Finding(hour, LATER, body, classify(body))])
        assert ledger.rows([hour])[hour].state is HourState.CAPTURED
        load_month(database, store.read_kept, MONTH, settings_, values=ledger)
        report = month_figures(database, MONTH)
        assert report.rows == sum(value.rows for value in ledger.values(MONTH.start, MONTH.end))
        assert report.imputed["geografia"] > len(names)
    found = unresolved_names(database)
    assert max(len(each.name) for each in found) == 200
