"""A release of a simulated world: what tools say to it, what is found in a damaged one, how it is made and refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from frictionless import validate
from support.fixtures import MakeSettings, change, on_disk
from support.gold_world import FIRST, FixedClock, load_world

from deployments.cli.main import main
from sec_core.blobs.place import StoreUrl
from sec_core.config import Settings, load_settings
from sec_core.db.database import Database
from sec_core.errors import InputError, PublicationError
from sec_core.gold.release.contents import DATABASE, PACKAGE, SUMS, files_of, sha256, write_sums
from sec_core.gold.release.write import ReleaseReport, check_release, make_release, versions
from sec_core.hours import Month, hours_of_day
from sec_core.reference import tables

VERSION = "2025.9"
ROOT = Path(__file__).resolve().parents[2]
CFFCONVERT = ROOT / ".venv-validators" / "bin" / "cffconvert"


def draft(database: Database, settings: Settings, version: str = VERSION) -> ReleaseReport:
    return make_release(database, settings, FixedClock(), version, draft=True)


def listed(settings: Settings) -> list[str]:
    return [str(each) for each in versions(settings)]


@pytest.fixture(scope="module")
def settings(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A world, and a draft of it."""
    data = tmp_path_factory.mktemp("release") / "data"
    made = load_settings(_env_file=None, data_dir=data, database_url=shared_database.url)
    load_world(shared_database, made)
    draft(shared_database, made)
    return made


@pytest.fixture
def folder(settings: Settings) -> Path:
    """The folder of the draft."""
    return on_disk(settings.releases) / VERSION


@pytest.fixture
def copy(settings: Settings, tmp_path: Path) -> tuple[Settings, Path]:
    """The release in a data folder of its own, to be damaged."""
    shutil.copytree(on_disk(settings.releases), tmp_path / "releases")
    return load_settings(_env_file=None, data_dir=tmp_path), tmp_path / "releases" / VERSION


def test_the_validators_of_others_accept_it(settings: Settings, folder: Path) -> None:
    found = validate(str(folder / PACKAGE))
    assert found.valid, found.to_summary()
    sums = subprocess.run(["sha256sum", "-c", "--strict", SUMS], cwd=folder, capture_output=True, check=False)
    assert sums.returncode == 0, sums.stdout
    package = json.loads((folder / PACKAGE).read_bytes())
    named = {each["path"] for each in package["resources"]} | {PACKAGE}
    assert named == {line.split("  ")[1] for line in (folder / SUMS).read_text("utf-8").splitlines()}
    assert named | {SUMS} == set(files_of(folder))
    zenodo = json.loads((folder / ".zenodo.json").read_bytes())
    assert (zenodo["version"], zenodo["upload_type"]) == (VERSION, "dataset")
    assert "BORRADOR" in zenodo["title"]
    assert "DRAFT" in (folder / "README.md").read_text("utf-8")
    assert check_release(settings, VERSION) == []


