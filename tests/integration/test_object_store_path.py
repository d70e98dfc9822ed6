"""The whole path over an object store, from the source to Gold, held against the same bytes in a folder."""

import os
import sys
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from support.capturing import Capturing, HastyClock, capturing
from support.fixtures import MakeSettings, StandingClock
from support.object_store import ObjectStore
from support.silver_world import clear, export

from deployments.cli.main import main
from sec_core.blobs.place import Blobs, StoreUrl, open_blobs
from sec_core.bronze.ledger_table import LedgerTables
from sec_core.bronze.seal import seal_month
from sec_core.config import Settings
from sec_core.errors import StorageError
from sec_core.gold.build import build_gold
from sec_core.hours import Month
from sec_core.silver.load import load_month
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.server import Simulator
from sec_core.usecases.upkeep import apply_retention

MONTH, LATER = Month(2026, 2), Month(2026, 4)
NOW = datetime(2026, 9, 30, 13, 36, tzinfo=UTC)


GoldClock = partial(StandingClock, NOW)


def contents(blobs: Blobs) -> dict[str, bytes]:
    return {name: blobs.read(name) for name in blobs.list("")}


def load(capture: Capturing, month: Month, *, force: bool = False) -> None:
    read, values = capture.store.read_kept, capture.ledger
    load_month(capture.database, read, month, capture.settings, values=values, force=force)


def fetch(blobs: Blobs, folder: Path) -> None:
    """Copy a place into a folder."""
    for name, data in contents(blobs).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


async def test_the_whole_path_over_an_object_store(
    bucket: StoreUrl, object_store: ObjectStore, make_settings: MakeSettings, tmp_path: Path
) -> None:
    place = bucket / "research" / "sec"
    with Simulator(world=WorldOptions.tiny(seed=4, rows_per_hour=12), now=NOW) as sim:
        settings = make_settings(
            data_dir=place, state_dir=tmp_path / "state", base_url=sim.url, max_rate=5000, max_concurrency=16
        )
        async with capturing(settings, HastyClock(NOW)) as capture:
            report = await capture.run([*MONTH.hours(), *LATER.hours()[:48]])
            assert (report.captured, report.failed) == (len(MONTH.hours()) + 48, 0)
            load(capture, MONTH)
            load(capture, LATER)
            silver = export(capture.database)
            gold = build_here_and_there(capture, tmp_path / "folder")
            ledger = capture.ledger.rows(MONTH.hours())

            # Cold storage: one object for the bodies, one for the journal; the values stay.
            sealed = seal_month(MONTH, store=capture.store, ledger=capture.ledger, now=NOW)
            assert sealed is not None
            bronze = open_blobs(settings.bronze)
            assert [len(list(bronze.list(f))) for f in ("por_fecha/2026/02/", f"journal/{MONTH}/")] == [0, 1]
            assert (object_store.folder / place.bucket / "research/sec/bronze" / sealed.key).is_file()

            # The ledger again from the objects, and the month again from its sealed object.
            assert capture.ledger.rebuild().hours == {MONTH: len(MONTH.hours()), LATER: 48}
            assert LedgerTables(capture.database).rows(MONTH.hours()) == ledger
            load(capture, MONTH, force=True)
            assert export(capture.database) == silver

            # Old observations move to the archive; Gold stays what it was.
            build_gold(capture.database, settings, GoldClock())
            assert apply_retention(capture.database, settings, keep_days=30).months == (MONTH,)
            there = open_blobs(place)
            assert [name for name in there.list("archive/") if "anho=2026/mes=02" in name]
            there.delete_below("gold/observaciones/")
            assert build_gold(capture.database, settings, GoldClock()).months_written == (MONTH, LATER)
            after = contents(open_blobs(settings.gold))
            assert {name for name in gold if after[name] != gold[name] and not name.startswith("kept/")} <= {
                "observaciones/anho=2026/mes=02/observaciones.parquet",
                "panel/anho=2026/mes=02/panel.parquet",
            }
            load(capture, MONTH, force=True)
            assert export(capture.database) == silver
            assert not (tmp_path / "state").exists() or not list((tmp_path / "state").rglob("*.parquet"))

            # All of it fetched into a folder: another database made from that is the same.
            fetch(there, tmp_path / "fetched")
            clear(capture.database)
            from_folder = make_settings(data_dir=tmp_path / "fetched")
            async with capturing(from_folder, HastyClock(NOW)) as other:
                assert other.ledger.rebuild().hours == {MONTH: len(MONTH.hours()), LATER: 48}
                load(other, MONTH)
                load(other, LATER)
                assert export(other.database) == silver


