"""The tables of a release as Parquet, its data package, and sums of all files."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Self

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from sec_core.blobs.place import Blobs
from sec_core.errors import InputError, StorageError
from sec_core.gold import observations, parquet
from sec_core.gold.datasets import DATASETS
from sec_core.gold.frames import GoldFrames
from sec_core.gold.payloads.meta import CITA, LICENCIA, SOURCE, SOURCE_URL

PACKAGE: Final = "datapackage.json"
SUMS: Final = "SHA256SUMS"
# Major version of the interface: within one, tables and columns are added, never renamed or removed.
INTERFACE: Final = "1"
# Rows of a row group of the panel, which is ordered by comuna: one comuna of a month lies in one or two of them.
PANEL_GROUP: Final = 8192
_VERSION: Final = re.compile(r"(20\d\d)\.(1[0-2]|[1-9])(?:\.([1-9]\d{0,3}))?")
_TYPES: Final = {
    pa.string(): "string", pa.float64(): "number", pa.bool_(): "boolean", pa.date32(): "date",
    parquet.UTC_US: "datetime",
}  # fmt: skip
_PATTERNS: Final = {"codigo_comuna": r"(\d{5})?", "codigo_region": r"(\d{2})?"}


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """`YYYY.M`, or `YYYY.M.N` for the Nth that mends it."""

    year: int
    month: int
    number: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a version; raises InputError where it is none."""
        found = _VERSION.fullmatch(text)
        if found is None:
            raise InputError(f"{text!r} is no version of a release.", next_step="Write YYYY.M or YYYY.M.N: 2026.11.")
        return cls(int(found[1]), int(found[2]), int(found[3] or 0))

    def __str__(self) -> str:
        return f"{self.year}.{self.month}" + (f".{self.number}" if self.number else "")


def write_tables(collected: GoldFrames, gold: Blobs, out: Blobs) -> dict[str, int]:
    """Write all tables, and return the rows of each.

    Args:
        collected: One snapshot.
        gold: Gold's place; the months of its panel must be those of the snapshot.
        out: Where the release is made.

    Raises:
        StorageError: A file can't be written, or a month of the panel was written again since the snapshot.
    """
    return {
        dataset.name: _write_panel(collected, gold, out, dataset.title)
        if dataset.rows is None
        else dataset.write(collected, out)
        for dataset in DATASETS
    }


def _write_panel(collected: GoldFrames, gold: Blobs, out: Blobs, title: str) -> int:
    count = 0
    for month, digest in sorted(observations.digests(collected.loads, collected.names).items()):
        body = gold.read(observations.panel_key(month))
        about = parquet.as_text(pq.read_schema(BytesIO(body)).metadata)
        if about.get("digest") != digest:
            raise StorageError(
                f"The panel of {month} was written again meanwhile.", next_step="Run the same command again."
            )
        rows = pl.read_parquet(body, hive_partitioning=False).sort("codigo_comuna", "hora")
        made = datetime.fromisoformat(about["made"])
        extra = {"origin": about["origin"]}
        key = observations.panel_key(month)
        parquet.write(rows, out, key, parquet.PANEL, f"{title}, {month}", made, extra, PANEL_GROUP)
        count += rows.height
    return count


def files_of(folder: Path) -> list[str]:
    """All files of a release, by name below its folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def write_package(folder: Path, about: dict[str, Any]) -> None:
    """Write `datapackage.json`, in which every other file of the folder stands but the sums.

    Args:
        folder: The release.
        about: Further properties: version, created and what a release says of itself.
    """
    package = {
        "profile": "data-package",
        "name": "sec-outages",
        "title": "Cortes de suministro eléctrico en Chile, hora por hora",
        "description": f"{CITA} {LICENCIA}",
        "homepage": SOURCE_URL,
        "sources": [{"title": SOURCE, "path": SOURCE_URL}],
        "keywords": ["Chile", "electricidad", "cortes de suministro", "SAIDI", "SAIFI"],
        **about,
        "resources": [_resource(folder, name) for name in files_of(folder) if name not in {PACKAGE, SUMS}],
    }
    (folder / PACKAGE).write_bytes(orjson.dumps(package, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def write_sums(folder: Path) -> None:
    """Write `SHA256SUMS` of every other file, as `sha256sum -c` reads it."""
    lines = [f"{sha256(folder / name)}  {name}\n" for name in files_of(folder) if name != SUMS]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _resource(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    table = name.partition("/")[0].removesuffix(".parquet")
    resource: dict[str, Any] = {
        "name": re.sub(r"[^a-z0-9._-]+", "-", name.removesuffix(".parquet").lower().replace("/panel", "")),
        "path": name,
        # Not `bytes`: the validator does not count those of Parquet, and finds none.
        "tamano_bytes": path.stat().st_size,
        "hash": f"sha256:{sha256(path)}",
    }
    if not name.endswith(".parquet"):
        return resource
    dataset = next(each for each in DATASETS if each.name == table)
    with pq.ParquetFile(path) as file:
        fields, rows = file.schema_arrow, file.metadata.num_rows
    return resource | {
        "type": "table",
        "profile": "tabular-data-resource",
        "format": "parquet",
        "mediatype": "application/vnd.apache.parquet",
        "title": dataset.titulo,
        "tabla": table,
        "filas": rows,
        "schema": {"fields": [_field(field) for field in fields], "primaryKey": [*dataset.key], "missingValues": []},
    }


def _field(field: pa.Field) -> dict[str, Any]:
    about = parquet.as_text(field.metadata)
    constraints: dict[str, Any] = {} if field.nullable else {"required": True}
    if "categories" in about:
        constraints["enum"] = about["categories"].split("|")
    if field.name in _PATTERNS:
        constraints["pattern"] = _PATTERNS[field.name]
    if about.get("unit") == "customers" and not field.nullable:
        # A number that is missing reads as NaN, which is not 0 or more.
        constraints["minimum"] = 0
    found = {"name": field.name, "type": package_type(field), "description": about["description"]}
    found |= {key: about[key] for key in ("unit", "deprecated") if key in about}
    return found | ({"constraints": constraints} if constraints else {})


def package_type(field: pa.Field) -> str:
    """The type in a data package; whole numbers that may be missing are read as fractions by most tools."""
    return _TYPES.get(field.type, "number" if field.nullable else "integer")
