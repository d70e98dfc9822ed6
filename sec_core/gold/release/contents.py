"""What a release holds: tables as Parquet and as a DuckDB file, texts, a data package, and sums of all files."""

import csv
import hashlib
import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Self

import duckdb
import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from jinja2 import Environment, PackageLoader, StrictUndefined

from sec_core.blobs.place import Blobs
from sec_core.errors import InputError, StorageError
from sec_core.gold import month_files, parquet
from sec_core.gold.datasets import DATASETS
from sec_core.gold.frames import GoldFrames
from sec_core.gold.payloads.basis import CITA, CITATION, LICENCE, LICENCIA, METHOD, SOURCE, SOURCE_URL
from sec_core.gold.release.changes import MOVED, Changes

PACKAGE: Final = "datapackage.json"
SUMS: Final = "SHA256SUMS"
# Major version of the interface: within one, tables and columns are added, never renamed or removed.
INTERFACE: Final = "1"
# Rows of a row group of the panel, which is ordered by comuna: one comuna of a month lies in one or two of them.
PANEL_GROUP: Final = 8192
_TYPES: Final = {
    pa.string(): "string", pa.float64(): "number", pa.bool_(): "boolean", pa.date32(): "date",
    parquet.UTC_US: "datetime",
}  # fmt: skip
_PATTERNS: Final = {"codigo_comuna": r"(\d{5})?", "codigo_region": r"(\d{2})?"}
# Its large tables are views of the Parquet beside it: kept twice they would make a release three times as large. They
# are looked for in the folder of the file that DuckDB was opened with, or where the variable `entrega` says.
DATABASE: Final = "sec-outages.duckdb"
# The oldest DuckDB that reads the file.
STORAGE: Final = "v1.2.0"
_BLOCK: Final = 16_384
# DuckDB tells the path of its file by that of its spill alone; a table function takes no subquery.
_HERE: Final = "coalesce(getvariable('entrega'), nullif(parse_dirpath(current_setting('temp_directory')), ''), '.')"
CHANGES: Final = "CHANGES"
# Figures that moved and are spelled out; of the others it is told how many.
MOST_LISTED: Final = 60
_TEXTS: Final = ("README.md", "LEAME.md", "DICTIONARY.md", "DICCIONARIO.md", "CITATION.cff", ".zenodo.json", CHANGES)


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """`YYYY.M`, or `YYYY.M.N` for the Nth that mends it."""

    year: int
    month: int
    number: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a version; raises InputError where it is none."""
        found = re.fullmatch(r"(20\d\d)\.(1[0-2]|[1-9])(?:\.([1-9]\d{0,3}))?", text)
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
    for month, digest in sorted(month_files.digests(collected.loads, collected.names).items()):
        body = gold.read(month_files.month_key(month, "panel"))
        about = parquet.as_text(pq.read_schema(BytesIO(body)).metadata)
        if about.get("digest") != digest:
            raise StorageError(
                f"The panel of {month} was written again meanwhile.", next_step="Run the same command again."
            )
        rows = pl.read_parquet(body, hive_partitioning=False).sort("codigo_comuna", "hora")
        made = datetime.fromisoformat(about["made"])
        extra = {"origin": about["origin"]}
        key = month_files.month_key(month, "panel")
        parquet.write(rows, out, key, parquet.PANEL, f"{title}, {month}", made, extra, PANEL_GROUP)
        count += rows.height
    return count


def read_parquet(places: Iterable[str]) -> str:
    """A table of a release from its Parquet, whose places are expressions in SQL."""
    return f"read_parquet([{', '.join(places)}], hive_partitioning = false)"


def quoted(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("'", "''") + "'"


def connect(path: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A database, in memory or new at a path, that asks the network for nothing and keeps within bounds."""
    spill = str(Path(tempfile.gettempdir()) / f"sec-duckdb-{os.getpid()}")
    settings = {
        "memory_limit": "400MB", "threads": 2, "temp_directory": spill, "autoinstall_known_extensions": False,
        "storage_compatibility_version": STORAGE, "default_block_size": _BLOCK,
    }  # fmt: skip
    return duckdb.connect(str(path or ":memory:"), config=settings)  # type: ignore[arg-type]


