"""Files that people hand in, into the database: exports of the SEIA, billing files of the CNE."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from deployments.cli.main import main
from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.errors import InputError
from sec_core.gold import frames
from sec_core.gold.customers import load_billing
from sec_core.gold.payloads.seen import eda_projects_dist
from sec_core.gold.seia import load_seia
from sec_core.silver.reports import silver_version


def test_the_older_table_of_the_site(database: Database, captures_dir: Path) -> None:
    report = load_seia(database, captures_dir / "seia" / "tabla_general_2021-03.csv")
    assert (report.projects, report.spanning, report.without_investment) == (49, 0, 0)
    assert len(report.rejected) == 51
    assert all(rejected.reason for rejected in report.rejected)
    with frames.snapshot(database) as connection:
        projects = connection.query("SELECT * FROM proyectos_seia")
    assert set(projects["categoria"]) == {"generation", "transmission"}
    rows = eda_projects_dist(projects).rows()
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


HEAD = "anio;mes;region;comuna;tipo_clientes;tarifa;clientes_facturados;e1_kwh;e2_kwh;energia_kwh"
NOW = datetime(2026, 11, 26, tzinfo=UTC)


def billed(database: Database) -> list[tuple[object, ...]]:
    with database.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT mes::text, codigo_comuna, clientes FROM facturacion_comunal ORDER BY 1, 2")
        )
        return [tuple(row) for row in rows]


def test_a_billing_file_replaces_its_months_and_regions_and_nothing_else(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "cne.csv"

    def load(*rows: str) -> None:
        path.write_text("\n".join([HEAD, *rows]))
        load_billing(database, path, NOW)

    load("2024;12;V;Algarrobo;R;BT1;7;0;0;1", "2024;12;V;Quilpué;R;BT1;9;0;0;1", "2024;11;V;Algarrobo;R;BT1;5;0;0;1")
    load("2024;12;II;Calama;R;BT1;70;0;0;1")
    load("2024;12;V;Algarrobo;R;BT1;8;0;0;1", "2024;12;V;Algarrobo;R;BT2;1;0;0;1")
    assert billed(database) == [("2024-11-01", "05602", 5), ("2024-12-01", "02201", 70), ("2024-12-01", "05602", 9)]
    version = silver_version(database)
    load("2024;12;V;Algarrobo;R;BT1;9;0;0;1")
    assert silver_version(database) == version, "the same again makes no build necessary"


def test_the_command_says_what_it_took_in_and_what_not(
    commands: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cne.csv"
    path.write_text(f"{HEAD}\n2024;12;V;Algarrobo;R;BT1;7;0;0;1\n")
    assert main(["customers", str(path)]) == 0
    assert "2024-12: 7 customers in 1 comuna." in capsys.readouterr().out
    assert (commands.inbox_dir / "cne.csv").is_file()
    path.write_text(f"{HEAD}\n2024;12;V;Algarobo;R;BT1;7;0;0;1\n2024;12;V;Quilpué;R;BT1;9;0;0;1\n")
    assert main(["customers", str(path)]) == 1
    said = capsys.readouterr()
    assert "left out: row 2: Its comuna 'Algarobo' is not known. Is Algarrobo meant?" in said.out
    assert "1 row of cne.csv left out, 1 taken in." in said.err
    assert main(["customers", str(tmp_path / "none.csv")]) == 1
    assert "none.csv can't be read" in capsys.readouterr().err
