"""How an object store is reached: the usual variables of S3, from the environment or `.env`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sec_core.errors import ConfigError

if TYPE_CHECKING:
    from obstore.store import S3Config


class StoreAccess(BaseSettings):
    """Address and credentials. The environment name of a field is `AWS_` and the field's name in capitals.

    Attributes:
        access_key_id: Name of the key; without it the machine's own role is asked for, where there is one.
        secret_access_key: The key.
        session_token: Goes with a temporary key.
        region: The bucket's region.
        endpoint_url: Address of the store; None means Amazon's.
        virtual_hosted_style_request: Whether the bucket is part of the host's name; `endpoint_url` must then name it.
    """

    model_config = SettingsConfigDict(env_prefix="AWS_", env_file=".env", env_file_encoding="utf-8", extra="ignore")

    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    region: str | None = None
    endpoint_url: str | None = None
    virtual_hosted_style_request: bool | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def unencrypted(self) -> bool:
        """Whether the address asks for HTTP without TLS."""
        return self.endpoint_url is not None and self.endpoint_url.startswith("http://")

    def config(self) -> S3Config:
        """What the client takes; what is not set is left to it."""
        found: S3Config = {}
        if self.access_key_id is not None:
            found["access_key_id"] = self.access_key_id
        if self.secret_access_key is not None:
            found["secret_access_key"] = self.secret_access_key.get_secret_value()
        if self.session_token is not None:
            found["session_token"] = self.session_token.get_secret_value()
        if self.region is not None:
            found["region"] = self.region
        if self.endpoint_url is not None:
            found["endpoint"] = self.endpoint_url
        if self.virtual_hosted_style_request is not None:
            found["virtual_hosted_style_request"] = self.virtual_hosted_style_request
        return found


def load_access() -> StoreAccess:
    """Read them.

    Raises:
        ConfigError: One is malformed; the message names its environment variable.
    """
    try:
        return StoreAccess()
    except ValidationError as error:
        problems = "; ".join(f"AWS_{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors())
        raise ConfigError(f"Bad settings: {problems}.") from None
