"""The schema: it is made once, keeps its rules, and every table and column is explained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy

if TYPE_CHECKING:
    from sec_core.db.database import Database


def test_dimensions_are_seeded(database: Database) -> None:
    with database.engine.connect() as connection:
        places = connection.scalar(sqlalchemy.text("select count(*) from dim_geografia"))
        unknown = connection.scalar(sqlalchemy.text("select nombre_comuna from dim_geografia where id_geografia = 0"))
    assert (places, unknown) == (347, "UNKNOWN")
