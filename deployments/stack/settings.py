"""Settings of the services on this machine, and its own addresses; the pipeline's own settings: `sec_core.config`."""

import os
import re
from typing import Annotated
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from sec_core.environment import Environment, HeaderSecret

LOOPBACK = "127.0.0.1"
# This machine's own addresses, which no proxy can reach.
LOOPBACK_NAMES = ("localhost", LOOPBACK, "::1")

_ADDRESS = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+")
_PORTS = {"ssl": 465, "starttls": 587, "insecure": 25}


def _login(value: SecretStr) -> SecretStr:
    if re.fullmatch("[^:]+:.+", value.get_secret_value()) is None:
        raise ValueError("write it as user:password")
    return value


def _web_address(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("http://", "https://")):
        raise ValueError("write it as https://...")
    return value


def _addresses(text: str) -> list[str]:
    """The e-mail addresses of a list with commas.

    Raises:
        ValueError: There is none, or one is malformed.
    """
    found = [part.strip() for part in text.split(",") if part.strip()]
    if not found or not all(_ADDRESS.fullmatch(each) for each in found):
        raise ValueError("write it as person@example.org, several with commas")
    return found


def _sender_url(smtp_url: str, to: str) -> SecretStr:
    """The address by which Apprise sends to `to` through a mail server. Pure.

    `smtps://` speaks TLS from the start (port 465); `smtp://` asks for it (STARTTLS, port 587) and sends nothing
    without, except to a server on this machine, which is spoken to plainly (port 25). `?from=` names the sender, which
    is else the user, or the first receiver where the user is no address.

    Args:
        smtp_url: `smtps://user:password@host`; user, password and port may be left out, and are percent-encoded.
        to: Receivers, with commas.

    Raises:
        ValueError: The address has another scheme, no host, or a malformed port, sender or receiver.
    """
    parts = urlsplit(smtp_url)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ValueError("write it as smtps://user:password@mail.example.org")
    mode = "ssl" if parts.scheme == "smtps" else "insecure" if parts.hostname in LOOPBACK_NAMES else "starttls"
    receivers = _addresses(to)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    sender = parse_qs(parts.query).get("from", [user if _ADDRESS.fullmatch(user) else receivers[0]])[0]
    query = {"mode": mode, "smtp": parts.hostname, "from": _addresses(sender)[0], "to": ",".join(receivers)}
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    scheme = "mailto" if mode == "insecure" else "mailtos"
    return SecretStr(f"{scheme}://{login}{host}:{parts.port or _PORTS[mode]}?{urlencode(query)}&format=text")


class StackSettings(Environment):
    """Settings of the local stack. The environment name of a field is `SEC_` and the field's name in capitals."""

    model_config = SettingsConfigDict(env_prefix="SEC_")

    ui_port: int = Field(default=4200, ge=1, le=65_535)
    """TCP port of the Prefect UI and API on 127.0.0.1; another free one is taken where it is in use."""
    prefect_auth: Annotated[HeaderSecret, AfterValidator(_login)] | None = None
    """`user:password` that the Prefect API and UI ask for; None lets every local user in."""
    notify_url: Annotated[SecretStr, AfterValidator(_web_address)] | None = None
    """Webhook that is told of failed runs and of a stale pipeline; None tells nobody."""
    notify_email: Annotated[str, AfterValidator(lambda text: ",".join(_addresses(text)))] | None = None
    """E-mail addresses, with commas, that are told the same; None tells nobody by mail."""
    smtp_url: SecretStr | None = Field(default=None, validate_default=True)
    """The mail server for it, `smtps://user:password@host`; once read, the address by which Apprise sends."""
    worker_limit: int = Field(default=6, ge=1, le=100)
    """Flow runs at once on one worker."""
    prefect_database_url: SecretStr | None = None
    """Where Prefect's own tables are: another database, or `schema` for a schema of ours; None means a database
    `<ours>_prefect` beside ours."""

    @field_validator("smtp_url")
    @classmethod
    def _mail_server(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        to = info.data.get("notify_email")
        if (value is None) != (to is None) and "notify_email" in info.data:
            raise ValueError("SEC_NOTIFY_EMAIL says to whom and SEC_SMTP_URL through which server: set both or neither")
        return None if value is None or to is None else _sender_url(value.get_secret_value(), to)


def load_stack_settings(**overrides: object) -> StackSettings:
    """Read the settings, with overrides by field name.

    Raises:
        ConfigError: A setting is malformed; the message names its environment variable.
    """
    return StackSettings.read(**overrides)


def keep_loopback_direct() -> None:
    """Send nothing for this machine through a proxy, in this process and those that it starts.

    Clients read `NO_PROXY` by different rules, and few of them know ranges such as `127.0.0.0/8`: each name is given.
    """
    for name in ("NO_PROXY", "no_proxy"):
        known = [part.strip() for part in os.environ.get(name, "").split(",") if part.strip()]
        if "*" not in known:
            os.environ[name] = ",".join(dict.fromkeys([*known, *LOOPBACK_NAMES]))
