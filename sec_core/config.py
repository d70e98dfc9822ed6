"""Settings, from the environment and `.env`; the paths that follow from them."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, HttpUrl, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sec_core.errors import ConfigError


class Settings(BaseSettings):
    """All settings of the pipeline. The environment name of a field is `SEC_` and the field's name in capitals.

    Attributes:
        base_url: Base address of the API, any server that speaks it.
        data_dir: Where Bronze, Gold, the archive, the embedded PostgreSQL and logs live.
        database_url: Any PostgreSQL 15 or later; None means the embedded one under `data_dir`.
        max_concurrency: Requests in flight, for the whole machine.
        max_rate: Requests a second, for the whole machine.
        timeout_s: Seconds until a request counts as unanswered.
        retries: How often a request is repeated after a transient failure.
        circuit_failures: Failures in a row that open the circuit.
        circuit_cooldown_s: Seconds that the circuit stays open.
        contact: Address of a person, for the User-Agent.
        event_threshold: Customers from which a comuna's hour belongs to an aggregated event.
        event_close_hours: Captured hours below the threshold that close an aggregated event.
        event_max_gap_hours: Hours without data in a row that an aggregated event outlives.
        retention_days: Days of observations kept in the database; older months move to the archive. None keeps all.
        supabase_url: Address of the Supabase project; None publishes locally only.
        supabase_key: The project's service key.
    """

    model_config = SettingsConfigDict(
        env_prefix="SEC_", env_file=".env", env_file_encoding="utf-8", extra="ignore", populate_by_name=True
    )

    base_url: HttpUrl = HttpUrl("https://apps.sec.cl/INTONLINEv1/ClientesAfectados/")
    data_dir: Path = Path("data")
    database_url: SecretStr | None = None
    max_concurrency: int = Field(default=4, ge=1, le=200)
    max_rate: float = Field(default=4, gt=0, le=10_000)
    timeout_s: float = Field(default=60, gt=0, le=600)
    retries: int = Field(default=4, ge=0, le=20)
    circuit_failures: int = Field(default=5, ge=1)
    circuit_cooldown_s: float = Field(default=1800, ge=0)
    contact: str | None = None
    event_threshold: int = Field(default=100, ge=1)
    event_close_hours: int = Field(default=2, ge=1)
    event_max_gap_hours: int = Field(default=6, ge=0)
    retention_days: int | None = Field(default=None, ge=30)
    supabase_url: HttpUrl | None = Field(default=None, validation_alias="SUPABASE_URL")
    supabase_key: SecretStr | None = Field(default=None, validation_alias="SUPABASE_KEY")

    @field_validator("database_url", "contact", "supabase_url", "supabase_key", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def root(self) -> Path:
        """`data_dir` as an absolute path."""
        return self.data_dir.expanduser().absolute()

    @property
    def bronze_dir(self) -> Path:
        """Bodies and journal, byte for byte."""
        return self.root / "bronze"

    @property
    def gold_dir(self) -> Path:
        """Parquet, payloads and the report."""
        return self.root / "gold"

    @property
    def archive_dir(self) -> Path:
        """Observations moved out of the database."""
        return self.root / "archive"

    @property
    def postgres_dir(self) -> Path:
        """The embedded PostgreSQL."""
        return self.root / "postgres"

    @property
    def logs_dir(self) -> Path:
        """Structured logs, one JSON object a line."""
        return self.root / "logs"

    @property
    def run_dir(self) -> Path:
        """What is known of the services that run now."""
        return self.root / "run"

    @property
    def prefect_dir(self) -> Path:
        """Prefect's home when no other is configured."""
        return self.root / "prefect"


def load_settings(**overrides: object) -> Settings:
    """Read the settings, with overrides by field name.

    Raises:
        ConfigError: A setting is malformed; the message names its environment variable.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        problems = "; ".join(f"{_env_name(str(item['loc'][0]))}: {item['msg']}" for item in error.errors())
        raise ConfigError(f"Bad settings: {problems}.") from None


def _env_name(field: str) -> str:
    upper = field.upper()
    return upper if upper.startswith(("SEC_", "SUPABASE_")) else f"SEC_{upper}"
