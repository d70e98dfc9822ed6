"""Published Parquet is typed, documented, written whole and the same for the same input."""

from dataclasses import replace
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from sec_core.blobs.local import LocalBlobs
from sec_core.errors import StorageError
from sec_core.gold import month_files, parquet
from sec_core.gold.frames import UTC_TIME, Names
from sec_core.gold.release.contents import PANEL_GROUP
from sec_core.hours import Month

AUGUST, SEPTEMBER = Month(2024, 8), Month(2024, 9)
ABOUT = dict.fromkeys((AUGUST, SEPTEMBER), (datetime(2024, 8, 2, 3, tzinfo=UTC), "SEC"))


def one_observation(month: Month, customers: int = 5) -> pl.DataFrame:
    row = {
        "hora": month.start, "id_geografia": 7101, "forma": "detailed", "codigo_region": "07",
        "nombre_region": "MAULE", "codigo_comuna": "07101", "nombre_comuna": "TALCA", "nombre_empresa": "CGE",
        "fecha_inicio": date(2024, 7, 31), "clientes_afectados": customers, "n_filas": 2, "imputaciones": 0,
    }  # fmt: skip
    return pl.DataFrame([row], schema_overrides={"hora": UTC_TIME, "n_filas": pl.Int32, "imputaciones": pl.Int16})


def test_a_file_describes_itself(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "observaciones.parquet"
    gold = LocalBlobs(path.parent)
    body = parquet.write(
        one_observation(AUGUST), gold, path.name, parquet.OBSERVATIONS, "Title", extra={"digest": "abc"}
    )
    assert bytes(body) == path.read_bytes()
    schema = pq.read_schema(path)
    for column in parquet.OBSERVATIONS:
        field = schema.field(column.name)
        assert field.type == column.type
        assert field.nullable == column.nullable
        assert field.metadata[b"description"].decode() == column.description
    about = parquet.metadata(gold, path.name)
    assert about["title"] == "Title"
    assert about["digest"] == "abc"
    assert "Superintendencia de Electricidad" in about["source"]
    assert {"licence", "citation", "columns"} <= about.keys()
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


def test_the_same_frame_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        parquet.write(one_observation(AUGUST), LocalBlobs(tmp_path), name, parquet.OBSERVATIONS, "Title")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_disk_that_refuses_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="can't be written"):
        parquet.write(
            one_observation(AUGUST), LocalBlobs(tmp_path), "file/x.parquet", parquet.OBSERVATIONS, "Title", None
        )


def test_only_months_that_changed_are_read_and_written(tmp_path: Path) -> None:
    asked: list[Month] = []

    def read(month: Month) -> pl.DataFrame:
        asked.append(month)
        return one_observation(month)

    gold = LocalBlobs(tmp_path)
    assert month_files.export(gold, {AUGUST: "a", SEPTEMBER: "s"}, read, ABOUT) == (AUGUST, SEPTEMBER)
    assert month_files.export(gold, {AUGUST: "a", SEPTEMBER: "changed"}, read, ABOUT) == (SEPTEMBER,)
    assert asked == [AUGUST, SEPTEMBER, SEPTEMBER]
    assert month_files.export(gold, {SEPTEMBER: "changed"}, read, ABOUT) == ()
    assert not list(gold.list("panel/anho=2024/mes=08/")), "what Silver lacks goes"
    found = pl.read_parquet(tmp_path / "observaciones" / "**" / "*.parquet", hive_partitioning=True)
    assert found.select("anho", "mes", "clientes_afectados").rows() == [(2024, 9, 5)]


def test_a_damaged_file_is_written_again(tmp_path: Path) -> None:
    month_files.export(LocalBlobs(tmp_path), {AUGUST: "a"}, one_observation, ABOUT)
    path = tmp_path / month_files.month_key(AUGUST)
    path.write_bytes(path.read_bytes()[:100])
    assert month_files.export(LocalBlobs(tmp_path), {AUGUST: "a"}, one_observation, ABOUT) == (AUGUST,)
    assert pl.read_parquet(path).height == 1


def test_a_digest_follows_loads_and_names() -> None:
    loads = pl.DataFrame(
        {"hora": [datetime(2024, 8, 2, tzinfo=UTC)], "mes": [date(2024, 8, 1)], "version": ["1"]},
        schema_overrides={"hora": UTC_TIME},
    )
    names = Names(pl.DataFrame({"id": [1], "nombre": ["TALCA"]}), pl.DataFrame({"id": [2], "nombre": ["CGE"]}))
    renamed = replace(names, places=names.places.with_columns(nombre=pl.lit("TALCAHUANO")))
    base = month_files.digests(loads, names)
    assert base.keys() == {AUGUST}
    assert month_files.digests(loads.with_columns(version=pl.lit("2")), names) != base
    assert month_files.digests(loads, renamed) != base
    assert month_files.digests(loads, names) == base


def test_the_panel_sums_companies_and_is_written_with_the_observations(tmp_path: Path) -> None:
    def read(month: Month) -> pl.DataFrame:
        return pl.concat([one_observation(month, 5), one_observation(month, 7)])

    gold = LocalBlobs(tmp_path)
    month_files.export(gold, {AUGUST: "a"}, read, ABOUT)
    found = pl.read_parquet(tmp_path / "panel" / "anho=2024" / "mes=08" / "panel.parquet", hive_partitioning=False)
    assert found.rows() == [(AUGUST.start, "07101", 12, "detailed")]
    about = parquet.metadata(gold, month_files.month_key(AUGUST, "panel"))
    assert (about["made"], about["method"]) == ("2024-08-02T03:00:00+00:00", "2")
    (tmp_path / month_files.month_key(AUGUST, "panel")).unlink()
    assert month_files.export(gold, {AUGUST: "a"}, read, ABOUT) == (AUGUST,)


class Ranges(BytesIO):
    """A file as HTTP serves it: counts the ranges that are fetched, and their bytes."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self.ranges: list[int] = []

    def read(self, size: int | None = -1) -> bytes:
        found = super().read(size)
        self.ranges.append(len(found))
        return found


def test_one_comuna_of_a_month_is_read_in_few_ranges(tmp_path: Path) -> None:
    comunas = pl.DataFrame({"codigo_comuna": [f"{n:05}" for n in range(300)]})
    frame = comunas.join(pl.DataFrame({"n": range(700)}), how="cross", maintain_order="left").select(
        pl.from_epoch(1_722_000_000 + 3600 * pl.col("n")).dt.replace_time_zone("UTC").alias("hora"),
        "codigo_comuna",
        clientes_afectados=(pl.col("n") * 7919) % 4001,
        forma=pl.lit("detailed"),
    )
    body = bytes(parquet.write(frame, LocalBlobs(tmp_path), "p", parquet.PANEL, "x", group_rows=PANEL_GROUP))
    file = Ranges(body)
    assert pq.read_table(file, filters=[("codigo_comuna", "=", "00150")], pre_buffer=True).num_rows == 700
    # The footer, and what is asked for.
    assert len(file.ranges) == 2
    assert file.ranges[1] < len(body) / 15
