"""What a release says in words: README in both languages, dictionary, citation, changes."""

import csv
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined

from sec_core.gold import parquet
from sec_core.gold.datasets import DATASETS
from sec_core.gold.payloads.basis import CITA, CITATION, LICENCE, LICENCIA, METHOD, SOURCE, SOURCE_URL
from sec_core.gold.release.changes import MOVED, Changes
from sec_core.gold.release.contents import INTERFACE, SUMS, package_type
from sec_core.gold.release.database import DATABASE, STORAGE

CHANGES: Final = "CHANGES"
# Figures that moved and are spelled out; of the others it is told how many.
MOST_LISTED: Final = 60
_TEXTS: Final = ("README.md", "LEAME.md", "DICTIONARY.md", "DICCIONARIO.md", "CITATION.cff", ".zenodo.json", CHANGES)
_COMMENT: Final = re.compile(r"^comment on view (\w+) is '(.*)';$", re.MULTILINE)


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
    return _COMMENT.findall(text)


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
    folder: Path,
    about: dict[str, Any],
    rows: dict[str, int],
    by_year: list[dict[str, Any]],
    changes: Changes | None,
) -> None:
    """Write all texts of a release; see `write.make_release`."""
    told = changes.line() if changes else "Primera entrega."
    values = {"about": about, "rows": rows, "years": by_year, "changes": changes, "told": told}
    for name in _TEXTS:
        text = dictionary(name) if name.startswith("DIC") else render(name.removeprefix("."), **values)
        (folder / name).write_text(text, encoding="utf-8")
