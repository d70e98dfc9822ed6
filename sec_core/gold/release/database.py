"""`sec-outages.duckdb`: the tables of a release in one file, described, with views for common questions."""

from __future__ import annotations

import os
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Final

import duckdb

from sec_core.gold.datasets import DATASETS

DATABASE: Final = "sec-outages.duckdb"
STORAGE: Final = "v1.2.0"
"""The oldest DuckDB that reads the file."""
MEMORY: Final = "400MB"


def source(folder: Path, table: str) -> str:
    """The Parquet of a table of a release, as DuckDB reads it."""
    path = folder / ("panel/*/*/*" if table == "panel" else table)
    return f"read_parquet({quoted(f'{path}.parquet')}, hive_partitioning = false)"


def quoted(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("'", "''") + "'"


def connect() -> duckdb.DuckDBPyConnection:
    """A database in memory that asks the network for nothing and keeps within bounds."""
    spill = str(Path(tempfile.gettempdir()) / f"sec-duckdb-{os.getpid()}")
    settings = {"memory_limit": MEMORY, "threads": 2, "temp_directory": spill, "autoinstall_known_extensions": False}
    return duckdb.connect(config=settings)  # type: ignore[arg-type]


def write_database(folder: Path) -> None:
    """Make the file from the Parquet beside it; the panel is in order of comuna and hour, as its files are."""
    with connect() as db:
        db.execute(f"attach {quoted(str(folder / DATABASE))} as entrega (storage_version {quoted(STORAGE)})")
        db.execute("use entrega")
        for dataset in DATASETS:
            if dataset.name == "panel" and not any(folder.glob("panel/*/*/*.parquet")):
                fields = "hora timestamptz, codigo_comuna varchar, clientes_afectados bigint, forma varchar"
                db.execute(f"create table panel ({fields})")
            else:
                read = source(folder, dataset.name)
                types = db.execute(f"describe select * from {read}").fetchall()
                columns = ", ".join(
                    f'"{c.name}" {row[1]}{"" if c.nullable else " not null"}'
                    for c, row in zip(dataset.columns, types, strict=True)
                )
                order = " order by codigo_comuna, hora" if dataset.name == "panel" else ""
                db.execute(f"create table {dataset.name} ({columns})")
                db.execute(f"insert into {dataset.name} select * from {read}{order}")
            key = ", ".join(dataset.key)
            db.execute(
                f"comment on table {dataset.name} is {quoted(f'{dataset.titulo}. {dataset.title}. Key: {key}.')}"
            )
            for column in dataset.columns:
                parts = [f"{name}: {text}" for name, text in column.about.items() if name != "description"]
                text = f"{column.description} [{'; '.join(parts)}]" if parts else column.description
                db.execute(f'comment on column {dataset.name}."{column.name}" is {quoted(text)}')
        db.execute(files("sec_core.gold.release").joinpath("views.sql").read_text(encoding="utf-8"))
        db.execute("use memory")
        db.execute("detach entrega")
