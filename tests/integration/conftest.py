"""Fixtures of these tests, besides those of all."""

from support.browser import browser
from support.publication import gold_settings, settings, supabase, supabase_project

__all__ = ["browser", "gold_settings", "settings", "supabase", "supabase_project"]
