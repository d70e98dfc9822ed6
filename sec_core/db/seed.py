"""Keeps the dimensions of place and company equal to the project's reference files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy

from sec_core.reference import tables

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

# Rows that agree are left alone: opening a database writes nothing unless a reference file changed.
_PLACE_COLUMNS = "id_geografia, codigo_comuna, nombre_comuna, codigo_region, nombre_region, nombre_oficial"
_UPSERT_PLACES = sqlalchemy.text(f"""
    insert into dim_geografia ({_PLACE_COLUMNS})
    values (:id, :code, :name, :region_code, :region_name, :official_name)
    on conflict (id_geografia) do update set ({_PLACE_COLUMNS}) = (
        excluded.id_geografia, excluded.codigo_comuna, excluded.nombre_comuna,
        excluded.codigo_region, excluded.nombre_region, excluded.nombre_oficial
    )
""")
_UPSERT_COMPANIES = sqlalchemy.text("""
    insert into dim_empresa (id_empresa, nombre_empresa) values (:id, :name)
    on conflict (id_empresa) do update set nombre_empresa = excluded.nombre_empresa
""")


def seed_dimensions(engine: Engine) -> None:
    """Write what differs from the reference files into `dim_geografia` and `dim_empresa`. Nothing is deleted."""
    places = {
        (each.id_geografia, each.codigo, each.nombre, each.codigo_region, each.nombre_region, each.nombre_oficial)
        for each in (tables.UNKNOWN_COMUNA, *tables.comunas())
    }
    companies = {(each.id_empresa, each.nombre) for each in tables.empresas()}
    with engine.begin() as connection:
        held = {tuple(row) for row in connection.exec_driver_sql(f"select {_PLACE_COLUMNS} from dim_geografia")}
        keys = ("id", "code", "name", "region_code", "region_name", "official_name")
        if missing := sorted(places - held):
            connection.execute(_UPSERT_PLACES, [dict(zip(keys, place, strict=True)) for place in missing])
        held = {tuple(row) for row in connection.exec_driver_sql("select id_empresa, nombre_empresa from dim_empresa")}
        if absent := sorted(companies - held):
            connection.execute(_UPSERT_COMPANIES, [{"id": number, "name": name} for number, name in absent])
