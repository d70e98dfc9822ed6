"""The customers of regions again from Bronze: the table is what it was, of whatever months and askings."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sec_core.bronze.store import AnswerName, BronzeStore
from sec_core.db.database import Database
from sec_core.gold.frames import read_customer_origins, snapshot
from sec_core.hours import Month
from sec_core.reference.tables import regiones
from sec_core.silver.universe import newest_askings, rebuild_universe, store_universe
from sec_core.source.answers import RegionCustomers, read_country, read_regions
from sec_core.source.shapes import AnsweredBy


def ask(store: BronzeStore, database: Database, at: datetime, factor: int, *, breaks_off: bool = False) -> None:
    """An asking as the pipeline does it: every answer kept as it comes, the table written at the end."""
    regions: list[RegionCustomers] = []
    for number, region in enumerate(regiones()):
        row = {
            "REGION_ID": str(int(region.codigo)),
            "NOMBRE_REGION": f"Region de {region.nombre_oficial}",
            "PERIODO_STAR": "052019",
            "CLIENTES": factor * (number + 1),
        }
        body = json.dumps([row]).encode()
        store.put_answer("GetClientesRegional", at + timedelta(seconds=number), body, subject=region.codigo)
        regions += read_regions(body)
    if breaks_off:
        return
    ended = at + timedelta(seconds=30, microseconds=123_456)
    national = json.dumps([{"CLIENTES": factor * 200}]).encode()
    store.put_answer("GetClientesNacional", ended, national, answered_by=AnsweredBy("127.0.0.1", "simulator"))
    store_universe(database, regions, read_country(national), ended)


def table(database: Database) -> list[str]:
    with database.engine.connect() as connection:
        found = connection.exec_driver_sql("select t::text from clientes_regionales t order by mes, codigo_region")
        return list(found.scalars())


def test_the_table_is_what_it_was(database: Database, tmp_path: Path) -> None:
    store = BronzeStore(tmp_path)
    ask(store, database, datetime(2025, 1, 1, 5, tzinfo=UTC), 100)
    ask(store, database, datetime(2025, 1, 20, 5, tzinfo=UTC), 110)
    # It ends after midnight in Chile, in another month than it began.
    ask(store, database, datetime(2025, 3, 1, 2, 59, 45, tzinfo=UTC), 120)
    ask(store, database, datetime(2025, 4, 2, 5, tzinfo=UTC), 900, breaks_off=True)
    before = table(database)
    assert len(before) == 2 * 17
    with database.engine.begin() as connection:
        connection.exec_driver_sql("delete from clientes_regionales")
    assert rebuild_universe(database, store) == 2
    assert table(database) == before
    assert rebuild_universe(database, store) == 2
    assert table(database) == before
    with snapshot(database) as connection:
        assert set(read_customer_origins(connection, store)["origen"]) == {"SIMULACIÓN"}


def test_a_newer_figure_in_the_table_stays(database: Database, tmp_path: Path) -> None:
    store = BronzeStore(tmp_path / "kept")
    ask(store, database, datetime(2025, 1, 1, 5, tzinfo=UTC), 100)
    ask(BronzeStore(tmp_path / "lost"), database, datetime(2025, 1, 20, 5, tzinfo=UTC), 110)
    before = table(database)
    assert rebuild_universe(database, store) == 1
    assert table(database) == before
    assert rebuild_universe(database, BronzeStore(tmp_path / "empty")) == 0


def test_answers_of_two_askings_are_told_apart() -> None:
    def name(day: int, subject: str = "") -> AnswerName:
        return AnswerName(datetime(2025, 5, day, 12, tzinfo=UTC), subject, f"{day}{subject}")

    regional = [name(1, "a"), name(1, "b"), name(9, "a"), name(20, "a"), name(20, "b"), name(20, "c")]
    found = newest_askings(regional, [name(1), name(9), name(20)], {"a", "b"})
    assert list(found) == [Month(2025, 5)]
    assert [answer.key for answer in found[Month(2025, 5)]] == ["20a", "20b", "20"]
    # On the 9th the region b was not answered: the asking of the 1st is the newest whole one.
    assert newest_askings(regional, [name(1), name(9)], {"a", "b"})[Month(2025, 5)][-1].key == "1"
