"""The site in a real browser: it draws, answers mouse and keys, and loads nothing from elsewhere."""

import json
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from support.npm import packed_file
from support.site_world import OTHER_STORM, STORM, make_frames

from sec_core.blobs.local import LocalBlobs
from sec_core.gold.site.pages import build_site
from sec_core.gold.site.put import put

AXE = ("axe-core@4.10.3", "0f2b4d7dcdf7d1219df8d1959ad68e565f51d14c3f0d88bb71cd59abeb956292", "axe.min.js")
# A page of each kind, and how many marks it draws at least.
KINDS = {
    "": 3, "mapa/": 300, "comunas/": 0, "comuna/nunoa/": 3, "comuna/antartica/": 1, "region/maule/": 3, "tormentas/": 0,
    f"tormenta/{STORM}/": 80, f"tormenta/{OTHER_STORM}/": 0, "empresas/": 2, "inversiones/": 0, "calidad/": 3,
    "metodo/": 0, "datos/": 0, "en/": 3, "en/method/": 0, "en/data/": 0,
}  # fmt: skip
MARKS = "return document.querySelectorAll('svg path.mark, .panels path[data-codigo]').length"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site in a folder whose name needs escaping."""
    place = tmp_path_factory.mktemp("site") / "sub path ñ"
    put(build_site(make_frames(origenes=[{"origen": "SIMULACIÓN", "horas": 700}])), LocalBlobs(place))
    return place


def open_page(browser: Chrome, folder: Path, page: str, width: int = 1200, theme: str = "light") -> None:
    scheme = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get((folder / page / "index.html").as_uri())
    WebDriverWait(browser, 30).until(
        lambda chrome: chrome.execute_script("return document.documentElement.dataset.ready === 'yes'")
    )


def logged(browser: Chrome, kind: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = browser.get_log(kind)  # type: ignore[no-untyped-call]
    return entries


def test_each_kind_draws_fits_and_asks_for_nothing_else(folder: Path, browser: Chrome) -> None:
    for page, marks in KINDS.items():
        for width in (360, 1200):
            open_page(browser, folder, page, width)
            assert browser.execute_script(MARKS) >= marks, page
            wide = browser.execute_script("return document.documentElement.scrollWidth")
            assert wide <= width, f"{page} is {wide} wide at {width}"
            assert "SIMULA" in browser.find_element(By.CLASS_NAME, "banner").text
            assert browser.title != "1"
    events = [json.loads(entry["message"])["message"] for entry in logged(browser, "performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert asked
    assert {url for url in asked if not url.startswith((folder.as_uri(), "data:", "chrome"))} == set()
    assert [entry["message"] for entry in logged(browser, "browser") if entry["level"] == "SEVERE"] == []


@pytest.mark.parametrize("wanted", ["nunoa", "Ñuñoa", "ÑUÑ"])
def test_search_needs_neither_accents_nor_case(wanted: str, folder: Path, browser: Chrome) -> None:
    open_page(browser, folder, "comuna/antartica/", 360)
    field = browser.find_element(By.ID, "buscar")
    field.send_keys(wanted)
    assert browser.find_element(By.CSS_SELECTOR, "#hallados a").text.startswith("Ñuñoa")
    field.send_keys(Keys.ARROW_DOWN)
    assert browser.switch_to.active_element.text.startswith("Ñuñoa")
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    WebDriverWait(browser, 20).until(lambda chrome: "comuna/nunoa/" in chrome.current_url)
    open_page(browser, folder, "")
    browser.find_element(By.ID, "buscar").send_keys("zzz")
    assert browser.find_element(By.ID, "cuantos").text == "No hay una comuna con ese nombre."


def test_the_map_answers_mouse_and_keys(folder: Path, browser: Chrome) -> None:
    open_page(browser, folder, "mapa/")
    told = browser.find_element(By.CLASS_NAME, "told")
    shape = browser.find_element(By.CSS_SELECTOR, '.norte path[data-codigo="02101"]')
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", shape)
    ActionChains(browser).move_to_element(shape).perform()
    assert told.text.startswith("Antofagasta: ")
    assert "última hora con datos" in told.text

    measure = browser.find_element(By.CLASS_NAME, "measure")
    measure.send_keys("Horas")
    period = browser.find_element(By.CLASS_NAME, "period")
    assert [option.text[:4] for option in period.find_elements(By.TAG_NAME, "option")] == ["2024", "2023"]
    assert "97" in told.text or "%" in told.text
    assert "\N{EN DASH}" in told.text
    legend = browser.find_element(By.CLASS_NAME, "scale").text
    assert "sin datos" in legend
    assert "≥" in legend

    box = browser.find_element(By.CLASS_NAME, "panels")
    before = told.text
    box.send_keys(Keys.ARROW_DOWN)
    assert told.text != before
    for _ in range(40):
        box.send_keys(Keys.ARROW_DOWN)
    assert browser.execute_script("return document.querySelector('path.chosen').closest('figure').className") != "norte"
    name = told.text.partition(":")[0]
    box.send_keys(Keys.ENTER)
    WebDriverWait(browser, 20).until(lambda chrome: "/comuna/" in chrome.current_url)
    assert browser.find_element(By.TAG_NAME, "h1").text.startswith(name)


def test_a_comuna_without_customers_has_no_figure_but_is_there(folder: Path, browser: Chrome) -> None:
    open_page(browser, folder, "comuna/antartica/")
    text = browser.find_element(By.TAG_NAME, "main").text
    assert "sin datos\nclientes (estimación)" in text
    assert "No se conocen, por lo que no hay índice." in text


def test_figures_stay_without_scripts_and_on_paper(folder: Path, browser: Chrome) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get((folder / "mapa" / "index.html").as_uri())
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert "El mapa necesita scripts" in browser.find_element(By.TAG_NAME, "main").text
    assert len(browser.find_elements(By.CSS_SELECTOR, "tbody tr")) == 346
    open_page(browser, folder, "comuna/nunoa/")
    paper = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert len(paper["data"]) > 20_000


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_kind_of_page_has_a_serious_fault_of_access(theme: str, folder: Path, browser: Chrome) -> None:
    axe = packed_file(*AXE).read_text(encoding="utf-8")
    # Themes differ in colours alone.
    options = {"resultTypes": ["violations"]} | ({"runOnly": ["color-contrast"]} if theme == "dark" else {})
    found = []
    for page in KINDS:
        open_page(browser, folder, page, theme=theme)
        browser.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")
        browser.execute_script(axe)
        result = browser.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "axe.run(document, arguments[0]).then(done, error => done({error: String(error)}))",
            options,
        )
        assert "error" not in result, result
        found += [
            (page, fault["id"], fault["nodes"][0]["html"][:200], fault["nodes"][0]["failureSummary"][:300])
            for fault in result["violations"]
            if fault["impact"] in {"serious", "critical"}
        ]
    assert found == []
