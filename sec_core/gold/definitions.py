"""What each published figure means, in English and Spanish, from one file: definitions.toml."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Definition:
    """One published figure; `key` is its anchor, `note` says what to beware of."""

    key: str
    name: str
    formula: str
    unit: str
    source: str
    note: str = ""


@cache
def definitions(language: str) -> tuple[Definition, ...]:
    """All definitions in `en` or `es`, in the file's order."""
    text = files("sec_core.gold").joinpath("definitions.toml").read_text(encoding="utf-8")
    return tuple(Definition(key, **texts[language]) for key, texts in tomllib.loads(text).items())
