"""Payloads of a simulated world against its truth, which is computed by plain loops and shares nothing with them."""

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from operator import add
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from support.fixtures import contents, on_disk
from support.gold_world import CUSTOMERS, FixedClock, GoldWorld, load_world

from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.gold.build import build_gold
from sec_core.hours import CHILE, Month
from sec_core.reference.tables import comunas, regiones
from sec_core.source.shapes import Shape

REGIONS = {region.codigo: region.nombre for region in regiones()} | {"": "UNKNOWN"}
COMUNAS = {comuna.codigo: comuna.nombre for comuna in comunas()} | {"": "UNKNOWN"}


def month_of(instant: datetime) -> str:
    return f"{instant.astimezone(CHILE):%Y-%m}-01"


@pytest.mark.parametrize("shape", list(Shape))
def test_payloads_equal_the_truth(shape: Shape, database: Database, make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    world = load_world(database, settings, shape)
    report = build_gold(database, settings, FixedClock())
    events = world.truth.events(world.captured)
    assert report.events == len(events) > 20
    found: dict[str, list[dict[str, Any]]] = {
        name: json.loads((on_disk(settings.gold) / "dashboard_stats" / f"{name}.json").read_bytes())
        for name in report.payloads
    }

    series: dict[tuple[str, str], int] = defaultdict(int)
    places: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    companies: dict[str, list[int]] = defaultdict(list)
    for event in events:
        region = REGIONS[event.geo[:2]]
        series[month_of(event.start), region] += event.peak
        places[region, COMUNAS[event.geo], event.company].append(event.peak)
        companies[event.company].append(event.peak)

    seen = {month_of(hour) for hour in world.captured}
    assert {(row["mes"], row["nombre_region"]): row["afectados"] for row in found["time_series"]} == {
        key: customers for key, customers in series.items() if key[0] in seen
    }
    outside = [event.peak for event in events if month_of(event.start) not in seen]
    assert found["meta"][0]["fuera_de_ventana"] == {"eventos": len(outside), "clientes": sum(outside)}
    by_name = {name: CUSTOMERS[code] for code, name in REGIONS.items() if code}
    assert {
        (row["nombre_region"], row["nombre_comuna"], row["nombre_empresa"]): (
            row["total_afectados"],
            row["frecuencia"],
            row["instability_index"],
        )
        for row in found["market_map"]
    } == {
        key: (
            sum(peaks),
            len(peaks),
            pytest.approx(100 * sum(peaks) / by_name[key[0]], abs=1e-6) if key[0] in by_name else None,
        )
        for key, peaks in places.items()
    }
    known = {name: peaks for name, peaks in companies.items() if name not in {"UNKNOWN", "NO INFORMADA"}}
    ranked = sorted(known, key=lambda name: (-sum(known[name]), -len(known[name]), name))[:15]
    assert [row["nombre_empresa"] for row in found["company_ranking"]] == ranked
    assert [row["total_clientes_afectados"] for row in found["company_ranking"]] == [
        sum(known[name]) for name in ranked
    ]
    assert bool(ranked) == (shape is Shape.DETAILED)

    rows = sum(world.truth.row_count(hour) for hour in world.captured)
    assert sum(row["filas"] for row in found["coverage"]) == rows
    assert sum(row["capturadas"] for row in found["coverage"]) == len(world.captured)
    assert sum(row["vacias"] for row in found["coverage"]) == 10
    assert found["meta"][0]["totales"]["filas"] == rows

    indices = {(row["mes"], row["nombre_region"]): row for row in found["reliability"]}
    assert {month for month, _ in indices} == seen
    listed = listed_hours(world)
    for loaded in {Month.of(hour) for hour in world.captured}:
        inside = [hour for hour in world.captured if Month.of(hour) == loaded]
        for region, customers in by_name.items():
            row = indices[f"{loaded}-01", region]
            sums = [sum(n for place, n in listed[hour].items() if REGIONS[place[:2]] == region) for hour in inside]
            assert row["saidi_observado"] == pytest.approx(sum(sums) / customers, abs=1e-8)
            assert row["punta"] == pytest.approx(max(sums) / customers, abs=1e-8)
            assert row["saifi_eventos"] == pytest.approx(series[f"{loaded}-01", region] / customers, abs=1e-8)
        chile = indices[f"{loaded}-01", "CHILE"]
        peak = max(world.truth.national(hour) for hour in inside)
        assert chile["punta"] == pytest.approx(peak / sum(CUSTOMERS.values()), abs=1e-8)
        assert chile["cobertura"] == pytest.approx(len(inside) / expected_hours(loaded), abs=1e-6)
    check_files(on_disk(settings.gold), listed)
    check_quality(found["eda_quality_stats"], world)


def check_files(gold: Path, listed: dict[datetime, dict[str, int]]) -> None:
    regional = pl.read_parquet(gold / "indices_regionales.parquet")
    comunal = pl.read_parquet(gold / "indices_comunales.parquet")
    parts = regional.filter(pl.col("nombre_region") != "CHILE")["cliente_horas_observadas"].sum()
    whole = regional.filter(pl.col("nombre_region") == "CHILE")["cliente_horas_observadas"].sum()
    assert parts == whole == sum(sum(places.values()) for places in listed.values())
    unknown = regional.filter(pl.col("nombre_region") == "UNKNOWN")["cliente_horas_observadas"].sum()
    assert comunal["cliente_horas_observadas"].sum() == float(whole) - float(unknown)
    assert comunal["cliente_horas_observadas"].sum() > 0
    panel = pl.read_parquet(gold / "panel" / "**" / "*.parquet", hive_partitioning=False)
    assert {(hour, place): n for hour, place, n, _ in panel.iter_rows()} == {
        (hour, place): n for hour, places in listed.items() for place, n in places.items()
    }


def listed_hours(world: GoldWorld) -> dict[datetime, dict[str, int]]:
    """Customers out in each captured hour by the code of the comuna, by plain loops."""
    found: dict[datetime, dict[str, int]] = {}
    for hour in world.captured:
        places: dict[str, int] = defaultdict(int)
        for (place, _, _), seen in world.truth.observations(hour).items():
            places[place] += seen.customers
        found[hour] = dict(places)
    return found


def expected_hours(month: Month) -> int:
    return sum(hour < FixedClock().now().replace(minute=0) for hour in month.hours())


def check_quality(quality: list[dict[str, Any]], world: GoldWorld) -> None:
    counts, rows = [0, 0, 0, 0], 0
    for hour in world.captured:
        for (place, company, _), listed in world.truth.observations(hour).items():
            rows += listed.rows
            unresolved = (listed.rows * (place == ""), listed.rows * (company == "UNKNOWN"))
            counts = [*map(add, counts, (listed.bad_counts, *unresolved, listed.bad_dates))]
    assert all(counts) == (world.shape is Shape.DETAILED)
    assert [row["count"] for row in quality] == [*counts, 0]
    assert [row["percentage"] for row in quality] == [*(count / rows for count in counts), 0.0]


def test_the_number_of_threads_changes_no_byte(database: Database, make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    load_world(database, settings)
    script = (
        "from support.gold_world import FixedClock; from sec_core.config import load_settings; "
        "from sec_core.db.database import open_database; from sec_core.gold.build import build_gold; "
        "settings = load_settings(_env_file=None); build_gold(open_database(settings), settings, FixedClock())"
    )
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "SEC_DATA_DIR": str(settings.data_dir),
        "SEC_DATABASE_URL": database.url,
        "SEC_DRAW_SITE": "1",
    }
    made = []
    for threads in ("1", "4"):
        command = [sys.executable, "-c", script]
        subprocess.run(command, env=environment | {"POLARS_MAX_THREADS": threads}, check=True, timeout=120)
        made.append(contents(on_disk(settings.gold)))
        shutil.rmtree(on_disk(settings.gold))
    one, four = made
    assert len(one) > 100
    assert [name for name in one.keys() | four.keys() if one.get(name) != four.get(name)] == []
