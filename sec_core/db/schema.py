"""Brings the schema to its newest version, and the dimensions of place and company to the project's reference files.

From inside the program: there is no `alembic.ini`.
"""

from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.engine import Connection, Engine

from sec_core.db.locks import Lock
from sec_core.db.queries import upsert
from sec_core.errors import DatabaseError
from sec_core.reference import tables

# The newest version; a test holds it to the migrations' own head. Known without Alembic, which costs 150 ms to load.
HEAD = "0007"
MIGRATIONS_DIR = Path(__file__).parent / "migrations"


def migrate(engine: Engine) -> None:
    """Bring the schema to `HEAD` in one transaction; of several processes at once one does it and the others wait.

    Raises:
        DatabaseError: The schema is at a version that this program does not know.
    """
    with engine.connect() as connection:
        if current_version(connection) == HEAD:
            return
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("select pg_advisory_xact_lock(:key)"), {"key": Lock.MIGRATION.value})
        if current_version(connection) != HEAD:
            _upgrade(connection)


def current_version(connection: Connection) -> str | None:
    """The schema's version, or None in an empty database."""
    if connection.exec_driver_sql("select to_regclass('public.alembic_version')").scalar_one() is None:
        return None
    version = connection.exec_driver_sql("select version_num from public.alembic_version").scalar_one_or_none()
    return None if version is None else str(version)


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - loaded only where there is something to do
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    # `%` is special in Alembic's options.
    config.set_main_option("script_location", str(MIGRATIONS_DIR).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise DatabaseError(
            f"The database's schema is unknown to this version of the program: {error}",
            next_step="Update the program, or use another database.",
        ) from error


def seed_dimensions(engine: Engine) -> None:
    """Write what differs from the reference files into `dim_geografia` and `dim_empresa`. Nothing is deleted."""
    places = {
        (each.id_geografia, each.codigo, each.nombre, each.codigo_region, each.nombre_region, each.nombre_oficial)
        for each in (tables.UNKNOWN_COMUNA, *tables.comunas())
    }
    companies = {(each.id_empresa, each.nombre) for each in tables.empresas()}
    with engine.begin() as connection:
        _write(
            connection, "dim_geografia", places,
            "id_geografia", "codigo_comuna", "nombre_comuna", "codigo_region", "nombre_region", "nombre_oficial",
        )  # fmt: skip
        _write(connection, "dim_empresa", companies, "id_empresa", "nombre_empresa")


def _write(connection: Connection, table: str, rows: set[Any], *columns: str) -> None:
    # Rows that agree are left alone: opening a database writes nothing unless a reference file changed.
    held = {tuple(row) for row in connection.exec_driver_sql(f"select {', '.join(columns)} from {table}")}
    if missing := sorted(rows - held):
        connection.exec_driver_sql(upsert(table, 1, columns), missing)