def write_database(folder: Path) -> None:
    """Make the file from the Parquet beside it."""
    with connect(folder / DATABASE) as db:
        db.execute(f"set variable entrega = {quoted(str(folder))}")
        for dataset in DATASETS:
            name = dataset.name
            parts = sorted(folder.glob("panel/*/*/*.parquet")) if name == "panel" else [folder / dataset.file]
            if dataset.large:
                places = (f"{_HERE} || {quoted(f'/{path.relative_to(folder)}')}" for path in parts)
                db.execute(f"create view {name} as from {read_parquet(places)}")
            else:
                db.execute(f"create table {name} as from {read_parquet(quoted(str(path)) for path in parts)}")
                for column in dataset.columns:
                    if not column.nullable:
                        db.execute(f'alter table {name} alter column "{column.name}" set not null')
            kind = "view" if dataset.large else "table"
            about = f"{dataset.titulo}. {dataset.title}. Key: {', '.join(dataset.key)}."
            db.execute(f"comment on {kind} {name} is {quoted(about)}")
            for column in dataset.columns:
                more = "; ".join(f"{key}: {text}" for key, text in column.about.items() if key != "description")
                text = f"{column.description} [{more}]" if more else column.description
                db.execute(f'comment on column {name}."{column.name}" is {quoted(text)}')
        db.execute(files("sec_core.gold.release").joinpath("views.sql").read_text(encoding="utf-8"))


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("sec_core.gold.release"),
        autoescape=False,  # noqa: S701 - Markdown and YAML of our own words
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["n"] = lambda value: "-" if value is None else f"{value:,.6g}" if value % 1 else f"{value:,.0f}"
    environment.globals |= {
        "datasets": DATASETS, "views": views(), "interface": INTERFACE, "database": DATABASE, "storage": STORAGE,
        "method": METHOD, "source": SOURCE, "source_url": SOURCE_URL, "cita": CITA, "citation": CITATION,
        "licencia": LICENCIA, "licence": LICENCE, "sums": SUMS, "most": MOST_LISTED, "limit": MOVED,
    }  # fmt: skip
    return environment


def render(name: str, **values: object) -> str:
    """A text from the template of its name."""
    return _templates().get_template(f"{name}.j2").render(**values)


def views() -> list[tuple[str, str]]:
    """Name and comment of each view of the DuckDB file."""
    text = files("sec_core.gold.release").joinpath("views.sql").read_text(encoding="utf-8")
    return re.findall(r"^comment on view (\w+) is '(.*)';$", text, re.MULTILINE)


def dictionary(name: str = "DICTIONARY.md") -> str:
    """Every published table and column, as Markdown; `DICCIONARIO.md` in Spanish."""
    fields = {each.name: list(parquet.schema(each.columns, each.title)) for each in DATASETS}
    return render(name, fields=fields, kind=package_type, es=spanish)


@cache
def _spanish() -> dict[tuple[str, str], str]:
    text = files("sec_core.gold.release").joinpath("columnas.csv").read_text(encoding="utf-8")
    return {(row["tabla"], row["columna"]): row["descripcion"] for row in csv.DictReader(text.splitlines())}


def spanish(table: str, column: str) -> str:
    """What a column is, in Spanish: the table's own words, else those that hold in all tables.

    Raises:
        KeyError: Nobody wrote it yet.
    """
    known = _spanish()
    return known.get((table, column)) or known["", column]


def coverage_by_year(calendar: pl.DataFrame) -> list[dict[str, Any]]:
    """anho, horas, cargadas, detalladas, agregadas, sospechosas of each year, Chile wall clock."""
    loaded = pl.col("cargada")
    return (
        calendar.group_by(anho=pl.col("mes").dt.year())
        .agg(
            horas=pl.len(),
            cargadas=loaded.sum(),
            detalladas=(loaded & (pl.col("forma") == "detailed")).sum(),
            agregadas=(loaded & (pl.col("forma") == "aggregated")).sum(),
            sospechosas=pl.col("sospechosa").sum(),
        )
        .sort("anho")
        .to_dicts()
    )


def write_texts(
    folder: Path, about: dict[str, Any], rows: dict[str, int], by_year: list[dict[str, Any]], changes: Changes | None
) -> None:
    """Write all texts of a release; see `write.make_release`."""
    told = changes.line() if changes else "Primera entrega."
    values = {"about": about, "rows": rows, "years": by_year, "changes": changes, "told": told}
    for name in _TEXTS:
        text = dictionary(name) if name.startswith("DIC") else render(name.removeprefix("."), **values)
        (folder / name).write_text(text, encoding="utf-8")


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
