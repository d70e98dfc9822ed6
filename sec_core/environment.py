"""How settings are read: from the environment, then from `.env`; what is empty is unset, what is wrong is one line."""

import re
from typing import Annotated, Final, Self

from pydantic import AfterValidator, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sec_core.errors import ConfigError

_PRINTABLE: Final = re.compile(r"[ -~]+")


def _for_a_header(value: str | SecretStr) -> str | SecretStr:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if _PRINTABLE.fullmatch(text) is None:
        raise ValueError("it is sent in a header, so write it in one line of ASCII, without accents")
    return value


HeaderText = Annotated[str, AfterValidator(_for_a_header)]
# What is sent in a header.
HeaderSecret = Annotated[SecretStr, AfterValidator(_for_a_header)]


class Environment(BaseSettings):
    """Base of all settings. A field's variable is the class's prefix and the field's name, in capitals."""

    model_config = SettingsConfigDict(
        # Editors on Windows begin a file with a byte order mark.
        env_file=".env", env_file_encoding="utf-8-sig", extra="ignore", populate_by_name=True,
        use_attribute_docstrings=True, hide_input_in_errors=True,
    )  # fmt: skip

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str):
            return value
        # An empty variable also hides what `.env` says.
        field = cls.model_fields[info.field_name or ""]
        return value.strip() or field.get_default(call_default_factory=True)

    @classmethod
    def read(cls, **overrides: object) -> Self:
        """Read the settings, with overrides by field name.

        Raises:
            ConfigError: One is malformed or contradicts another, or `.env` can't be read.
        """
        try:
            return cls(**overrides)  # type: ignore[arg-type]
        except ValidationError as error:
            told = [(cls.variable(str(item["loc"][0])) if item["loc"] else "", item["msg"]) for item in error.errors()]
            problems = "; ".join(f"{name}: {text}" if name else text for name, text in told)
            raise ConfigError(f"Bad settings: {problems.replace('Value error, ', '')}.") from None
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise ConfigError(f"The file .env is no UTF-8 text (line {line}).", next_step="Save it as UTF-8.") from None
        except OSError as error:
            raise ConfigError(
                f"The file .env can't be read: {error.strerror}.", next_step="Correct its rights."
            ) from None

    @classmethod
    def variable(cls, field: str) -> str:
        """Name of a field's environment variable."""
        alias = cls.model_fields[field].validation_alias if field in cls.model_fields else field
        return alias if isinstance(alias, str) else f"{cls.model_config.get('env_prefix', '')}{field}".upper()
