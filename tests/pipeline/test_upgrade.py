"""An installation of the version before is taken on without loss (see tests/upgrade/README.md)."""

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import polars as pl
import psycopg
import pytest
from support.fixtures import UNSYNCED, other_database
from support.kept_state import state_of
from support.prefect_server import prefect_server
from support.stack import ask

from deployments.cli.main import main
from sec_core.bronze.store import BronzeStore
from sec_core.config import load_settings
from sec_core.db import embedded
from sec_core.db.address import Address
from sec_core.db.programs import installations

KEPT = Path(__file__).resolve().parent.parent / "upgrade"
WAS: dict[str, Any] = json.loads((KEPT / "kept.json").read_text(encoding="utf-8"))
UNSET = ("SEC_DATABASE_URL", "SEC_PREFECT_DATABASE_URL", "SUPABASE_URL", "SUPABASE_KEY", "PREFECT_API_URL")


@dataclass(frozen=True)
class Installation:
    """A restored installation: its data folder, its PostgreSQL with both databases."""

    data: Path
    url: str

    def sec(self, *words: str, data: Path | None = None, database: str = "") -> None:
        """Run a command of the present version."""
        with pytest.MonkeyPatch.context() as environment:
            for name in UNSET:
                environment.delenv(name, raising=False)
            environment.setenv("SEC_DATA_DIR", str(data or self.data))
            environment.setenv("SEC_STATE_DIR", str(self.data))
            environment.setenv("SEC_DATABASE_URL", database)
            environment.setenv("SEC_BASE_URL", "http://127.0.0.1:9/")
            environment.chdir(self.data)
            assert main(list(words)) == 0, words


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("upgrade")
    with tarfile.open(KEPT / "installation.tar.xz") as packed:
        packed.extractall(folder, filter="data")
    data = folder / "data"
    address = embedded.ensure_running(data / "postgres", extra_settings=UNSYNCED)
    url = address.url
    try:
        psql = str(installations()[0].program("psql"))
        for name in ("sec", "prefect"):
            place, script = other_database(address, name).url, folder / f"{name}.sql"
            command = [psql, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={place}", f"--file={script}"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        assert state_of(url, data) == WAS["tables"], "the installation was not restored"
        yield Installation(data, url)
    finally:
        embedded.stop(data / "postgres")


def files_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def hours_by_state(status: str) -> dict[str, tuple[int, ...]]:
    names = ("captured", "empty", "failed", "quarantined", "pending")
    return {month["month"]: tuple(month[name] for name in names) for month in json.loads(status)["months"]}


def test_no_command_loses_anything(before: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    bronze = files_of(before.data / "bronze")
    events = pl.read_parquet(before.data / "gold" / "golden_interrupciones.parquet")
    hours = {"2017-01": (2, 0, 0, 0, 742), "2024-10": (744, 0, 0, 0, 0), "2024-12": (189, 120, 2, 1, 432)}
    for words in (
        "status --json",
        "load --month 2024-12",
        "gold",
        "seal",
        "ledger rebuild",
        "reprocess --from 2024-10 --to 2024-12",
    ):
        before.sec(*words.split())
        said = capsys.readouterr().out
        assert state_of(before.url, before.data) == WAS["tables"], words
        assert files_of(before.data / "bronze") == bronze, words
        if words.startswith("status"):
            assert hours_by_state(said) == hours
    now = pl.read_parquet(before.data / "gold" / "golden_interrupciones.parquet")
    assert now.select(events.columns).sort("hash_id").equals(events.sort("hash_id"))


def test_the_files_alone_give_the_same_again(before: Installation, tmp_path: Path) -> None:
    shutil.copytree(before.data / "bronze", tmp_path / "bronze")
    database = other_database(Address.parse(before.url), "again").url
    for words in ("ledger rebuild", "reprocess --from 2017-01 --to 2017-01", "reprocess --from 2024-10 --to 2024-12"):
        before.sec(*words.split(), data=tmp_path, database=database)
    again = state_of(database, tmp_path)
    # The list of projects is the one thing that is in no file of ours.
    assert again | {"proyectos_seia": WAS["tables"]["proyectos_seia"]} == WAS["tables"]


def test_every_body_reads_as_it_was_kept(before: Installation) -> None:
    with psycopg.connect(before.url) as connection:
        kept: dict[str, str] = dict(connection.execute("select clave, sha256 from revisiones").fetchall())
    store = BronzeStore(before.data / "bronze")
    assert {key: hashlib.sha256(store.read(key)).hexdigest() for key in kept} == kept
    assert [len(list(store.loose(month))) for month in store.months()] == [2, 0, 310]


def test_the_present_prefect_server_knows_the_runs_of_before(before: Installation) -> None:
    settings = load_settings(_env_file=None, data_dir=before.data, state_dir=None, database_url=None)
    # The database `prefect` is taken on under its new name.
    with patch.dict(os.environ), prefect_server(settings, Address.parse(before.url)) as api:
        was = WAS["prefect"]
        of_runs = {"flow_runs": {"id": {"any_": list(was["runs"])}}}
        runs = ask(api, "flow_runs/filter", **of_runs)
        assert {run["id"]: [run["name"], run["state_type"], run["state_name"]] for run in runs} == was["runs"]
        # Commands of other tests may have added to these.
        assert {each["name"] for each in ask(api, "deployments/filter")} >= set(was["deployments"])
        assert {each["key"] for each in ask(api, "artifacts/filter")} >= set(was["artifacts"])
        assert ask(api, "task_runs/count", **of_runs) == was["task_runs"]
