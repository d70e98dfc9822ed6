"""Fixtures of these tests, besides those of all."""

import pytest
from support.browser import browser
from support.fixtures import MakeSettings
from support.publication import gold_settings, settings, supabase, supabase_project
from support.silver_world import Silver

from sec_core.db.database import Database

__all__ = ["browser", "gold_settings", "settings", "silver", "supabase", "supabase_project"]


@pytest.fixture
def silver(database: Database, make_settings: MakeSettings) -> Silver:
    """An empty Silver, and an empty Bronze in memory."""
    return Silver(database, make_settings)
