"""What gaps hide of events: kept up to date by loads, and filled in by the migration for events of before."""

import pytest
from support.gold_world import load_world
from support.reference_rules import utc
from support.silver_world import Silver, aggregated

from sec_core.db.migrations.resources import SQL_DIR
from sec_core.hours import HOUR
from sec_core.source.shapes import Shape

COLUMNS = "select hash_id, censurado, horas_sin_datos from fact_interrupciones order by 1"


def test_hours_loaded_beside_and_inside_an_event_change_what_gaps_hide(silver: Silver) -> None:
    first = utc(2025, 7, 5, 12)

    def load(step: int, customers: int) -> list[tuple[str | None, int]]:
        silver.bronze.put(first + step * HOUR, Shape.AGGREGATED, aggregated(customers) if customers else b"[]")
        silver.load()
        return [(hidden, unseen) for _, hidden, unseen in silver.rows(COLUMNS)]

    assert load(0, 500) == [("inicio,fin", 0)]
    assert load(4, 300) == [("inicio,fin", 3)]
    assert load(2, 200) == [("inicio,fin", 2)]
    # Hours that list nothing touch no event, and yet say that it had not begun or was over.
    assert load(-1, 0) == [("fin", 2)]
    assert load(5, 0) == [(None, 2)]
    assert load(3, 50) == [(None, 1)]


@pytest.mark.parametrize("shape", list(Shape))
def test_the_migration_fills_in_what_loads_would_have_written(silver: Silver, shape: Shape) -> None:
    load_world(silver.database, silver.settings, shape)
    with silver.database.engine.begin() as connection:
        expected = connection.exec_driver_sql(COLUMNS).all()
        assert len({row.censurado for row in expected}) > 2
        assert any(row.horas_sin_datos for row in expected) == (shape is Shape.DETAILED)
        connection.exec_driver_sql("drop index fact_interrupciones_largas")
        connection.exec_driver_sql(
            "alter table fact_interrupciones drop column censurado cascade, drop column horas_sin_datos cascade"
        )
        for path in sorted((SQL_DIR / "0004").glob("*.sql")):
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.execute(path.read_text(encoding="utf-8"))
        assert connection.exec_driver_sql(COLUMNS).all() == expected
