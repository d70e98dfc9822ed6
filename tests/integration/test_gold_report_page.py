"""The report in a real browser: every chart draws, tooltips work, and nothing leaves the file."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from sqlalchemy import text

from sec_core.gold.build import build_gold
from sec_core.gold.report.build import PAGE
from sec_core.gold.seia.load import load_seia
from sec_core.hours import Month

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from selenium.webdriver import Chrome

    from sec_core.config import Settings
    from sec_core.db.database import Database

NOW = datetime(2024, 9, 3, 12, tzinfo=UTC)
AUGUST = Month(2024, 8)
FIGURES = ("national", "monthly", "instability", "companies", "saidi", "quality", "projects", "coverage")


class FixedClock:
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOW

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"The report does not wait ({seconds} s).")


@pytest.fixture
def silver(database: Database, tmp_path: Path) -> Database:
    """August seen every twelve hours, an outage a day, a storm on the 12th, and projects of the SEIA."""
    days = AUGUST.days()
    with database.engine.begin() as connection:
        run = connection.execute
        run(text("SELECT asegurar_tiempo('2024-08-01'), asegurar_particion('2024-08-01')"))
        company = run(text("SELECT id_empresa FROM dim_empresa WHERE nombre_empresa = 'CGE'")).scalar_one()
        for number, day in enumerate(days):
            hour = AUGUST.start + timedelta(days=number, hours=5)
            customers = 9000 if day.day == 12 else 100 + number
            values = {"h": hour, "d": day, "c": customers, "e": company, "g": 7101}
            run(
                text("INSERT INTO capturas (hora, estado, forma, n_filas) VALUES (:h, 'captured', 'detailed', 1)"),
                values,
            )
            run(
                text(
                    "INSERT INTO cargas (hora, forma, capturado_en, sha256, n_filas, n_observaciones, clientes)"
                    " VALUES (:h, 'detailed', :h, 'x', 1, 1, :c)"
                ),
                values,
            )
            run(text("INSERT INTO fact_observaciones VALUES (:h, :g, :e, :d, :c, 1, 0)"), values)
            run(
                text(
                    "INSERT INTO cargas (hora, forma, capturado_en, sha256, n_filas, n_observaciones, clientes)"
                    " VALUES (:later, 'detailed', :h, 'x', 0, 0, 0)"
                ),
                {**values, "later": hour + timedelta(hours=12)},
            )
            run(
                text(
                    "INSERT INTO fact_interrupciones (hash_id, forma, id_geografia, id_empresa, id_tiempo, inicio, fin,"
                    " clientes_afectados, clientes_afectados_crudo, hora_maximo, cliente_horas, n_observaciones,"
                    " topado, primera_hora, ultima_hora) SELECT gen_random_uuid(), 'detailed', :g, :e, id_tiempo,"
                    " inicio, :h, :c, :c, :h, :c, 1, false, :h, :h FROM dim_tiempo WHERE fecha = :d AND hora = 0"
                ),
                values,
            )
        run(text("INSERT INTO capturas (hora, estado) VALUES (:h, 'failed')"), {"h": AUGUST.start + timedelta(days=25)})
        run(
            text(
                "INSERT INTO calidad_imputacion SELECT '2024-08-01', regla, 0, 20"
                " FROM unnest(ARRAY['clientes', 'geografia', 'empresa', 'fecha', 'tope']) AS regla"
            )
        )
        run(
            text(
                "INSERT INTO clientes_regionales SELECT '2024-08-01', codigo_region, 20000, '052019', now()"
                " FROM (SELECT DISTINCT codigo_region FROM dim_geografia WHERE id_geografia > 0) AS r"
            )
        )
    export = tmp_path / "seia.csv"
    export.write_text("Nombre;Región;Tipología\nLínea;Maule y Ñuble;b1\nPlanta;Maule;c\n", encoding="utf-8")
    load_seia(database, export)
    return database


def open_page(browser: Chrome, page: Path, width: int) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    browser.get(page.as_uri())
    WebDriverWait(browser, 60).until(
        lambda chrome: chrome.execute_script("return document.documentElement.dataset.drawn === 'yes'")
    )


def count_marks(browser: Chrome, figure: str) -> int:
    marks = f"#{figure} svg .role-mark path, #{figure} svg .role-mark text"
    found: int = browser.execute_script("return document.querySelectorAll(arguments[0]).length", marks)
    return found


def test_the_page_draws_everything_and_asks_for_nothing(
    silver: Database, make_settings: Callable[..., Settings], browser: Chrome
) -> None:
    settings = make_settings()
    files = build_gold(silver, settings, FixedClock())
    page = settings.gold_dir / PAGE
    assert files.page == page
    pictures = list((settings.gold_dir / "figures").iterdir())
    assert set(files.pictures) == set(pictures)
    assert {path.stem for path in pictures} == set(FIGURES)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)

    for width in (390, 1280):
        open_page(browser, page, width)
        assert {figure: count_marks(browser, figure) > 0 for figure in FIGURES} == dict.fromkeys(FIGURES, True)
        assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    assert count_marks(browser, "coverage") == 31
    assert count_marks(browser, "instability") == 32

    labels = browser.find_elements(By.CSS_SELECTOR, "#quality svg .role-mark text")
    assert [label.text for label in labels] == ["0 (0.00%)"] * 5
    assert "2024-08-12" in browser.find_element(By.CSS_SELECTOR, "#national svg").text
    assert tooltip_of(browser, "#companies svg .mark-rect path") == "CGE"

    asked = requested_by(browser, page.as_uri())
    assert asked
    assert {url for url in asked if not url.startswith("data:")} == {page.as_uri()}
    severe = [entry["message"] for entry in logged(browser, "browser") if entry["level"] == "SEVERE"]
    assert severe == []


def logged(browser: Chrome, kind: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = browser.get_log(kind)  # type: ignore[no-untyped-call]
    return entries


def requested_by(browser: Chrome, page: str) -> list[str]:
    """Addresses that a page asked for, its own among them."""
    events = [json.loads(entry["message"])["message"] for entry in logged(browser, "performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return [request["request"]["url"] for request in sent if request["documentURL"] == page]


def tooltip_of(browser: Chrome, mark: str) -> str:
    """First value of the tooltip that appears over a mark."""
    target = browser.find_element(By.CSS_SELECTOR, mark)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", target)
    ActionChains(browser).move_to_element(target).perform()
    shown = WebDriverWait(browser, 20).until(
        lambda chrome: chrome.find_elements(By.CSS_SELECTOR, "#vg-tooltip-element.visible td.value")
    )
    return str(shown[0].text)


def test_an_empty_gold_gives_a_page_that_says_so(database: Database, make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    files = build_gold(database, settings, FixedClock())
    assert files.pictures == ()
    page = (settings.gold_dir / PAGE).read_text(encoding="utf-8")
    assert page.count('<div class="empty">No data yet.</div>') == len(FIGURES)
    assert "Nothing is loaded yet." in page
