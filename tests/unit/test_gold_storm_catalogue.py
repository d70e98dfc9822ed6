"""Storms that are kept between builds are those of a build from nothing, whatever changed in between."""

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from support.gold_frames import make_hours

from sec_core.blobs.local import LocalBlobs
from sec_core.gold.customers import COMUNA_CUSTOMERS_SCHEMA
from sec_core.gold.month_files import month_key
from sec_core.gold.storm_catalogue import HITS_SCHEMA, Storms, bring_up_to_date, described
from sec_core.gold.storm_curves import CURVES_SCHEMA, STORMS_SCHEMA
from sec_core.gold.storms import StormRules, StormSearch, find_storms
from sec_core.hours import Month, closed_hours
from sec_core.reference.tables import neighbours

MONTHS = [Month(2024, 5).shift(n) for n in range(4)]
NOW = datetime(2025, 1, 1, tzinfo=UTC)
HOURS = {month: closed_hours(month, NOW) for month in MONTHS}
CODES = ["13101", "13103", "13123", "13132", "05101", "05109", "05103"]
RULES = StormRules(peak=4_000)
COMPANY = pl.when(pl.col("codigo_comuna") < "13").then(pl.lit("Chilquinta")).otherwise(pl.lit("Enel"))


class World:
    """A panel by month, and what is known of its hours; changes are random."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.values = {month: self._drawn(month) for month in MONTHS}
        self.missing: set[datetime] = set()
        self.customers = dict.fromkeys(CODES, 60_000)
        self.version = dict.fromkeys(MONTHS, 0)
        # One over the end of a month, one that goes on for more than a month.
        self._storm(MONTHS[1].start - timedelta(hours=9), 40, 2_000)
        self._storm(MONTHS[2].end - timedelta(hours=300), 900, 1_500)

    def _drawn(self, month: Month) -> dict[tuple[datetime, str], int]:
        return {
            (hour, code): self.random.randint(1, 900) for hour in HOURS[month] for code in CODES if self._chance(0.1)
        }

    def _chance(self, share: float) -> bool:
        return self.random.random() < share

    def _storm(self, at: datetime, hours: int, customers: int) -> None:
        for n in range(hours):
            hour = at + timedelta(hours=n)
            month = Month.of(hour)
            for code in CODES[:4]:
                if month in self.values:
                    self.values[month][hour, code] = int(customers * (1 - n / hours)) + 1

    def change(self) -> None:
        """Change one month, as a load would, or the customers of a comuna."""
        month = self.random.choice(MONTHS)
        kind = self.random.randrange(4)
        if kind == 0:
            self._storm(self.random.choice(HOURS[month]), self.random.randint(3, 60), self.random.randint(800, 4_000))
            self.version = {each: version + 1 for each, version in self.version.items()}
        elif kind == 1:
            self.missing ^= set(self.random.sample(HOURS[month], 30))
        elif kind == 2:
            self.customers[self.random.choice(CODES)] = self.random.choice([0, 20_000, 90_000])
        else:
            self.values[month] = self._drawn(month)
            self.version[month] += 1

    def panel(self, month: Month) -> pl.DataFrame:
        rows = [(hour, code, out) for (hour, code), out in sorted(self.values[month].items())]
        return pl.DataFrame(rows, schema=HITS_SCHEMA, orient="row").with_columns(forma=pl.lit("detailed"))

    def calendar(self) -> pl.DataFrame:
        hours = [hour for month in MONTHS for hour in HOURS[month]]
        return make_hours(MONTHS, hours, self.missing, NOW)

    def served(self, month: date) -> pl.DataFrame:
        rows = [(month, code, count, "viviendas", "INE") for code, count in self.customers.items()]
        return pl.DataFrame(rows, schema=COMUNA_CUSTOMERS_SCHEMA, orient="row")

    def bring_up_to_date(self, folder: Path) -> Storms:
        gold = LocalBlobs(folder)
        for month in MONTHS:
            panel = self.panel(month)
            for key, rows in (
                (month_key(month, "panel"), panel),
                (month_key(month), panel.with_columns(nombre_empresa=COMPANY)),
            ):
                path = folder / key
                path.parent.mkdir(parents=True, exist_ok=True)
                rows.write_parquet(path)
        digests = {month: f"{month} {self.version[month]}" for month in MONTHS}
        served = self.served(MONTHS[0].first_day)
        return bring_up_to_date(gold, digests, self.calendar(), served, RULES)

    def from_nothing(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        served = pl.concat([self.served(month.first_day) for month in MONTHS])
        calendar = self.calendar()
        panel = pl.concat([self.panel(month) for month in MONTHS])
        loaded = calendar.filter(~pl.col("sospechosa"))["hora"]
        return find_storms(panel, loaded, calendar["hora"], served, neighbours(), RULES)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_kept_equals_a_build_from_nothing(seed: int, tmp_path: Path) -> None:
    world, seen = World(seed), 0
    for _ in range(8):
        storms, curves, _ = world.bring_up_to_date(tmp_path)
        wanted_storms, wanted_curves = world.from_nothing()
        assert storms.equals(wanted_storms)
        assert curves.equals(wanted_curves)
        world.change()
        seen += storms.height
    assert seen > 10


def test_only_what_a_changed_month_touches_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(1)
    world.bring_up_to_date(tmp_path)
    measured: list[object] = []
    measure = StormSearch.measure

    def noted(self: StormSearch, cells: Any) -> Any:  # noqa: ANN401 - as the method
        measured.append(cells)
        return measure(self, cells)

    monkeypatch.setattr(StormSearch, "measure", noted)
    before = (tmp_path / "kept" / "storms.parquet").stat().st_mtime_ns
    world.bring_up_to_date(tmp_path)
    assert not measured
    assert (tmp_path / "kept" / "storms.parquet").stat().st_mtime_ns == before
    world.version[MONTHS[3]] += 1
    storms, *_ = world.bring_up_to_date(tmp_path)
    assert 0 < len(measured) < storms.height


@pytest.mark.parametrize("seed", range(6))
def test_months_may_come_in_any_order(seed: int, tmp_path: Path) -> None:
    """After each month the storms, ids included, are those of a build from nothing; saying it twice changes nothing."""
    world = World(seed)
    whole = dict(world.values)
    order = random.Random(seed).sample(MONTHS, len(MONTHS))
    world.values = {month: {} for month in MONTHS}
    world.missing = {hour for month in MONTHS for hour in HOURS[month]}
    for month in order:
        world.values[month] = whole[month]
        world.version[month] += 1
        world.missing -= set(HOURS[month])
        wanted = world.from_nothing()
        for _ in range(2):
            storms, curves, companies = world.bring_up_to_date(tmp_path)
            assert storms.equals(wanted[0])
            assert curves.equals(wanted[1])
            assert set(companies["id"]) == set(storms["id"])


def row(**changes: object) -> dict[str, object]:
    start = datetime(2024, 8, 2, 4, tzinfo=UTC)
    usual: dict[str, object] = {
        "id": "x", "inicio": start, "fin": start + timedelta(hours=9), "hora_punta": start, "punta": 20_000,
        "comunas": 3, "regiones": "05,13", "cobertura": 1.0, "horas_hasta_punta": 0, "abierta": False,
    }  # fmt: skip
    return dict.fromkeys(STORMS_SCHEMA) | usual | changes


def test_names_and_notes() -> None:
    start = datetime(2024, 8, 2, 4, tzinfo=UTC)
    blackout = datetime(2025, 2, 25, 19, tzinfo=UTC)
    rows = [
        row(),
        row(regiones="01"),
        row(cobertura=0.17, horas_hasta_punta=None),
        row(horas_hasta_punta=None),
        row(abierta=True, fin=None),
        row(fin=start + timedelta(days=30)),
        row(inicio=blackout, hora_punta=blackout, fin=blackout + timedelta(hours=5)),
        *(row(id=name, regiones="01") for name in ("feeder", "storm")),
    ]
    curves = [("feeder", start, code, out) for code, out in (("01101", 9_000), ("01107", 7_000), ("01401", 4_000))]
    curves += [("storm", start, code, 5_000) for code in ("01101", "01107", "01401", "01402")]
    hours = pl.DataFrame(
        {"hora": [start, start + timedelta(hours=20)], "forma": ["detailed", "aggregated"]},
        schema={"hora": pl.Datetime("us", "UTC"), "forma": pl.String},
    )
    found = described(
        pl.DataFrame(rows, schema=STORMS_SCHEMA, orient="row"),
        pl.DataFrame(curves, schema=CURVES_SCHEMA, orient="row"),
        hours,
    )
    assert found["nombre"].to_list()[0] == "Temporal de viento del 1 al 3 de agosto de 2024"
    assert found["nombre"].to_list()[1] is None, "the storm touches none of the regions"
    notes = found["nota"].to_list()
    assert notes[0] is None
    assert notes[2] == (
        "Se vio el 17 % de sus horas: la punta es la mayor vista, y lo que los vacíos ocultan queda sin valor."
    )
    assert notes[3] == "Un vacío oculta su comienzo."
    assert notes[4] == "Sigue abierta. La fuente cambió de forma mientras duraba."
    assert notes[5].startswith("Cortada a los 30 días")
    assert notes[6].startswith("Colapso de la transmisión")
    assert notes[7] == "Casi toda su punta está en una o dos comunas: puede ser una falla local y no un temporal."
    assert notes[8] is None
