"""The Prefect UI as a person uses it, in a real browser."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from selenium.common.exceptions import (
    ElementClickInterceptedException,
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from support.stack import PATIENCE_S

T = TypeVar("T")

SUBMIT_AGAIN_S = 20
_PASSING = (StaleElementReferenceException, ElementClickInterceptedException)
# Names a folder that takes pictures of the pages; without it none are taken.
PICTURES_VARIABLE = "SEC_TEST_PICTURES"


class PrefectUi:
    """The UI of a server.

    Args:
        browser: The browser.
        address: Where the UI is.
    """

    def __init__(self, browser: Chrome, address: str) -> None:
        self._browser = browser
        self._address = address
        self.resize(1440, 1000)

    def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def sign_in(self, login: str) -> None:
        self._browser.get(self._address)
        self._find("input[type=password]").send_keys(login)
        self._click("button", "Login")
        self._find("a", "Deployments")
        # The page's complaints from before would lie over what comes.
        self._browser.refresh()

    def open(self, path: str) -> None:
        self._browser.get(f"{self._address}{path}")

    def show(self, page: str) -> None:
        """A page of our own in the place of the UI."""
        self._browser.get("data:text/html;charset=utf-8," + quote(page))

    def wait_for(self, selector: str) -> None:
        self._find(selector)

    def open_deployment(self, name: str) -> None:
        self._click("a", "Deployments")
        self._find("a[href*='/deployments/deployment/']")
        # The list has several pages.
        self._find("input[placeholder^='Search deployments']").send_keys(name)
        self._click("a[href*='/deployments/deployment/']", name)

    def begin_custom_run(self) -> None:
        self._click("header button", "Run")
        self._click("[role=menuitem], .p-overflow-menu-item", "Custom run")

    def write_month(self, month: str) -> None:
        field = self._find("form textarea")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(month)
        self._wait(f"{month} in the form", lambda: field.get_attribute("value") == month)
        self._click("form button[type=submit]", "Submit")

    def wait_for_complaint(self, value: str) -> None:
        """Wait until the form refuses this value; it may still name the one before."""
        self._find("form", f"'{value}' is not valid", part=True)

    def leave_form(self) -> None:
        """Wait for the form to go; press Submit again where it took no notice."""
        began = time.monotonic()

        def gone() -> bool:
            nonlocal began
            if time.monotonic() - began > SUBMIT_AGAIN_S:
                began = time.monotonic()
                self._click("form button[type=submit]", "Submit")
            return not self._browser.find_elements(By.CSS_SELECTOR, "form button[type=submit]")

        self._wait("the form's end", gone)

    def open_run(self, name: str) -> None:
        self._click("a[href*='/runs/flow-run/']", name, part=True)

    def wait_for_state(self, state: str) -> None:
        self._find("[class*=state-badge]", state)

    def open_tab(self, name: str) -> None:
        self._click("li.p-tab", name)

    def artifacts(self) -> dict[str, str]:
        """Addresses of the run's artifacts, by key."""
        self.open_tab("Artifacts")

        def keys() -> dict[str, str]:
            links = self._browser.find_elements(By.CSS_SELECTOR, "a[href*='/artifacts/artifact/']")
            return {link.text.splitlines()[1]: str(link.get_attribute("href")) for link in links}

        return self._wait("artifacts", keys)

    def read_artifact(self, address: str, selector: str) -> list[str]:
        """Texts of the parts of an artifact's page."""
        self._browser.get(address)
        self._find(selector)
        return [each.text for each in self._browser.find_elements(By.CSS_SELECTOR, selector)]

    def links(self, address: str, beginning: str) -> list[str]:
        """Targets of an artifact's links that begin so."""
        self._browser.get(address)
        self._find(f"a[href^='{beginning}']")
        found = self._browser.find_elements(By.CSS_SELECTOR, f"a[href^='{beginning}']")
        return sorted({str(each.get_attribute("href")) for each in found})

    def picture(self, name: str) -> None:
        if folder := os.environ.get(PICTURES_VARIABLE):
            Path(folder).mkdir(parents=True, exist_ok=True)
            # Charts are drawn a moment after their page.
            self._browser.execute_async_script("setTimeout(arguments[arguments.length - 1], 1500)")
            self._browser.save_screenshot(str(Path(folder, f"{name}.png")))

    def _find(self, selector: str, text: str | None = None, *, part: bool = False) -> WebElement:
        """The first element shown that fits, once there is one."""

        def fits(element: WebElement) -> bool:
            shown = element.text.strip()
            return element.is_displayed() and (text is None or shown == text or (part and text in shown))

        def look() -> WebElement | None:
            return next(filter(fits, self._browser.find_elements(By.CSS_SELECTOR, selector)), None)

        return self._wait(f"{selector} {text}", look)

    def _click(self, selector: str, text: str | None = None, *, part: bool = False) -> None:
        """Click what fits, once nothing lies over it: pages slide in and notices come and go."""

        def click() -> bool:
            self._find(selector, text, part=part).click()
            return True

        self._wait(f"a click on {selector} {text}", click)

    def _wait(self, what: str, look: Callable[[], T | None]) -> T:
        waiting = WebDriverWait(self._browser, PATIENCE_S / 4, ignored_exceptions=_PASSING)
        try:
            return waiting.until(lambda _: look() or False)
        except TimeoutException as late:
            self.picture("late")
            raise AssertionError(f"{what} never came on {self._browser.current_url}") from late