def test_cffconvert_accepts_it(folder: Path) -> None:
    if not CFFCONVERT.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("`make test` installs cffconvert, which is not there.")
    command = [str(CFFCONVERT), "--validate", "-i", str(folder / "CITATION.cff")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_duckdb_reads_it_from_anywhere(
    settings: Settings, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    gold = pl.read_parquet(on_disk(settings.gold) / "panel" / "*" / "*" / "*.parquet", hive_partitioning=False)
    hours = pl.read_parquet(folder / "horas.parquet")
    with duckdb.connect(str(folder / DATABASE), read_only=True) as db:
        assert db.sql("select sum(clientes_afectados) from panel").fetchall() == [(gold["clientes_afectados"].sum(),)]
        whole = db.sql(
            "select count(*), count(clientes_afectados), sum(clientes_afectados) from panel_completo"
        ).fetchall()
        placed = gold.filter(pl.col("codigo_comuna") != "")["clientes_afectados"].sum()
        assert whole == [(346 * hours.height, 346 * hours["cargada"].sum(), placed)]
        [(unknown,)] = db.sql("select count(clientes_punta) from comuna_dias where dia = '2025-08-20'").fetchall()
        assert unknown == 0
        silent = db.sql(
            "select table_name, column_name from duckdb_columns() where comment is null and not internal"
            " and table_name not in ('panel_completo', 'panel_chile', 'comuna_dias', 'duraciones')"
        ).fetchall()
        silent += db.sql("select table_name from duckdb_tables() where comment is null").fetchall()
        silent += db.sql("select view_name from duckdb_views() where comment is null and not internal").fetchall()
        assert silent == []
    with duckdb.connect() as db:
        db.execute(f"attach '{folder / DATABASE}' as r (read_only)")
        db.execute(f"set variable entrega = '{folder}'")
        assert db.sql("select count(*) from r.golden_interrupciones").fetchall() != [(0,)]


def test_codes_are_text_of_fixed_width_and_times_have_a_zone(folder: Path) -> None:
    for path in folder.rglob("*.parquet"):
        frame = pl.read_parquet(path, hive_partitioning=False)
        for column, kind in frame.schema.items():
            if column.startswith("codigo_"):
                assert kind == pl.String
                lengths = frame[column].drop_nulls().str.len_chars().unique().to_list()
                assert set(lengths) <= {0, 5 if column == "codigo_comuna" else 2}, path
            if isinstance(kind, pl.Datetime):
                assert kind.time_zone == "UTC"
        described = [field.metadata[b"description"] for field in pq.read_schema(path)]
        assert len(described) == frame.width


def flip(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


def seal_again(folder: Path) -> None:
    """Make sums and data package agree with what a forger has written."""
    package = json.loads((folder / PACKAGE).read_bytes())
    for each in package["resources"]:
        each["hash"] = f"sha256:{sha256(folder / each['path'])}"
    (folder / PACKAGE).write_text(json.dumps(package), encoding="utf-8")
    write_sums(folder)


def edit(name: str, *change: pl.Expr, **constant: str) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        table = pq.read_table(folder / name, partitioning=None)
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)
        changed = frame.with_columns(*change, **{column: pl.lit(text) for column, text in constant.items()})
        pq.write_table(changed.to_arrow().cast(table.schema), folder / name)
        seal_again(folder)

    return forge


PANEL = "panel/anho=2025/mes=08/panel.parquet"


def first(column: str, value: float) -> pl.Expr:
    return pl.when(pl.int_range(pl.len()) == 0).then(value).otherwise(column).alias(column)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: flip(folder / PANEL), f"{PANEL} is not what it was"),
        (lambda folder: flip(folder / DATABASE), f"{DATABASE} is not what it was"),
        (lambda folder: flip(folder / "CITATION.cff"), "CITATION.cff is not what it was"),
        (lambda folder: (folder / "horas.parquet").unlink(), "horas.parquet is missing"),
        (lambda folder: (folder / SUMS).write_text("", encoding="utf-8"), "does not belong to it"),
        (lambda folder: (folder / "notes.txt").write_text("x"), "notes.txt does not belong"),
        (lambda folder: (folder / PACKAGE).write_text("{"), "can't be read"),
        (edit(PANEL, first("clientes_afectados", 99_999)), "not the sum of the panel"),
        (edit("indices_regionales.parquet", first("saidi", 9.0)), "differs from its Parquet"),
        (edit("indices_comunales.parquet", pl.lit(9.0).alias("saidi")), "saidi are not cliente_horas over clientes"),
        (edit("comunas.parquet", codigo_comuna="13101"), "comunas has rows with the same codigo_comuna"),
        (edit("golden_interrupciones.parquet", codigo_comuna="5602"), "golden_interrupciones.codigo_comuna"),
        (edit("golden_interrupciones.parquet", codigo_comuna="99999"), "rows name no comuna"),
        (edit("horas.parquet", estado="capturada"), "horas.estado"),
    ],
)
def test_damage_is_found(copy: tuple[Settings, Path], damage: Callable[[Path], object], said: str) -> None:
    settings, folder = copy
    damage(folder)
    assert said in " ".join(check_release(settings, VERSION))


def test_a_renamed_folder_is_another_release(copy: tuple[Settings, Path]) -> None:
    settings, folder = copy
    folder.rename(folder.with_name("2025.10"))
    assert check_release(settings, "2025.10") == ["It is release 2025.9, not 2025.10."]
    with pytest.raises(InputError, match=r"no release 2025\.9"):
        check_release(settings, VERSION)


def test_what_is_refused(settings: Settings, shared_database: Database) -> None:
    before = files_of(on_disk(settings.releases))
    for wrong in ("2025", "2025.13", "25.9", "2025.09", "2025.9.0", "../2025.9"):
        with pytest.raises(InputError, match="no version"):
            draft(shared_database, settings, wrong)
    with pytest.raises(InputError, match=r"already.*2025\.9\.1"):
        draft(shared_database, settings)
    with pytest.raises(PublicationError, match=r"2025-04 to 2025-06, has 0 of 2,\d{3} hours"):
        make_release(shared_database, settings, FixedClock(), "2025.9.1")
    change(
        shared_database,
        "INSERT INTO revisiones (hora, capturado_en, resultado, origen, clave, sha256, bytes, fuente)"
        " SELECT hora, capturado_en, 'captured', 'sec', 'x', sha256, 1, 'simulator' FROM cargas LIMIT 2",
    )
    try:
        with pytest.raises(PublicationError, match=r"not the SEC's \(2 hours SIMULACIÓN\)"):
            draft(shared_database, settings, "2025.9.1")
    finally:
        change(shared_database, "DELETE FROM revisiones")
    assert files_of(on_disk(settings.releases)) == before