def build_here_and_there(capture: Capturing, folder: Path) -> dict[str, bytes]:
    """Gold of one Silver in the object store and in a folder: the same names and bytes."""
    here = capture.settings.model_copy(update={"data_dir": folder})
    for settings in (capture.settings, here):
        build_gold(capture.database, settings, GoldClock())
    found = contents(open_blobs(capture.settings.gold))
    assert found == contents(open_blobs(here.gold))
    assert {"golden_interrupciones.parquet", "dashboard_stats/meta.json"} <= found.keys()
    return found


async def test_a_place_without_the_bodies_of_the_ledger_is_a_clear_error(
    bucket: StoreUrl, make_settings: MakeSettings, tmp_path: Path
) -> None:
    with Simulator(world=WorldOptions.tiny(), now=NOW) as sim:
        settings = make_settings(data_dir=tmp_path / "data", base_url=sim.url, max_rate=5000)
        async with capturing(settings, HastyClock(NOW)) as capture:
            await capture.run(MONTH.hours()[:3])
    elsewhere = settings.model_copy(update={"data_dir": bucket})
    async with capturing(elsewhere, HastyClock(NOW)) as capture:
        with pytest.raises(StorageError, match="all that work on one database need the same one"):
            load(capture, MONTH)
        with pytest.raises(StorageError, match="Check SEC_DATA_DIR"):
            capture.ledger.rebuild()


@pytest.mark.usefixtures("site_drawn")
@pytest.mark.skipif(sys.platform != "linux", reason="Other systems open pages by other programs.")
def test_the_site_is_fetched_to_be_shown_and_put_where_it_is_read(
    bucket: StoreUrl,
    commands: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = tmp_path / "shown"
    opener = tmp_path / "bin" / "xdg-open"
    opener.parent.mkdir()
    opener.write_text(f'#!/bin/sh\necho "$1" > {shown}.part\nmv {shown}.part {shown}\n', encoding="utf-8")
    opener.chmod(0o755)
    monkeypatch.setenv("PATH", f"{opener.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SEC_DATA_DIR", str(bucket))
    monkeypatch.setenv("SEC_STATE_DIR", str(tmp_path / "state"))
    assert main(["site", "--publish"]) == 1
    assert "SEC_SITE_TARGET is not set" in capsys.readouterr().err

    monkeypatch.setenv("SEC_SITE_TARGET", str(tmp_path / "www"))
    assert main(["site", "--open"]) == 0
    assert f"The site is in {bucket}/gold/site" in capsys.readouterr().out
    for _ in range(500):
        if shown.is_file():
            break
        time.sleep(0.02)
    page = tmp_path / "state" / "site" / "index.html"
    assert shown.read_text().strip().removeprefix("file://") == str(page)
    assert (page.parent / "comuna" / "nunoa" / "index.html").is_file()

    assert main(["site", "--publish"]) == 0
    assert "files written, 0 kept, 0 removed" in capsys.readouterr().out
    assert (tmp_path / "www" / "index.html").read_bytes() == page.read_bytes()
    assert main(["site", "--publish"]) == 0
    assert "0 files written" in capsys.readouterr().out

    monkeypatch.setenv("SEC_DRAW_SITE", "0")
    assert main(["site"]) == 1
    assert "SEC_SITE_TARGET says where the site is put" in capsys.readouterr().err
    monkeypatch.delenv("SEC_SITE_TARGET")
    assert main(["site"]) == 1
    assert "SEC_DRAW_SITE says that no site is drawn." in capsys.readouterr().err
    (page.parent / "index.html").unlink()
    assert main(["gold"]) == 0
    assert "site" not in capsys.readouterr().out
    assert commands.site is None
