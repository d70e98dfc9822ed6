"""A release of a simulated world: what is in it, what tools say to it, what is found in a damaged one."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from support.gold_world import FixedClock, load_world

from sec_core.gold.release.write import check_release, make_release

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sec_core.config import Settings
    from sec_core.db.database import Database

VERSION = "2025.9"


def test_x(database: Database, make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    load_world(database, settings)
    made = make_release(database, settings, FixedClock(), VERSION, draft=True)
    print(made.line())
    shutil.rmtree("/tmp/xr/rel", ignore_errors=True)
    shutil.copytree(settings.data / "releases", "/tmp/xr/rel")
    shutil.copytree(settings.data / "gold", "/tmp/xr/rel/gold")
