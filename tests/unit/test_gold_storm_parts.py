"""Restoration by region and company: each part from its own peak, and nothing compared over what was not seen alike."""

from datetime import UTC, datetime, timedelta

import polars as pl

from sec_core.gold.frames import UTC_TIME
from sec_core.gold.storm_curves import STORMS_SCHEMA, compared, restored

START = datetime(2024, 8, 2, 4, tzinfo=UTC)
HOURS = [START + timedelta(hours=n) for n in range(-1, 12)]


def storm(name: str, **changes: object) -> dict[str, object]:
    base: dict[str, object] = dict.fromkeys(STORMS_SCHEMA) | {"id": name, "inicio": START, "fin": HOURS[10]}
    return base | {"punta": 40_000, "horas_90": 6, "cobertura": 1.0} | changes


def parts(curves: dict[str, list[int]], name: str = "a") -> pl.DataFrame:
    rows = [
        (name, part, START + timedelta(hours=n), out)
        for part, curve in curves.items()
        for n, out in enumerate(curve)
        if out
    ]
    columns = {"id": pl.String(), "parte": pl.String(), "hora": UTC_TIME, "clientes_afectados": pl.Int64()}
    return pl.DataFrame(rows, schema=columns, orient="row")


def calendar(*suspect: int, missing: tuple[int, ...] = ()) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "hora": HOURS,
            "cargada": [n - 1 not in missing for n in range(len(HOURS))],
            "sospechosa": [n - 1 in suspect for n in range(len(HOURS))],
        },
        schema_overrides={"hora": UTC_TIME},
    )


CURVES = {"05": [100, 900, 400, 90], "13": [1000, 700, 500, 101, 100], "16": [5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5]}


def test_each_part_is_measured_from_its_own_peak() -> None:
    storms = pl.DataFrame([storm("a")], schema=STORMS_SCHEMA, orient="row")
    found = restored(parts(CURVES), storms, calendar())
    assert found.rows() == [("a", "05", 900, 2), ("a", "13", 1000, 4), ("a", "16", 5, None)]
    behind_gaps = restored(parts(CURVES), storms, calendar(3, missing=(2,)))
    # The first hour seen with a tenth left is the one after the gap, or the hour before it has no data.
    assert behind_gaps.rows() == [("a", "05", 900, None), ("a", "13", 1000, None), ("a", "16", 5, None)]


def test_what_was_seen_differently_stands_apart() -> None:
    rows = [
        storm("a"),
        storm("b", punta=50_000, horas_90=8),
        storm("c", cobertura=0.17, horas_90=None),
        storm("d", punta=12_000, horas_90=2),
    ]
    storms = pl.DataFrame(rows, schema=STORMS_SCHEMA, orient="row")
    regions = restored(parts(CURVES), storms, calendar())
    companies = restored(parts({"Enel": CURVES["13"], "CGE": CURVES["05"]}, "c"), storms, calendar())
    found = compared(storms, regions, companies)
    assert found["anho"].rows() == [
        ("2024", 0, True, 1, 1, 12_000, 2, 1.0),
        ("2024", 30_000, False, 1, 0, 40_000, None, 0.17),
        ("2024", 30_000, True, 2, 2, 45_000, 7, 1.0),
    ]
    assert found["region"]["grupo"].to_list() == ["05", "13", "16"]
    assert found["empresa"].select("grupo", "completa", "horas_90").rows() == [("CGE", False, 2), ("Enel", False, 4)]
