"""`sec explain`: agrees with every row of a small history of both shapes, and finds each kind of damage."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.fixtures import StandingClock, change, on_disk
from support.gold_world import CUSTOMERS
from support.silver_world import rows_of
from support.truth import stormy

from deployments.cli.main import main
from sec_core.bronze.ledger import Finding, Ledger
from sec_core.bronze.ledger_table import LedgerTables
from sec_core.bronze.store import BronzeStore
from sec_core.config import Settings, load_settings
from sec_core.db.database import Database
from sec_core.errors import InputError
from sec_core.gold.build import build_gold
from sec_core.gold.explain import explain
from sec_core.gold.explanation import Explanation
from sec_core.hours import Month, hours_of_day
from sec_core.silver.load import load_month
from sec_core.simulator.answers import hour_body
from sec_core.source.shapes import AnsweredBy, Shape, classify

FIRST, DAYS, SWITCH = date(2025, 8, 29), 6, 4
NOW = datetime(2025, 9, 5, 12, tzinfo=UTC)


FixedClock = partial(StandingClock, NOW)


@dataclass(frozen=True)
class History:
    """Six stormy days over a month's border, detailed and then aggregated, in Bronze, Silver and Gold."""

    database: Database
    settings: Settings
    store: BronzeStore
    hours: list[datetime]

    def rows(self, payload: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = orjson.loads(
            (on_disk(self.settings.gold) / f"dashboard_stats/{payload}.json").read_bytes()
        )
        return found

    def explain(self, payload: str, **wanted: str) -> Explanation:
        return explain(self.database, self.settings, BronzeStore(self.store.blobs), payload, wanted)

    def path(self, hour: datetime) -> Path:
        (revision,) = LedgerTables(self.database).revisions(hour)
        return on_disk(self.settings.bronze) / revision.capture.key

    def change(self, sql: str) -> None:
        change(self.database, sql)


@pytest.fixture
def history(database: Database, commands: Settings, monkeypatch: pytest.MonkeyPatch) -> History:
    monkeypatch.setenv("SEC_STORM_MIN_COMUNAS", "2")  # so that few comunas make a storm
    settings = load_settings(_env_file=None, data_dir=commands.data_dir)
    store = BronzeStore(settings.bronze)
    days = [FIRST + timedelta(days=step) for step in range(DAYS)]
    hours = [hour for day in days for hour in hours_of_day(day) if hour < NOW - timedelta(hours=1)]
    world = stormy(hours, 7)
    findings = []
    for number, hour in enumerate(hours):
        if number % 17 == 3:
            continue
        body = hour_body(world, hour, Shape.DETAILED if number < SWITCH * 24 else Shape.AGGREGATED)
        at = hour + timedelta(hours=1)
        findings.append(Finding(hour, at, body, classify(body), answered_by=AnsweredBy("apps.sec.cl")))
    ledger = Ledger(database, store)
    ledger.record(findings)
    values = (f"('2025-08-01', '{code}', {customers}, '052019', now())" for code, customers in CUSTOMERS.items())
    insert = "insert into clientes_regionales (mes, codigo_region, clientes, periodo_star, capturado_en) values"
    change(database, f"{insert} {', '.join(values)}")
    for month in (Month(2025, 8), Month(2025, 9)):
        load_month(database, store.read_kept, month, settings, values=ledger)
    build_gold(database, settings, FixedClock())
    return History(database, settings, store, [finding.hour for finding in findings])


def texts(row: dict[str, Any], *keys: str) -> dict[str, str]:
    return {key: str(row[key]) for key in keys}


def test_it_agrees_with_every_row(history: History) -> None:
    keys = {
        "reliability": ("mes", "nombre_region"),
        "time_series": ("mes", "nombre_region"),
        "market_map": ("nombre_region", "nombre_comuna", "nombre_empresa"),
    }
    for payload, names in keys.items():
        rows = history.rows(payload)
        assert rows, payload
        for row in rows:
            found = history.explain(payload, **texts(row, *names))
            assert found.equal, (payload, row, found.differences)
            assert found.row == row


def test_other_payloads_and_events_are_explained(history: History) -> None:
    for payload, key in (
        ("company_ranking", "nombre_empresa"),
        ("eda_quality_stats", "category"),
        ("sensitivity", "umbral"),
        ("coverage", "mes"),
    ):
        row = history.rows(payload)[0]
        found = history.explain(payload, **texts(row, key))
        assert found.equal, (payload, found.differences)
        assert found.definitions
    assert history.explain("quality", mes="2025-08", nombre_region="MAULE").equal
    (storm,) = history.rows("storms")
    found = history.explain("storms", id=storm["id"])
    assert found.equal, found.differences
    assert found.recomputed == storm
    official = history.rows("official_comparison")[-1]
    assert history.explain("official_comparison", **texts(official, "anho", "nombre_region")).equal
    work = history.rows("investment_validation")[0]
    assert history.explain("investment_validation", project=work["project"]).equal
    assert history.explain("meta").equal is None
    for (hash_id,) in rows_of(history.database, "select hash_id from fact_interrupciones order by 1 limit 12"):
        found = history.explain("event", hash_id=str(hash_id))
        assert found.equal, found.differences
    with pytest.raises(InputError, match="rows of time_series match"):
        history.explain("time_series", mes="2025-08")
    with pytest.raises(InputError, match="no key mess"):
        history.explain("time_series", mess="2025-08")
    with pytest.raises(InputError, match="no payload"):
        history.explain("none")


def test_it_says_what_a_figure_rests_on(history: History) -> None:
    found = history.explain("reliability", mes="2025-08", nombre_region="CHILE")
    assert found.hours["esperadas"] == 744
    own = [hour for hour in history.hours if Month.of(hour) == Month(2025, 8)]
    assert found.hours["cargadas"] == len(own)
    assert found.captures["origenes"] == {"SEC": len(history.hours)}
    assert len(found.files) == len(history.hours)
    assert found.denominator is not None
    assert found.denominator["periodo_star"] == "052019"
    # Customers were asked for in August alone: those of another month are these.
    others = {str(row["mes"]) for row in history.rows("reliability")} - {"2025-08"}
    other = history.explain("reliability", mes=min(others), nombre_region="CHILE").denominator
    assert other is not None
    assert found.denominator["mes"] == other["mes"] == "2025-08"
    assert found.denominator["antiguedad_meses"] == 6 * 12 + 3
    assert (
        found.rows
        == rows_of(history.database, "select sum(n_filas) from cargas where hora < '2025-09-01 04:00+00'")[0][0]
    )
    assert found.imputed["geografia"] > 0
    assert any("major event days" in note for note in found.notes)
    assert found.denominator["origen"] == "desconocido"
    page = found.markdown(files=True)
    assert "equal" in page
    assert str(found.files[0]["sha256"]) in page


def test_the_command_says_it_to_people_and_programs(history: History, capsys: pytest.CaptureFixture[str]) -> None:
    ((hash_id,),) = rows_of(history.database, "select hash_id from fact_interrupciones order by 1 limit 1")
    assert main(["explain", "event", str(hash_id)]) == 0
    assert "bodies: equal" in capsys.readouterr().out
    assert main(["explain", "reliability", "mes=2025-08", "nombre_region=MAULE", "--json", "--captures"]) == 0
    found = orjson.loads(capsys.readouterr().out)
    assert (found["equal"], len(found["files"])) == (True, len(history.hours))
    assert main(["explain", "reliability", "mes=2025-08", "MAULE"]) == 1
    assert "no key=value" in capsys.readouterr().err


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def _exchange(history: History, hour: datetime) -> None:
    other = history.path(history.hours[50]).read_bytes()
    history.path(hour).write_bytes(other)


DAMAGE: dict[str, tuple[Callable[[History, datetime], None], str]] = {
    "exchanged body": (_exchange, "holds other bytes"),
    "flipped bit": (lambda h, hour: _flip(h.path(hour)), "is damaged"),
    "missing body": (lambda h, hour: h.path(hour).unlink(), "is gone"),
    "changed observation": (
        lambda h, hour: h.change(
            "update fact_observaciones set clientes_afectados = clientes_afectados + 1 where ctid ="
            f" (select ctid from fact_observaciones where hora = '{hour}' limit 1) and hora = '{hour}'"
        ),
        "not those of its body",
    ),
    "changed event": (
        lambda h, _hour: h.change(
            "update fact_interrupciones set cliente_horas = cliente_horas + 1 where hash_id ="
            " (select hash_id from fact_interrupciones where id_tiempo / 10000 = 202508 and id_geografia > 0"
            " and ultima_hora < '2025-08-31' order by hash_id limit 1)"
        ),
        "PostgreSQL holds other figures",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named(history: History, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    damage, text = DAMAGE[kind]
    hour = history.hours[60]
    damage(history, hour)
    names = ("nombre_region", "nombre_comuna", "nombre_empresa")
    ((region, comuna, company),) = rows_of(
        history.database,
        "select nombre_region, nombre_comuna, nombre_empresa from fact_interrupciones join dim_geografia using"
        " (id_geografia) join dim_empresa using (id_empresa) where id_tiempo / 10000 = 202508 and id_geografia > 0"
        " and ultima_hora < '2025-08-31' order by hash_id limit 1",
    )
    place = dict(zip(names, (region, comuna, company), strict=True))
    found = [
        history.explain("reliability", mes="2025-08", nombre_region=region),
        history.explain("time_series", mes="2025-08", nombre_region=region),
        history.explain("market_map", **place),
        history.explain("sensitivity", **texts(history.rows("sensitivity")[0], "umbral", "anho")),
    ]
    for each in found:
        assert each.equal is False
        assert any(text in line for line in each.differences), each.differences
    assert main(["explain", "reliability", "mes=2025-08", f"nombre_region={region}"]) == 1
    said = capsys.readouterr()
    assert "NOT equal" in said.out
    assert "sec reprocess" in said.err
    if kind == "changed observation":
        assert "2025-08-31" in " ".join(found[0].differences)
