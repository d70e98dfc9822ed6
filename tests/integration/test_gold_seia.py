"""SEIA exports into the database, the real older table among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from sec_core.errors import InputError
from sec_core.gold import frames
from sec_core.gold.payloads.eda_projects_dist import eda_projects_dist
from sec_core.gold.seia.load import load_seia

if TYPE_CHECKING:
    from pathlib import Path

    from sec_core.db.database import Database


def test_the_older_table_of_the_site(database: Database, captures_dir: Path) -> None:
    report = load_seia(database, captures_dir / "seia" / "tabla_general_2021-03.csv")
    assert (report.projects, report.spanning, report.without_investment) == (49, 0, 0)
    assert len(report.rejected) == 51
    assert all(rejected.reason for rejected in report.rejected)
    with frames.snapshot(database) as connection:
        projects = frames.query(connection, "SELECT * FROM proyectos_seia")
    assert set(projects["categoria"]) == {"generation", "transmission"}
    rows = [(row.nombre_region, row.count) for row in eda_projects_dist(projects)]
    assert rows[:3] == [("METROPOLITANA", 12), ("ANTOFAGASTA", 7), ("O'HIGGINS", 7)]
    assert sum(count for _, count in rows) == 49


def test_a_new_file_replaces_the_old_one_and_a_wrong_one_changes_nothing(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    for name in ("Antigua", "Nueva"):
        path.write_text(f"Nombre;Región;Tipología\n{name};Los Ríos y Los Lagos;b1\n")
        assert load_seia(database, path).spanning == 1
    path.write_text("Nombre;Región;Tipología\nPiscina;Los Lagos;g2\n")
    with pytest.raises(InputError, match="no electricity project"):
        load_seia(database, path)
    with database.engine.connect() as connection:
        rows = connection.execute(text("SELECT nombre, codigo_region FROM proyectos_seia ORDER BY 2")).all()
    assert [tuple(row) for row in rows] == [("Nueva", "10"), ("Nueva", "14")]
