"""Keeps the dimensions of place and company equal to the project's reference files."""

from typing import Any

from sqlalchemy.engine import Connection, Engine

from sec_core.db.queries import upsert
from sec_core.reference import tables


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
