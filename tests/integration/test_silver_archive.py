"""Observations that were moved to the archive: read, reprocessed and guarded like others."""

import polars as pl
import pytest
from support.fixtures import on_disk
from support.reference_rules import utc
from support.silver_world import Silver, aggregated, world

from sec_core.errors import ConfigError, StorageError
from sec_core.hours import Month
from sec_core.silver.tables import Archive, SilverTables
from sec_core.source.shapes import Shape
from sec_core.usecases.upkeep import apply_retention


def archived(silver: Silver) -> pl.DataFrame:
    with silver.database.adbc() as connection:
        return SilverTables(connection, Archive(silver.settings.archive)).observations(Month(2025, 5))


def test_archived_months_are_reprocessed_and_read_like_others(silver: Silver) -> None:
    bronze = silver.bronze = world()
    silver.load()
    before = silver.export()
    assert apply_retention(silver.database, silver.settings).months == ()
    report = apply_retention(silver.database, silver.settings, keep_days=30)
    assert report.months == (Month(2025, 5),)
    assert report.rows == silver.rows("select n_observaciones from archivo")[0][0] > 0
    assert silver.rows("select count(*) from fact_observaciones where hora < '2025-06-01 04:00+00'") == [(0,)]
    assert archived(silver).height == report.rows
    assert silver.export()["fact_interrupciones"] == before["fact_interrupciones"]
    # Loading the next month needs nothing of the archive; a revision of an archived hour brings its month back.
    hour = utc(2025, 5, 31, 20)
    old = bronze.held[hour]
    bronze.put(hour, Shape.AGGREGATED, aggregated(5_000))
    silver.load(Month(2025, 5))
    assert silver.rows("select max(clientes_afectados_crudo) from fact_interrupciones") == [(5_000,)]
    bronze.held[hour] = old
    silver.load(Month(2025, 5))
    assert silver.export() == before
    assert silver.rows("select count(*) from archivo") == [(0,)]


def test_other_rules_reach_archived_months(silver: Silver) -> None:
    silver.bronze, strict = world(), silver.make_settings(event_threshold=10)
    silver.load(by=strict)
    expected = silver.export()["fact_interrupciones"]
    silver.clear()
    silver.load()
    apply_retention(silver.database, silver.settings, keep_days=30)
    silver.load(Month(2025, 7), by=strict)
    assert silver.export()["fact_interrupciones"] == expected


def test_a_damaged_archive_drops_nothing_and_is_refused(silver: Silver) -> None:
    silver.bronze, folder = world(), on_disk(silver.settings.data) / "archive"
    silver.load()
    before = silver.export()
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file where the folder should be")
    with pytest.raises(StorageError):
        apply_retention(silver.database, silver.settings, keep_days=30)
    assert silver.export() == before
    folder.unlink()
    apply_retention(silver.database, silver.settings, keep_days=30)
    path = next(folder.rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(StorageError):
        archived(silver)
    with pytest.raises(ConfigError):
        apply_retention(silver.database, silver.settings, keep_days=29)
