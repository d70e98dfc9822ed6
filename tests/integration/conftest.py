"""Fixtures of these tests, besides those of all."""

from support.browser import browser

__all__ = ["browser"]