KILLED = """
import os, signal, sys
from pathlib import Path
from support.gold_world import FixedClock
from sec_core.config import load_settings
from sec_core.db.database import Database
from sec_core.gold.release import write
where, data, url = sys.argv[1:]
def die(*_args, **_more):
    os.kill(os.getpid(), signal.SIGKILL)
calls = 0
def sync(path, real=write.sync_to_disk):
    global calls
    calls += 1
    die() if calls == 5 else real(path)
if where == "sync":
    write.sync_to_disk = sync
elif where == "rename":
    Path.rename = die
elif where == "after":
    real = Path.rename
    Path.rename = lambda self, target: (real(self, target), die())
else:
    module, _, name = where.rpartition(".")
    setattr(getattr(write, module), name, die)
settings = load_settings(_env_file=None, data_dir=data, database_url=url)
write.make_release(Database(url), settings, FixedClock(), "2025.9.1", draft=True)
"""


def test_killed_anywhere_it_leaves_a_whole_release_or_none(copy: tuple[Settings, Path], settings: Settings) -> None:
    data = on_disk(copy[0].data)
    url = settings.database_url
    assert url is not None
    steps = (f"contents.write_{what}" for what in ("database", "texts", "sums"))
    for where in (*steps, "checks.examine", "sync", "rename", "after"):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, where, str(data), url.get_secret_value()],
            env=os.environ | {"PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT}"},
            capture_output=True,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        made = where == "after"
        assert listed(copy[0]) == [VERSION, *(["2025.9.1"] if made else [])]
        left = [path.name for path in (data / "releases").iterdir() if path.name.startswith(".")]
        assert len(left) == (0 if made else 1), "What the one before left is gone."
    assert check_release(copy[0], "2025.9.1") == []


def test_the_next_release_tells_what_changed(
    database: Database, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings()
    august = Month(2025, 8)
    load_world(database, settings, until=august)
    assert "primera entrega" in draft(database, settings, "2025.8").changes
    revised = hours_of_day(FIRST + timedelta(days=4))[9]
    load_world(database, settings, revised=revised)
    talca = tables.comunas()[150]
    renamed = tuple(replace(c, nombre="NUEVO NOMBRE") if c is talca else c for c in tables.comunas())
    monkeypatch.setattr(tables, "comunas", lambda: renamed)
    second = draft(database, settings)
    assert second.before == "2025.8"
    found = second.changes
    september = pl.read_parquet(on_disk(settings.releases) / "2025.9" / "horas.parquet").filter(
        pl.col("hora") >= august.end, pl.col("cargada")
    )
    assert "| 2025-08 | 0 | 0 | 1 | 0 |" in found
    assert f"| 2025-09 | {september.height} | 0 | 0 |" in found
    assert found.count("\n| 2025-") == 2
    assert f"| {talca.codigo} | nombre_comuna | {talca.nombre} | NUEVO NOMBRE |" in found
    assert found.count("nombre_comuna") == 1
    figures = [line for line in found.splitlines() if line.startswith("| indices_") and "2025-" in line]
    assert any("2025-08-01 CHILE | cliente_horas_observadas" in line for line in figures)
    assert all("| 2025-08-01 " in line and line.endswith("| revisión |") for line in figures)
    assert "Ninguna regla cambió." in found
    assert check_release(settings, "2025.9") == []

    # The same figures, though nothing says why: what Silver holds was changed by hand.
    change(
        database,
        "UPDATE fact_observaciones SET clientes_afectados = clientes_afectados * 3",
        "UPDATE cargas SET clientes = clientes",
    )
    with pytest.raises(PublicationError, match=r"moved from .* are the same"):
        draft(database, settings, "2025.10")
    assert listed(settings) == ["2025.8", "2025.9"]


def test_two_at_once_take_turns(copy: tuple[Settings, Path], shared_database: Database) -> None:
    def attempt(_number: int) -> str:
        try:
            return draft(shared_database, copy[0], "2025.9.3").version
        except InputError as error:
            return error.message

    with ThreadPoolExecutor(2) as both:
        said = sorted(both.map(attempt, range(2)))
    assert said == ["2025.9.3", "There is a release 2025.9.3 already, and none is ever changed."]
    assert check_release(copy[0], "2025.9.3") == []


def test_it_lies_in_an_object_store_too(
    settings: Settings, bucket: StoreUrl, shared_database: Database, tmp_path: Path
) -> None:
    there = load_settings(_env_file=None, data_dir=str(bucket), state_dir=tmp_path, database_url=settings.database_url)
    assert draft(shared_database, there, "2025.9.2").place == f"{bucket}/releases/2025.9.2"
    assert listed(there) == ["2025.9.2"]
    assert check_release(there, "2025.9.2") == []


def test_the_command(
    copy: tuple[Settings, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, folder = copy
    monkeypatch.setenv("SEC_DATA_DIR", str(settings.data))
    assert main(["release", "--list"]) == 0
    assert VERSION in capsys.readouterr().out
    assert main(["release", "--check", VERSION]) == 0
    assert "is whole" in capsys.readouterr().out
    flip(folder / PANEL)
    for arguments, said in (
        (["--check", VERSION], "is not what it was"),
        (["--check", "2031.1"], "no release 2031.1"),
        ([], "is needed"),
        ([VERSION, "--list"], "one of them alone"),
    ):
        assert main(["release", *arguments]) == 1
        assert said in capsys.readouterr().err
