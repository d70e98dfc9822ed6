"""A backup holds everything, and restoring it gives the same figures, whatever happened in between."""

from __future__ import annotations

import stat
import sys
from typing import TYPE_CHECKING

import pytest

from sec_core.db import backup
from sec_core.errors import DatabaseUnavailable, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from sec_core.db.database import Database


def fill(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("select asegurar_particion('2024-08-01'), asegurar_tiempo('2024-08-01')")
        connection.exec_driver_sql("""
            insert into fact_observaciones
            select h, 13101, 1, null, 100, 1, 0
            from generate_series('2024-08-02 04:00Z'::timestamptz, '2024-08-03 04:00Z', '1 hour') h
        """)
        connection.exec_driver_sql("insert into dashboard_stats (id, data) values ('meta', '[{\"ñ\": \"%%s\"}]')")


def contents(database: Database) -> dict[str, list[str]]:
    with database.engine.connect() as connection:
        names = connection.exec_driver_sql(
            "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' order by 1"
        ).scalars()
        return {
            name: list(connection.exec_driver_sql(f'select t::text from "{name}" t order by 1').scalars())
            for name in names
        }


def test_a_restored_backup_gives_the_same_rows(database: Database, tmp_path: Path) -> None:
    fill(database)
    before = contents(database)
    target = tmp_path / "deep" / "sec.dump"
    assert backup.dump(database, target) == target.stat().st_size
    with database.engine.begin() as connection:
        connection.exec_driver_sql("select asegurar_particion('2024-09-01')")
        connection.exec_driver_sql("delete from fact_observaciones")
        connection.exec_driver_sql("drop view v_interrupciones_30d")
        connection.exec_driver_sql(
            "insert into fact_observaciones values ('2024-09-02 04:00Z', 1101, 1, null, 1, 1, 0)"
        )
    backup.restore(database, target)
    assert contents(database) == before
    assert len(before["fact_observaciones_202408"]) == 25
    database.migrate()
    with database.engine.begin() as connection:
        connection.exec_driver_sql("select asegurar_particion('2024-10-01')")
        assert connection.exec_driver_sql("select count(*) from v_interrupciones_30d").scalar() == 0
    if sys.platform != "win32":
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [path.name for path in target.parent.iterdir()] == ["sec.dump"]


def test_a_torn_backup_changes_nothing(database: Database, tmp_path: Path) -> None:
    fill(database)
    target = tmp_path / "sec.dump"
    backup.dump(database, target)
    before = contents(database)
    torn = tmp_path / "torn.dump"
    torn.write_bytes(target.read_bytes()[: target.stat().st_size * 2 // 3])
    with pytest.raises(DatabaseUnavailable, match="could not be restored"):
        backup.restore(database, torn)
    assert contents(database) == before


@pytest.mark.parametrize("content", [b"", b"PG", b"create table x ()"])
def test_another_file_is_refused(database: Database, tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "x"
    source.write_bytes(content)
    with pytest.raises(InputError, match="no backup"):
        backup.restore(database, source)
    with pytest.raises(InputError, match="can't be read"):
        backup.restore(database, tmp_path / "missing")
