"""How an object store is reached: the usual variables of S3, from the environment or `.env`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, cast

from pydantic import model_validator
from pydantic_settings import SettingsConfigDict

from sec_core.environment import Environment, HeaderSecret, HeaderText

if TYPE_CHECKING:
    from obstore.store import S3Config


class StoreAccess(Environment):
    """Address and credentials: `AWS_` and the field's name in capitals."""

    model_config = SettingsConfigDict(env_prefix="AWS_")

    access_key_id: HeaderText | None = None
    """Name of the key; without it the machine's own role is asked for, where there is one."""
    secret_access_key: HeaderSecret | None = None
    session_token: HeaderSecret | None = None
    """Goes with a temporary key."""
    region: HeaderText | None = None
    endpoint_url: HeaderText | None = None
    """Address of the store; None means Amazon's."""
    virtual_hosted_style_request: bool | None = None
    """Whether the bucket is part of the host's name; `endpoint_url` must then name it."""

    @model_validator(mode="after")
    def _key_is_whole(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("AWS_ACCESS_KEY_ID names a key and AWS_SECRET_ACCESS_KEY is it: set both or neither")
        return self

    @property
    def unencrypted(self) -> bool:
        """Whether the address asks for HTTP without TLS."""
        return self.endpoint_url is not None and self.endpoint_url.startswith("http://")

    def config(self) -> S3Config:
        """What the client takes; what is not set is left to it."""
        given = {
            "access_key_id": self.access_key_id,
            "secret_access_key": self.secret_access_key and self.secret_access_key.get_secret_value(),
            "session_token": self.session_token and self.session_token.get_secret_value(),
            "region": self.region,
            "endpoint": self.endpoint_url,
            "virtual_hosted_style_request": self.virtual_hosted_style_request,
        }
        return cast("S3Config", {name: value for name, value in given.items() if value is not None})
