"""Settings of the services on this machine; the pipeline's own are in `sec_core.config`."""

from __future__ import annotations

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from deployments.stack.mail import addresses, sender_url
from sec_core.environment import Environment, HeaderSecret


class StackSettings(Environment):
    """Settings of the local stack. The environment name of a field is `SEC_` and the field's name in capitals."""

    model_config = SettingsConfigDict(env_prefix="SEC_")

    ui_port: int = Field(default=4200, ge=1, le=65_535)
    """TCP port of the Prefect UI and API on 127.0.0.1; another free one is taken where it is in use."""
    prefect_auth: HeaderSecret | None = None
    """`user:password` that the Prefect API and UI ask for; None lets every local user in."""
    notify_url: SecretStr | None = None
    """Webhook that is told of failed runs and of a stale pipeline; None tells nobody."""
    notify_email: str | None = None
    """E-mail addresses, with commas, that are told the same; None tells nobody by mail."""
    smtp_url: SecretStr | None = Field(default=None, validate_default=True)
    """The mail server for it, `smtps://user:password@host` (see `deployments.stack.mail`)."""
    worker_limit: int = Field(default=6, ge=1, le=100)
    """Flow runs at once on one worker."""
    prefect_database_url: SecretStr | None = None
    """Where Prefect's own tables are: another database, or `schema` for a schema of ours; None means a database
    `<ours>_prefect` beside ours."""

    @field_validator("prefect_auth")
    @classmethod
    def _user_and_password(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            user, colon, password = value.get_secret_value().partition(":")
            if not (user and colon and password):
                raise ValueError("write it as user:password")
        return value

    @field_validator("notify_url")
    @classmethod
    def _web_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("write it as https://...")
        return value

    @field_validator("notify_email")
    @classmethod
    def _mail_addresses(cls, value: str | None) -> str | None:
        return value and ",".join(addresses(value))

    @field_validator("smtp_url")
    @classmethod
    def _mail_server(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        to = info.data.get("notify_email")
        if (value is None) != (to is None) and "notify_email" in info.data:
            raise ValueError("SEC_NOTIFY_EMAIL says to whom and SEC_SMTP_URL through which server: set both or neither")
        if value is not None and to is not None:
            sender_url(value.get_secret_value(), to)
        return value

    @property
    def mail(self) -> SecretStr | None:
        """The address by which notices go out as e-mail; None if they don't."""
        if self.smtp_url is None or self.notify_email is None:
            return None
        return sender_url(self.smtp_url.get_secret_value(), self.notify_email)


def load_stack_settings(**overrides: object) -> StackSettings:
    """Read the settings, with overrides by field name.

    Raises:
        ConfigError: A setting is malformed; the message names its environment variable.
    """
    return StackSettings.read(**overrides)
