"""Fixtures for all tests: a PostgreSQL server for the run, a fresh database for a test, settings, the real captures."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from filelock import FileLock
from hypothesis import settings as hypothesis_settings
from psycopg import sql
from support.fixtures import UNSYNCED, MakeSettings, other_database
from support.object_store import ObjectStore
from typing_extensions import override
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from sec_core.blobs.place import StoreUrl
from sec_core.config import Settings, load_settings
from sec_core.db import embedded
from sec_core.db.address import Address
from sec_core.db.database import Database
from sec_core.db.schema import migrate, seed_dimensions
from sec_core.simulator.server import Simulator

# A busy machine is no fault of a rule.
hypothesis_settings.register_profile("untimed", deadline=None)
hypothesis_settings.load_profile("untimed")

PROJECT_DIR = Path(__file__).resolve().parent.parent
_SERVER_DIR_VARIABLE = "SEC_TEST_POSTGRES_DIR"
_LONGEST = ("test_stack_up.py", "test_silver_load_property.py")
_WITH_PREFECT = (
    "test_health_flow.py",
    "test_monitor_flow.py",
    "test_prefect_attacks.py",
    "test_runs_in_prefect.py",
    "test_shared_backfill.py",
)
_TEMPLATE = "sec_template"


class ByFile(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Tests of a file go to one worker, and all files that need a Prefect server to the same one, which starts one."""

    @override
    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "prefect" if file.endswith(_WITH_PREFECT) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """Share out tests as `ByFile` says."""
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that no worker is left alone with one at the end."""
    with_prefect = {item.path.name for item in items if "prefect_url" in getattr(item, "fixturenames", ())}
    if missing := with_prefect.difference(_WITH_PREFECT):
        raise pytest.UsageError(f"_WITH_PREFECT in tests/conftest.py lacks {', '.join(missing)}.")
    items.sort(key=lambda item: item.path.name not in (*_LONGEST, *_WITH_PREFECT))


def pytest_configure(config: pytest.Config) -> None:
    """Give the run, with all its xdist workers, one folder for its server; nothing is started yet."""
    if not hasattr(config, "workerinput"):
        os.environ[_SERVER_DIR_VARIABLE] = tempfile.mkdtemp(prefix="sec-test-postgres-")
    # Drawing takes most of the time of a small build: tests that look at the site ask for `site_drawn`.
    os.environ["SEC_DRAW_SITE"] = "0"


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the run's server, if a test needed it, and remove its folder."""
    if not hasattr(config, "workerinput"):
        folder = Path(os.environ.pop(_SERVER_DIR_VARIABLE))
        embedded.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def server_url() -> str:
    """URL of the run's embedded server; holds a migrated and seeded template, made once."""
    folder = Path(os.environ[_SERVER_DIR_VARIABLE])
    address = embedded.ensure_running(folder, extra_settings=UNSYNCED)
    with FileLock(folder / "template.lock"), address.connect(autocommit=True) as connection:
        # The name shows that it is finished: it is made under another one.
        if connection.execute("select from pg_database where datname = %s", (_TEMPLATE,)).fetchone() is None:
            connection.execute("drop database if exists sec_template_new")
            template = Database(other_database(address, "sec_template_new"))
            migrate(template.engine)
            seed_dimensions(template.engine)
            template.close()
            connection.execute("alter database sec_template_new rename to sec_template")
    return address.url


@pytest.fixture
def database(server_url: str) -> Iterator[Database]:
    """A fresh database with the newest schema and seeded dimensions, dropped after the test."""
    with fresh_database(server_url) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def shared_database(server_url: str) -> Iterator[Database]:
    """The same for all tests of a file."""
    with fresh_database(server_url) as fresh:
        yield fresh


@contextmanager
def fresh_database(server_url: str) -> Iterator[Database]:
    """A fresh database, dropped after the block."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(
            # Ten times faster than the default where nothing is synced.
            sql.SQL("create database {} template {} strategy file_copy").format(
                sql.Identifier(name), sql.Identifier(_TEMPLATE)
            )
        )
    fresh = Database(Address.parse(server_url).at(name))
    yield fresh
    fresh.close()
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def empty_database(server_url: str) -> Iterator[Database]:
    """A database without any table, dropped after the test."""
    name = f"test_empty_{secrets.token_hex(6)}"
    empty = Database(other_database(Address.parse(server_url), name))
    yield empty
    empty.close()
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def make_settings(tmp_path: Path, request: pytest.FixtureRequest) -> MakeSettings:
    """Makes settings with `data_dir` in `tmp_path` and, unless one is given, the URL of the fixture `database`."""

    def make(**overrides: object) -> Settings:
        values = {"data_dir": tmp_path / "data", "state_dir": None, **overrides}
        if "database_url" not in values:
            values["database_url"] = request.getfixturevalue("database").url
        return load_settings(_env_file=None, **values)

    return make


@pytest.fixture
def commands(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a test's own data folder and database, which commands and flows find in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    values = {
        "SEC_DATA_DIR": str(tmp_path / "data"),
        "SEC_STATE_DIR": "",
        "SEC_DATABASE_URL": database.url,
        "SEC_MAX_CONCURRENCY": "16",
        "SEC_MAX_RATE": "2000",
        "SEC_RETRIES": "0",
        "SUPABASE_URL": "",
        "SUPABASE_KEY": "",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return load_settings(_env_file=None)


@pytest.fixture
def source(request: pytest.FixtureRequest, commands: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A small simulated SEC, of the module's `WORLD` if it has one, that commands and flows find in the environment."""
    from sec_core.simulator.options import WorldOptions  # noqa: PLC0415 - many tests need none
    from sec_core.simulator.server import Simulator  # noqa: PLC0415

    assert commands.retries == 0
    with Simulator(world=getattr(request.module, "WORLD", WorldOptions.tiny(seed=5))) as simulator:
        monkeypatch.setenv("SEC_BASE_URL", simulator.url)
        yield simulator


@pytest.fixture
def site_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds of Gold draw the site, as they do for users."""
    monkeypatch.delenv("SEC_DRAW_SITE")


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A real S3-compatible server on loopback."""
    from support.object_store import serve_objects  # noqa: PLC0415 - few tests need it

    with serve_objects(tmp_path_factory.mktemp("object-store")) as server:
        yield server


@pytest.fixture
def bucket(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> StoreUrl:
    """A fresh bucket that this process and its children find by their environment."""
    for name, value in object_store.environment.items():
        monkeypatch.setenv(name, value)
    url = StoreUrl(f"test-{secrets.token_hex(6)}")
    object_store.make_bucket(url.bucket)
    return url


@pytest.fixture(scope="session")
def captures_dir() -> Path:
    """The real captures (`SEC_CAPTURES_DIR`, else beside the project); without them skipped, in CI failed."""
    folder = Path(os.environ.get("SEC_CAPTURES_DIR", PROJECT_DIR.parent / "shared" / "data"))
    if not folder.is_dir():
        reason = f"There are no real captures in {folder}; name their folder in SEC_CAPTURES_DIR."
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
