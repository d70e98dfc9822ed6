"""The runbook's copy of a database of one's own, by PostgreSQL's programs: restored, it gives the same rows."""

import os
import re
import shlex
import subprocess
from pathlib import Path

from sec_core.db.checks import check_server
from sec_core.db.database import Database
from sec_core.db.programs import installations
from sec_core.db.schema import migrate

RUNBOOK = Path(__file__).resolve().parents[2] / "docs" / "runbook.md"


def contents(database: Database) -> dict[str, list[str]]:
    with database.engine.connect() as connection:
        names = connection.exec_driver_sql(
            "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' order by 1"
        ).scalars()
        return {
            name: list(connection.exec_driver_sql(f'select t::text from "{name}" t order by 1').scalars())
            for name in names
        }


def test_a_copy_restored_into_an_empty_database_gives_the_same_rows(
    database: Database, empty_database: Database, tmp_path: Path
) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("select asegurar_particion('2024-08-01'), asegurar_tiempo('2024-08-01')")
        connection.exec_driver_sql("""
            insert into fact_observaciones select h, 13101, 1, null, 100, 1, 0
            from generate_series('2024-08-02 04:00Z'::timestamptz, '2024-08-03 04:00Z', '1 hour') h
        """)
        connection.exec_driver_sql("insert into dashboard_stats (id, data) values ('meta', '[{\"ñ\": \"%%s\"}]')")
    password = database.address.parameters["password"]
    for name, place, of in (("pg_dump", "sec", database), ("pg_restore", "empty", empty_database)):
        line = re.search(rf"^{name} .*$", RUNBOOK.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert line is not None
        address = of.address.url.replace(f"&password={password}", "")
        command = shlex.split(line[0].replace(f"postgresql://sec@host/{place}", address))
        command[0] = str(installations()[0].program(name))
        subprocess.run(command, check=True, cwd=tmp_path, env=os.environ | {"PGPASSWORD": password}, timeout=120)
    assert contents(empty_database) == contents(database)
    assert len(contents(empty_database)["fact_observaciones_202408"]) == 25
    check_server(empty_database.engine, empty_database.address)
    migrate(empty_database.engine)
    with empty_database.engine.begin() as connection:
        connection.exec_driver_sql("select asegurar_particion('2024-10-01')")
