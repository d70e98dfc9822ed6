"""The runbook's backups, by its own commands: the whole folder, and Bronze alone, both give the same figures again."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from deployments.cli.main import main
from deployments.stack.services import free_port
from sec_core.bronze.ledger_rules import Capture
from sec_core.bronze.store import BronzeStore
from sec_core.config import load_settings
from sec_core.db import embedded
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.server import Simulator
from sec_core.usecases.adapters import open_adapters

MONTH = "2025-02"
SILVER = ("fact_observaciones", "fact_interrupciones", "calidad_imputacion", "clientes_regionales")
TABLES = (*SILVER, "capturas", "revisiones", "cargas")
RUNBOOK = (Path(__file__).resolve().parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
SEC = str(Path(sys.executable).with_name("sec"))


def block(words: str) -> str:
    """The block of the runbook's chapter on backups that has these words."""
    chapter = RUNBOOK.partition("## Backup and restore")[2].partition("\n## ")[0]
    (found,) = [
        each for each in re.findall(r"^```\n(.*?)^```", chapter, flags=re.DOTALL | re.MULTILINE) if words in each
    ]
    return str(found)


def run(commands: str, folder: Path, backup: str = "backup") -> int:
    """Run a block as a person would, with a place of the test's for `/backup`; gives the last exit code."""
    path = f"{Path(SEC).parent}{os.pathsep}{os.environ['PATH']}"
    script = commands.replace("/backup", str(folder / backup))
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=os.environ | {"PATH": path}, timeout=300, check=False
    ).returncode


def figures(names: tuple[str, ...] = TABLES) -> dict[str, str]:
    """Tables of the data folder in force, as ordered digests."""
    query = "select count(*) || md5(string_agg(t::text, '|' order by t::text)) from {} t"
    with open_adapters(load_settings(_env_file=None)) as adapters, adapters.database.engine.connect() as connection:
        return {name: str(connection.execute(text(query.format(name))).scalar()) for name in names}


def kept() -> list[Capture]:
    with open_adapters(load_settings(_env_file=None)) as adapters:
        (month,) = adapters.ledger.months()
        return adapters.ledger.kept(month)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with `data`, its own embedded PostgreSQL in it, and a month captured; the tests follow each other."""
    folder = tmp_path_factory.mktemp("backup")
    with pytest.MonkeyPatch.context() as environment, Simulator(world=WorldOptions.tiny(seed=11)) as source:
        environment.chdir(folder)
        values = {
            "SEC_BASE_URL": source.url,
            "SEC_DATABASE_URL": "",
            "SEC_DATA_DIR": "data",
            "SEC_STATE_DIR": "",
            "SEC_MAX_CONCURRENCY": "16",
            "SEC_MAX_RATE": "2000",
            # Another test's stack may be starting at the same time.
            "SEC_UI_PORT": str(free_port()),
        }
        for name, value in values.items():
            environment.setenv(name, value)
        for name in ("PREFECT_API_URL", "SUPABASE_URL", "SUPABASE_KEY"):
            environment.delenv(name, raising=False)
        assert main(["sync", "--month", MONTH]) == 0
        yield folder
        assert main(["down"]) == 0
    embedded.stop(folder / "data" / "postgres")


def test_a_whole_copy_gives_everything_again(here: Path) -> None:
    before = figures()
    (here / "backup").mkdir()
    assert run(block("sec down"), here) == 0
    (copy,) = (here / "backup").iterdir()
    assert main(["down"]) == 0
    subprocess.run(["rm", "-r", "data"], check=True)
    subprocess.run(["cp", "-a", str(copy), "data"], check=True)
    assert figures() == before


def test_bronze_copied_during_a_seal_and_a_capture_gives_the_figures_again(here: Path) -> None:
    before, bodies = figures(SILVER), kept()
    at_work = [
        subprocess.Popen([SEC, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for words in (("capture", "--month", MONTH, "--force", "--local"), ("seal",))
    ]
    backups = 0
    while backups == 0 or any(process.poll() is None for process in at_work):
        backups += 1
        run(block("for pass"), here, f"backup-{backups}")
    told = [process.communicate(timeout=60)[0] for process in at_work]
    assert [process.returncode for process in at_work] == [0, 0], told
    assert " bodies in " in told[1]
    # Each copy that was made meanwhile has every body.
    for number in range(1, backups + 1):
        store = BronzeStore(here / f"backup-{number}" / "sec" / "bronze")
        assert all(isinstance(body, bytes) for body in store.try_all(bodies)), number
    assert main(["down"]) == 0
    embedded.stop(here / "data" / "postgres")
    subprocess.run(["rm", "-r", "data"], check=True)
    (here / "data").mkdir()
    assert run(f"set -e\n{block('sec ledger rebuild')}", here, f"backup-{max(1, backups // 2)}") == 0
    assert figures(SILVER) == before
