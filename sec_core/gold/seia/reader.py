"""Reads the SEIA site's exports, an Excel workbook or the older `;` CSV, into rows of text with one set of names.

Columns are found by their headings, whatever their order, case, accents or spaces. The heading row is the first one
that names a project and a region. What a cell means is decided in `projects`.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sec_core.errors import InputError
from sec_core.reference.names import fold

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HEADINGS: dict[str, tuple[str, ...]] = {
    "nombre": ("Nombre del Proyecto", "Nombre"),
    "region": ("Región", "Regiones"),
    "tipo": ("Tipo de Proyecto", "Tipología"),
    "titular": ("Titular",),
    "inversion": ("Inversión (MMU$)", "Inversión"),
    "presentacion": ("Fecha Presentación", "Fecha de Presentación", "Fecha Presentación Fecha de Ingreso (*)"),
    "calificacion": ("Fecha Calificación", "Fecha de Calificación"),
    "estado": ("Estado del Proyecto", "Estado"),
    "sector": ("Sector Productivo",),
    "expediente": ("id", "ID Expediente"),
}
"""Our name of a column to its headings, the first one that is found counts."""

REQUIRED = ("nombre", "region", "tipo")
_HEADING_ROWS = 20


@dataclass(frozen=True, slots=True)
class RawTable:
    """An export as text.

    Attributes:
        rows: Cells by our name of the column; a column that the file lacks is not there.
        first_row: Number of the first row of data in the file, counted from 1.
    """

    rows: list[dict[str, str]]
    first_row: int


def read_export(path: Path) -> RawTable:
    """Read an export.

    Args:
        path: `.xlsx`, `.xls`, `.xlsb` or `.ods`; anything else is read as `;` CSV in UTF-8 or Latin-1.

    Raises:
        InputError: The file can't be read, or lacks a column that is needed.
    """
    workbook = path.suffix.lower() in {".xlsx", ".xls", ".xlsb", ".xlsm", ".ods"}
    cells = _read_workbook(path) if workbook else _read_csv(path)
    for at, row in enumerate(cells[:_HEADING_ROWS]):
        columns = _columns(row)
        if "nombre" in columns and "region" in columns:
            missing = [HEADINGS[name][0] for name in REQUIRED if name not in columns]
            if missing:
                raise InputError(f"{path.name} has no column {', '.join(missing)}.")
            found = [
                {name: line[i].strip() for name, i in columns.items() if i < len(line)} for line in cells[at + 1 :]
            ]
            return RawTable(rows=found, first_row=at + 2)
    raise InputError(
        f"{path.name} is no export of the SEIA.",
        next_step="It needs at least the columns Nombre del Proyecto, Región and Tipo de Proyecto.",
    )


def _columns(row: Sequence[str]) -> dict[str, int]:
    headings = {fold(cell): at for at, cell in reversed(list(enumerate(row)))}
    found = {}
    for name, spellings in HEADINGS.items():
        place = next((headings[fold(spelling)] for spelling in spellings if fold(spelling) in headings), None)
        if place is not None:
            found[name] = place
    return found


def _read_csv(path: Path) -> list[list[str]]:
    try:
        body = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path.name} can't be read: {error.strerror or error}.") from error
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = body.decode("latin-1")
    csv.field_size_limit(2**24)
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=";") if row]
    except csv.Error as error:
        raise InputError(f"{path.name} is no CSV file: {error}.") from error


def _read_workbook(path: Path) -> list[list[str]]:
    import fastexcel  # noqa: PLC0415 - few commands read a workbook

    try:
        sheet = fastexcel.read_excel(path).load_sheet(0, header_row=None, dtypes="string")
    except (fastexcel.FastExcelError, OSError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{path.name} is no workbook that can be read: {first}.") from error
    return [[cell or "" for cell in row] for row in sheet.to_polars().rows()]
