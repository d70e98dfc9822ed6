"""`revisiones.parquet`: every answer of an hour, and by region where there are several."""

from datetime import timedelta
from pathlib import Path

import polars as pl

from sec_core.blobs.local import LocalBlobs
from sec_core.bronze.ledger import Finding, Ledger
from sec_core.bronze.store import BronzeStore
from sec_core.db.database import Database
from sec_core.gold.frames import SQL, read_names, snapshot
from sec_core.gold.revisions import revisions
from sec_core.hours import HOUR, Month
from sec_core.simulator.answers import detailed_body
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.world import World
from sec_core.source.shapes import classify


def test_answers_are_counted_by_region(database: Database, tmp_path: Path) -> None:
    world = World(WorldOptions.tiny(seed=3))
    first, second = Month(2025, 8).hours()[30:32]
    store, gold = BronzeStore(tmp_path / "bronze"), LocalBlobs(tmp_path / "gold")
    bodies = {
        (hour, number): detailed_body(world, hour, world.rows(hour, number), number)
        for hour, number in ((first, 0), (second, 0), (second, 1))
    }
    for (hour, number), body in bodies.items():
        received = hour + HOUR + timedelta(minutes=5 + number)
        Ledger(database, store).record([Finding(hour, received, body, classify(body))])
    with snapshot(database) as connection:
        held, names = connection.query(SQL["answers"]), read_names(connection)
    found = revisions(gold, held, store, names)
    country, regions = found.filter(pl.col("codigo_region").is_null()), found.drop_nulls("codigo_region")
    assert country.select("hora", "revision").rows() == [(first, 1), (second, 1), (second, 2)]
    assert set(regions["hora"]) == {second}
    sums = regions.group_by("revision").agg(pl.col("clientes_afectados", "n_filas").sum()).sort("revision")
    told = country.filter(pl.col("hora") == second).select("revision", "clientes_afectados", "n_filas")
    assert sums.rows() == told.rows()
    # What is kept is not read again; a body that is gone leaves the country's row.
    assert revisions(gold, held, BronzeStore(tmp_path / "nothing"), names).equals(found)
    gone = revisions(LocalBlobs(tmp_path / "other"), held, BronzeStore(tmp_path / "nothing"), names)
    assert gone.equals(country)
