"""Indices of a small world against values computed by hand, from observations to the rows that are published."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from itertools import accumulate
from typing import Any

import polars as pl
import pytest
from support.gold_frames import NAMES, make_calendar, make_customers, make_loads, make_monthly, make_observations

from sec_core.gold.customers import comuna_customers
from sec_core.gold.indices import Indices, make_indices
from sec_core.gold.panel import pattern
from sec_core.gold.payloads.hours import ReliabilityRow, official, official_comparison
from sec_core.hours import Month

AUGUST = Month(2024, 8)
NOW = datetime(2024, 9, 1, 12, tzinfo=UTC)
NO_BILLING = pl.DataFrame(
    schema={"mes": pl.Date, "codigo_comuna": pl.String, "clientes": pl.Int64, "fuente": pl.String}
)
CUSTOMERS = make_customers(
    (date(2024, 8, 1), "07", "MAULE", 1000, None, "052019"),
    (date(2024, 8, 1), "11", "AYSEN", 500, None, "052019"),
)
NO_EVENTS = pl.DataFrame(schema={"mes": pl.Date(), "nombre_region": pl.String(), "clientes_afectados": pl.Int64()})


class SmallWorld:
    """Loaded hours of a form and what they list: (number of the hour, comuna, customers)."""

    def __init__(
        self,
        loaded: Sequence[int],
        listed: Sequence[tuple[int, int, int]],
        months: Sequence[Month] = (AUGUST,),
    ) -> None:
        hours = [hour for month in months for hour in month.hours()]
        self.loads = make_loads([hours[n] for n in loaded], "aggregated")
        self.seen = pattern(make_calendar(NOW, self.loads["hora"], "aggregated"), 12)
        rows = make_observations((hours[n], place, 1, None, customers) for n, place, customers in listed)
        self.monthly = make_monthly(rows, self.loads, self.seen)

    def indices(self, customers: pl.DataFrame = CUSTOMERS) -> Indices:
        by_comuna = comuna_customers(customers, NO_BILLING)
        return make_indices(self.monthly, self.seen, self.loads, NO_EVENTS, customers, by_comuna, NAMES)

    def rows(self) -> dict[str, dict[str, Any]]:
        table = self.indices().reliability
        rows = [ReliabilityRow.model_validate(row).model_dump() for row in table.to_dicts()]
        return {row["nombre_region"]: row for row in rows}


EVERY = range(744)


def test_a_gap_is_bridged_by_a_straight_line_and_the_rest_by_the_share_of_hours() -> None:
    loaded = [n for n in EVERY if not 10 < n < 16 and n < 700]
    rows = SmallWorld(loaded, [(10, 7101, 120), (16, 7101, 60)]).rows()
    maule = rows["MAULE"]
    # Five hours between 120 and 60: 110, 100, 90, 80, 70. 44 hours at the end are uncovered.
    whole = (120 + 60 + 450) * 744 / 700
    assert maule["metodo"] == "estimado"
    assert maule["saidi"] == pytest.approx(whole / 1000, abs=1e-8)
    assert maule["saidi_observado"] == 0.18
    assert maule["saidi_inf"] < maule["saidi"] < maule["saidi_sup"]
    assert (maule["cobertura"], maule["interpolada"]) == (round(695 / 744, 6), round(5 / 744, 6))
    # Rises are lost between snapshots: a lower bound, said so, from which nothing else is made.
    assert (maule["saifi"], maule["cubierto"], maule["caidi"]) == (0.12, False, None)
    assert "mínimo" in maule["nota"]


def test_without_customers_there_are_no_indices_but_customer_hours() -> None:
    world = SmallWorld(EVERY, [(5, 7101, 100), (5, 0, 11)])
    found = world.indices(customers=make_customers())
    assert found.reliability.is_empty()
    regional = found.regional.filter(pl.col("cliente_horas") > 0)
    assert regional.select("nombre_region", "cliente_horas", "saidi").rows() == [
        ("MAULE", 100.0, None),
        ("UNKNOWN", 11.0, None),
        ("CHILE", 111.0, None),
    ]


def test_comunas_have_their_own_estimates_and_share_their_regions_customers() -> None:
    found = SmallWorld(EVERY, [(5, 7101, 100), (6, 7102, 30)]).indices().comunal
    assert found.height == 3
    talca = found.row(0, named=True)
    assert (talca["nombre_comuna"], talca["cliente_horas"], talca["metodo"]) == ("TALCA", 100.0, "medido")
    assert talca["metodo_clientes"] == "viviendas"
    assert talca["saidi"] == round(100 / talca["clientes"], 8)
    coihaique = found.row(2, named=True)
    assert (coihaique["cliente_horas"], coihaique["saidi"]) == (0.0, 0.0)


def test_the_official_figure_stands_beside_the_estimate_of_its_own_months() -> None:
    """An estimate of 2024 up to November needs all its months: one of August alone gives none."""
    table = official().filter(pl.col("anho").is_in([2019, 2024]))
    assert table.height == 18
    world = SmallWorld(EVERY, [(n, 7101, 100) for n in EVERY])
    found = official_comparison(table, world.monthly, world.seen, CUSTOMERS)
    assert found["nombre_region"].to_list() == table["nombre_region"].to_list()
    assert found.filter(anho=2024).select("saidi_oficial", "saidi", "razon", "cobertura").rows() == [
        (27.59, None, None, 1.0)
    ]
    assert set(found.filter(anho=2019)["parcial"]) == {None, "enero a noviembre"}


def test_the_official_figure_of_whole_years_and_of_their_first_months() -> None:
    months = [Month(2019, number) for number in range(1, 13)]
    starts = list(accumulate((len(month.hours()) for month in months), initial=0))
    listed = [row for start in starts[:-1] for row in ((start + 5, 7101, 1200), (start + 6, 11101, 300))]
    world = SmallWorld(range(starts[-1]), listed, months=months)
    customers = make_customers(
        (date(2019, 1, 1), "07", "MAULE", 1000, None, None), (date(2019, 1, 1), "11", "AYSEN", 500, None, None)
    )
    found = official_comparison(official().filter(anho=2019), world.monthly, world.seen, customers)
    chile = found.row(0, named=True)
    # Twelve months of 1500 customer-hours by 1500 customers, all of them loaded.
    assert (chile["saidi"], chile["saidi_inf"], chile["saidi_sup"], chile["razon"]) == (12.0, 12.0, 12.0, 0.8621)
    maule = found.filter(nombre_region="MAULE").row(0, named=True)
    assert (maule["saidi"], maule["razon"], maule["cobertura"]) == (13.2, round(13.2 / 18.22, 4), 1.0)
