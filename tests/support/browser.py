"""A real browser for tests of pages."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """Headless Chromium; skipped where there is none, but never in CI."""
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        reason = "Chromium and its driver are not installed."
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    chrome = chromium(tmp_path / "chromium")
    yield chrome
    chrome.quit()


def chromium(profile: Path) -> webdriver.Chrome:
    """Headless Chromium with a profile of its own."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
