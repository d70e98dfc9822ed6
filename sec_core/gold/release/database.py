"""`sec-outages.duckdb`: what a release holds as tables, described, with views for common questions.

The large tables are views of the Parquet beside it: kept twice they would make a release three times as large. They are
looked for in the folder of the file that DuckDB was opened with, or where the variable `entrega` says.
"""

import os
import tempfile
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Final

import duckdb

from sec_core.gold.datasets import DATASETS

DATABASE: Final = "sec-outages.duckdb"
# The oldest DuckDB that reads the file.
STORAGE: Final = "v1.2.0"
_BLOCK: Final = 16_384
# DuckDB tells the path of its file by that of its spill alone; a table function takes no subquery.
_HERE: Final = "coalesce(getvariable('entrega'), nullif(parse_dirpath(current_setting('temp_directory')), ''), '.')"


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
