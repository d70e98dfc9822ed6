"""Types of fixtures, for the annotations of tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sec_core.config import Settings


class MakeSettings(Protocol):
    """Makes settings for a test; any field can be given by name."""

    def __call__(self, **overrides: object) -> Settings: ...
