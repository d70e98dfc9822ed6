"""Observations that were moved to the archive: read, reprocessed and guarded like others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import polars as pl
import pytest
from support.fixtures import on_disk
from support.reference_rules import Hour, Listed, utc
from support.silver_world import body_of, clear, export
from support.three_months import NUNOA, load_all, rows_of, world

from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.errors import ConfigError, StorageError
from sec_core.hours import Month
from sec_core.silver.archive import Archive
from sec_core.silver.load import load_month
from sec_core.silver.retention import apply_retention
from sec_core.silver.tables import SilverTables
from sec_core.source.shapes import Shape

if TYPE_CHECKING:
    MakeSettings = Callable[..., Settings]


def archived(database: Database, settings: Settings) -> pl.DataFrame:
    with database.adbc() as connection:
        return SilverTables(connection, Archive(settings.archive)).observations(Month(2025, 5))


def test_archived_months_are_reprocessed_and_read_like_others(database: Database, make_settings: MakeSettings) -> None:
    settings, bronze = make_settings(), world()
    load_all(database, bronze, settings)
    before = export(database)
    assert apply_retention(database, settings).months == ()
    report = apply_retention(database, settings, keep_days=30)
    assert report.months == (Month(2025, 5),)
    assert report.rows == rows_of(database, "select n_observaciones from archivo")[0][0] > 0
    assert rows_of(database, "select count(*) from fact_observaciones where hora < '2025-06-01 04:00+00'") == [(0,)]
    assert archived(database, settings).height == report.rows
    assert export(database)["fact_interrupciones"] == before["fact_interrupciones"]
    # Loading the next month needs nothing of the archive; a revision of an archived hour brings its month back.
    hour = utc(2025, 5, 31, 20)
    old = bronze.held[hour]
    bronze.put(hour, Shape.AGGREGATED, body_of(Hour("aggregated", [Listed(NUNOA, 1, None, 5_000)])))
    load_month(database, bronze.read, Month(2025, 5), settings, values=bronze)
    assert rows_of(database, "select max(clientes_afectados_crudo) from fact_interrupciones") == [(5_000,)]
    bronze.held[hour] = old
    load_month(database, bronze.read, Month(2025, 5), settings, values=bronze)
    assert export(database) == before
    assert rows_of(database, "select count(*) from archivo") == [(0,)]


def test_other_rules_reach_archived_months(database: Database, make_settings: MakeSettings) -> None:
    bronze, strict = world(), make_settings(event_threshold=10)
    load_all(database, bronze, strict)
    expected = export(database)["fact_interrupciones"]
    clear(database)
    load_all(database, bronze, make_settings())
    apply_retention(database, make_settings(), keep_days=30)
    load_month(database, bronze.read, Month(2025, 7), strict, values=bronze)
    assert export(database)["fact_interrupciones"] == expected


def test_a_damaged_archive_drops_nothing_and_is_refused(database: Database, make_settings: MakeSettings) -> None:
    settings, bronze = make_settings(), world()
    load_all(database, bronze, settings)
    before = export(database)
    (on_disk(settings.data) / "archive").parent.mkdir(parents=True, exist_ok=True)
    (on_disk(settings.data) / "archive").write_text("a file where the folder should be")
    with pytest.raises(StorageError):
        apply_retention(database, settings, keep_days=30)
    assert export(database) == before
    (on_disk(settings.data) / "archive").unlink()
    apply_retention(database, settings, keep_days=30)
    path = next((on_disk(settings.data) / "archive").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(StorageError):
        archived(database, settings)
    with pytest.raises(ConfigError):
        apply_retention(database, settings, keep_days=29)
