"""Settings, from the environment and `.env`; the paths that follow from them."""

import os
import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, HttpUrl, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from sec_core.blobs.place import Place, StoreUrl, parse_place
from sec_core.environment import Environment, HeaderSecret, HeaderText
from sec_core.errors import ConfigError

DEFAULT_DIR = Path("data")


def _folder(value: object) -> object:
    if isinstance(value, str) and "://" in value:
        raise ValueError("this must be a folder of this machine")
    return value


def _project_address(value: object) -> object:
    # Supabase shows the address of its API, too; the client adds the path by itself.
    return re.sub(r"/+(?:rest/v1/*)?$", "", value) if isinstance(value, str) else value


_PLACE = BeforeValidator(parse_place)


class Settings(Environment):
    """All settings of the pipeline: `SEC_` and the field's name in capitals, unless the field says otherwise."""

    model_config = SettingsConfigDict(env_prefix="SEC_")

    base_url: HttpUrl = HttpUrl("https://apps.sec.cl/INTONLINEv1/ClientesAfectados/")
    """Base address of the API, any server that speaks it."""
    data_dir: Annotated[Path | StoreUrl, _PLACE] = DEFAULT_DIR
    """Where Bronze, Gold and the archive live: a folder, or `s3://bucket/prefix` in an object store."""
    state_dir: Annotated[Path | None, BeforeValidator(_folder)] = None
    """Folder of what must be on this machine (embedded PostgreSQL, logs, Prefect's home, what runs now); None means
    `data_dir` where that is a folder, else `data`."""
    database_url: SecretStr | None = None
    """Any PostgreSQL 15 or later; None means the embedded one under `state_dir`."""
    max_concurrency: int = Field(default=4, ge=1, le=200)
    """Requests in flight, for the whole machine."""
    max_rate: float = Field(default=4, ge=0.001, le=10_000)
    """Requests a second, for the whole machine."""
    timeout_s: float = Field(default=60, gt=0, le=600)
    """Seconds until a request counts as unanswered."""
    retries: int = Field(default=4, ge=0, le=20)
    """How often a request is repeated after a transient failure."""
    circuit_failures: int = Field(default=5, ge=1)
    """Failures in a row that open the circuit."""
    circuit_cooldown_s: float = Field(default=1800, ge=0, le=604_800)
    """Seconds that the circuit stays open."""
    contact: HeaderText | None = None
    """Address of a person, for the User-Agent."""
    event_threshold: int = Field(default=100, ge=1)
    """Customers from which a comuna's hour belongs to an aggregated event."""
    event_close_hours: int = Field(default=2, ge=1)
    """Captured hours below the threshold that close an aggregated event."""
    event_max_gap_hours: int = Field(default=6, ge=0)
    """Hours without data in a row that an aggregated event outlives."""
    estimate_max_gap_hours: int = Field(default=12, ge=1)
    """Hours between two loaded ones over which estimates draw a straight line."""
    storm_min_customers: int = Field(default=50, ge=1)
    """Customers out from which a comuna-hour is hit by a storm."""
    storm_share: float = Field(default=0.01, ge=0, le=1)
    """Share of the comuna's customers that must be out besides."""
    storm_peak: int = Field(default=10_000, ge=1)
    """Customers out that a storm reaches in some hour."""
    storm_min_comunas: int = Field(default=3, ge=1)
    """Comunas hit in that hour."""
    retention_days: int | None = Field(default=None, ge=30)
    """Days of observations kept in the database; older months move to the archive. None keeps all."""
    draw_site: bool = True
    """Whether a build of Gold draws the site; 0 leaves one that was drawn before as it was."""
    site_target: Annotated[Path | StoreUrl | None, _PLACE] = None
    """Where `sec site --publish` puts the site: a folder, or `s3://bucket/prefix`; None publishes it nowhere."""
    site_url: HttpUrl | None = None
    """Address at which readers find the site, for canonical addresses and the sitemap; None leaves them out."""
    release_min_coverage: float = Field(default=0.95, ge=0, le=1)
    """Share of the hours of the last full quarter that a release must have."""
    supabase_url: Annotated[HttpUrl | None, BeforeValidator(_project_address)] = Field(
        default=None, validation_alias="SUPABASE_URL"
    )
    """Address of the Supabase project; None publishes locally only."""
    supabase_key: HeaderSecret | None = Field(default=None, validation_alias="SUPABASE_KEY")
    """The project's service key."""

    @model_validator(mode="after")
    def _supabase_is_whole(self) -> Self:
        if (self.supabase_url is None) != (self.supabase_key is None):
            raise ValueError("SUPABASE_URL says where Gold is published and SUPABASE_KEY by whom: set both or neither")
        return self

    @model_validator(mode="after")
    def _site_is_drawn(self) -> Self:
        if self.site_target is not None and not self.draw_site:
            raise ValueError("SEC_SITE_TARGET says where the site is put, and SEC_DRAW_SITE draws none: unset one")
        return self

    @property
    def data(self) -> Place:
        """`data_dir`, as an absolute path if it is a folder."""
        return self.data_dir if isinstance(self.data_dir, StoreUrl) else self.data_dir.expanduser().absolute()

    @property
    def bronze(self) -> Place:
        """Bodies and journal, byte for byte."""
        return self.data / "bronze"

    @property
    def gold(self) -> Place:
        """Parquet, payloads and the site."""
        return self.data / "gold"

    @property
    def site(self) -> Place | None:
        """`site_target`, as an absolute path if it is a folder."""
        target = self.site_target
        return target.expanduser().absolute() if isinstance(target, Path) else target

    @property
    def releases(self) -> Place:
        """What can be cited: a folder for each version, never changed."""
        return self.data / "releases"

    @property
    def archive(self) -> Place:
        """Observations moved out of the database."""
        return self.data / "archive"

    @property
    def state(self) -> Path:
        """Folder of what must be on this machine, as an absolute path."""
        chosen = self.state_dir or (DEFAULT_DIR if isinstance(self.data_dir, StoreUrl) else self.data_dir)
        return chosen.expanduser().absolute()

    @property
    def environment(self) -> dict[str, str]:
        """Where data and state are, for processes that are started from another folder."""
        return {"SEC_DATA_DIR": str(self.data), "SEC_STATE_DIR": str(self.state)}

    @property
    def inbox_dir(self) -> Path:
        """Files that people hand in: under the data folder, or `state` where data is in an object store."""
        return (self.state if isinstance(self.data, StoreUrl) else self.data) / "inbox"

    @property
    def postgres_dir(self) -> Path:
        """The embedded PostgreSQL."""
        return self.state / "postgres"

    @property
    def logs_dir(self) -> Path:
        """Structured logs, one JSON object a line."""
        return self.state / "logs"

    @property
    def run_dir(self) -> Path:
        """What is known of the services that run now."""
        return self.state / "run"

    @property
    def prefect_dir(self) -> Path:
        """Prefect's home when no other is configured."""
        return self.state / "prefect"

    @property
    def results_dir(self) -> Path:
        """Results of cached tasks."""
        return self.prefect_dir / "results"


def load_settings(**overrides: object) -> Settings:
    """Read the settings, with overrides by field name.

    Raises:
        ConfigError: A setting is malformed or contradicts another; the message names its environment variable.
    """
    return Settings.read(**overrides)


def private_folder(path: Path) -> Path:
    """Make a folder for this user alone, mode 0700; one that this user has with another mode is closed.

    Raises:
        ConfigError: It can't be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.name == "posix" and path.stat().st_uid == os.geteuid():
            path.chmod(0o700)
    except OSError as error:
        raise ConfigError(
            f"{path} can't be used: {error.strerror}.", next_step="Run as its owner, or choose another SEC_STATE_DIR."
        ) from None
    return path
