"""Photograph each kind of page of the site, on a desk and on a phone, for docs/site.md: `make screenshots`.

The pages are made from a simulated history of twenty months with two great storms, so that nothing in the pictures is
real, and say so. It needs Chromium and its driver, and takes a minute or two.
"""

import shutil
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from selenium import webdriver
from sqlalchemy import text
from support.browser import chromium
from support.fixtures import on_disk

from benchmarks import history
from benchmarks.measuring import bench, opened
from sec_core.bronze.ledger import Ledger
from sec_core.bronze.store import BronzeStore
from sec_core.clock import SystemClock
from sec_core.config import Settings
from sec_core.gold.build import build_gold
from sec_core.hours import Month, month_range
from sec_core.silver.load import load_month
from sec_core.simulator.country import REGIONS
from sec_core.simulator.options import Storm, WorldOptions
from sec_core.simulator.world import World
from sec_core.source.shapes import AnsweredBy

MONTHS: Final = tuple(month_range(Month(2023, 1), Month(2024, 8)))
STORMS: Final = (
    Storm(
        start=Month(2024, 6).start + timedelta(days=11),
        customers=420_000,
        rows=2_500,
        regions={"08": 0.6, "16": 0.2, "09": 0.2},
    ),
    Storm(start=Month(2024, 8).start + timedelta(days=1), rows=5_000),
)
WORLD: Final = WorldOptions(rows_per_hour=300, feeders=2, storms=STORMS)
# Months at the end of which every hour was asked for; one in six before.
HOURLY: Final = 3
DOCS: Final = Path("docs/images")
DESK, PHONE = (1200, 1000), (360, 780)
# Bytes of a picture at most.
LARGEST: Final = 120_000
# A page of each kind; `*` is the first there is.
PAGES: Final = {
    "start": "", "map": "mapa/", "comuna": "comuna/nunoa/", "region": "region/maule/", "comunas": "comunas/",
    "storms": "tormentas/", "storm": "tormenta/*/", "companies": "empresas/", "investments": "inversiones/",
    "quality": "calidad/", "method": "metodo/", "data": "datos/", "en": "en/",
}  # fmt: skip


def main(
    site: Annotated[Path | None, typer.Argument(help="A site that was built; none makes a simulated one.")] = None,
    into: Annotated[Path, typer.Option(help="Where the pictures go.")] = DOCS,
) -> None:
    """Photograph the site."""
    if site is not None:
        photograph(site, into)
        return
    with bench() as here:
        settings = here.settings("data", "site")
        make(settings)
        photograph(on_disk(settings.gold) / "site", into)


def make(settings: Settings) -> None:
    """Build the simulated history and its site."""
    world = World(WORLD)
    insert = text(
        "insert into clientes_regionales (mes, codigo_region, clientes, capturado_en) values (:mes, :c, :n, now())"
    )
    with opened(settings) as database:
        store = BronzeStore(settings.bronze)
        ledger = Ledger(database, store)
        rows = [{"mes": MONTHS[-1].first_day, "c": region.code, "n": region.customers} for region in REGIONS]
        with database.engine.begin() as connection:
            connection.execute(insert, rows)
        for month in MONTHS:
            hours = list(month.hours()) if month in MONTHS[-HOURLY:] else history.hours_of(month)
            by = AnsweredBy("127.0.0.1", "simulator")
            ledger.record([replace(history.finding(world, hour), answered_by=by) for hour in hours])
            load_month(database, store.read_kept, month, settings, values=ledger)
        build_gold(database, settings, SystemClock())


def photograph(site: Path, into: Path) -> None:
    """Take `site-<kind>.png` and `site-<kind>-phone.png` of each kind of page, some of them dark.

    Args:
        site: The folder of the site.
        into: Where the pictures go.
    """
    profile = Path(tempfile.mkdtemp(prefix="sec-pictures-"))
    chrome = chromium(profile)
    chrome.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    try:
        for name, pattern in PAGES.items():
            page = min(site.glob(f"{pattern}index.html"), default=None)
            if page is None:
                continue
            for ending, (width, height), theme in (
                ("", DESK, "dark" if name in {"storm", "en"} else "light"),
                ("-phone", PHONE, "dark" if name == "region" else "light"),
            ):
                into.mkdir(parents=True, exist_ok=True)
                shots = (shot(chrome, page, width, height * tenths // 10, theme) for tenths in range(10, 0, -1))
                picture = next(each for each in shots if len(each) <= LARGEST)
                (into / f"site-{name}{ending}.png").write_bytes(picture)
    finally:
        chrome.quit()
        shutil.rmtree(profile, ignore_errors=True)


def shot(chrome: webdriver.Chrome, page: Path, width: int, height: int, theme: str, *, whole: bool = False) -> bytes:
    """A picture of a page as PNG; `whole` down to its end."""
    scheme = [{"name": "prefers-color-scheme", "value": theme}]
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    chrome.get(page.resolve().as_uri())
    if whole:
        size["height"] = chrome.execute_script("return document.documentElement.scrollHeight")
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    return chrome.get_screenshot_as_png()


if __name__ == "__main__":
    typer.run(main)
