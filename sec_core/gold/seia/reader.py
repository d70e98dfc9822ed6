"""The SEIA site's exports: which columns they have. What a cell means is decided in `projects`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sec_core.gold.sheets import read_sheet

if TYPE_CHECKING:
    from pathlib import Path

    from sec_core.gold.sheets import Sheet

HEADINGS: dict[str, tuple[str, ...]] = {
    "nombre": ("Nombre del Proyecto", "Nombre"),
    "region": ("Región", "Regiones"),
    "tipo": ("Tipo de Proyecto", "Tipología"),
    "titular": ("Titular",),
    "inversion": ("Inversión (MMU$)", "Inversión"),
    "presentacion": ("Fecha Presentación", "Fecha de Presentación", "Fecha Presentación Fecha de Ingreso"),
    "calificacion": ("Fecha Calificación", "Fecha de Calificación"),
    "estado": ("Estado del Proyecto", "Estado"),
    "sector": ("Sector Productivo",),
    "expediente": ("id", "ID Expediente"),
}
"""Our name of a column to its headings, the first one that is found counts."""


def read_export(path: Path) -> Sheet:
    """Read an export of the SEIA site: an Excel workbook, or the older `;` CSV.

    Raises:
        InputError: The file can't be read, or lacks a column that is needed.
    """
    return read_sheet(path, HEADINGS, ("nombre", "region", "tipo"), "export of the SEIA")
