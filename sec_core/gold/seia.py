"""The SEIA site's exports: from their rows electricity projects by region, which replace `proyectos_seia`.

What is left out is listed with its reason.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path

import polars as pl
from loguru import logger

from sec_core.db.database import Database
from sec_core.errors import InputError
from sec_core.gold.kept import write_rows
from sec_core.gold.sheets import BadRow, Sheet, decimal_mark, number, read_sheet
from sec_core.reference.tables import default_names, fold, regiones
from sec_core.text import counted

# Our name of a column to its headings, the first one that is found counts.
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

# Letter of article 3 of the SEIA's regulation to what it is: b1 lines, b2 substations, c power plants.
CATEGORIES = {"b1": "transmission", "b2": "transmission", "c": "generation"}

_LARGEST_MMU = 1_000_000
# The SEIA began in the nineties.
_YEARS = range(1990, 2101)

_SEPARATOR = re.compile(r"\s*(?:[,;/|()\n]+|\s+(?:y|e|-|\u2013)\s+)\s*", re.IGNORECASE)
_LEAD = re.compile(r"^\s*(?:interregional|regiones)\b[\s:(\u2013-]*(?:del?\b)?\s*", re.IGNORECASE)
_DATES = (
    re.compile(r"(?P<d>[0-9]{1,2})[/-](?P<m>[0-9]{1,2})[/-](?P<y>[0-9]{4})"),
    re.compile(r"(?P<y>[0-9]{4})-(?P<m>[0-9]{1,2})-(?P<d>[0-9]{1,2})"),
)


@dataclass(frozen=True, slots=True)
class Project:
    """A project in one of its regions: a row of `proyectos_seia`, see the comments there."""

    id_proyecto: str
    codigo_region: str
    nombre_region: str
    nombre: str
    tipo_proyecto: str
    categoria: str
    titular: str | None
    inversion_mmu: float | None
    inversion_total_mmu: float | None
    n_regiones: int
    fecha_presentacion: date | None
    fecha_calificacion: date | None
    estado: str | None
    sector: str | None


@dataclass(frozen=True, slots=True)
class SeiaReport:
    """What an export held: electricity projects, how many span regions or lack an amount, and rows left out."""

    projects: int
    spanning: int
    without_investment: int
    rejected: tuple[BadRow, ...]


def load_seia(database: Database, path: Path) -> SeiaReport:
    """Replace `proyectos_seia` by what an export holds, in one transaction.

    Raises:
        InputError: The file is no export, or holds no electricity project at all; the table stays as it was.
    """
    sheet = read_export(path)
    found, rejected = sort_rows(sheet)
    if not found:
        raise InputError(
            f"{path.name} holds no electricity project.",
            next_step=rejected[0].reason if rejected else "Check that it is the right file.",
        )
    rows = pl.DataFrame(found).cast({"n_regiones": pl.Int16})
    write_rows(rows, database, "proyectos_seia", ("id_proyecto", "codigo_region"))
    projects = rows.unique("id_proyecto")
    spanning = projects.filter(pl.col("n_regiones") > 1).height
    if sheet.missing:
        logger.bind(stage="seia", code="missing_column").warning(
            "{} has no column {}: what it would say is unknown.", path.name, ", ".join(sheet.missing)
        )
    logger.bind(stage="seia").info(
        "{} holds {}, {} of them in several regions; {} left out.",
        path.name,
        counted(projects.height, "electricity project"),
        spanning,
        counted(len(rejected), "row"),
    )
    return SeiaReport(projects.height, spanning, projects["inversion_total_mmu"].null_count(), tuple(rejected))


def read_export(path: Path) -> Sheet:
    """Read an export of the SEIA site: an Excel workbook, or the older `;` CSV.

    Raises:
        InputError: The file can't be read, or lacks a column that is needed.
    """
    return read_sheet(path, HEADINGS, ("nombre", "region", "tipo"), "export of the SEIA")


def sort_rows(table: Sheet) -> tuple[list[Project], list[BadRow]]:
    """Tell projects, once for each of their regions, from rows that are none."""
    mark = decimal_mark([row["inversion"] for row in table.rows], table.decimal)
    projects: dict[str, list[Project]] = {}
    rejected: list[BadRow] = []
    for at, row in table.numbered():
        found = _project(row, decimal=mark)
        if not isinstance(found, str) and found[0].id_proyecto in projects:
            found = "It is listed before."
        if isinstance(found, str):
            rejected.append(BadRow(at, found, row["nombre"]))
        else:
            projects[found[0].id_proyecto] = found
    return list(chain.from_iterable(projects.values())), rejected


def type_code(text: str) -> str:
    """The regulation's letter in a type: `b1` in `b1`, `b.1`, `B1)` and `DS95/DS40-b1`; lower case."""
    last = re.split(r"[-/\s]+", text.strip())[-1]
    return re.sub(r"[^a-z0-9]", "", last.lower())


def region_codes(text: str) -> tuple[list[str], str]:
    """All regions that a text names, in words or numbers.

    Args:
        text: For example `Décima`, `RM`, `Región de Los Ríos y Región de Los Lagos`, `Arica y Parinacota, Tarapacá`.

    Returns:
        Codes without repetition in their order, and the first part that names no region (empty if there is none).
    """
    rest = _LEAD.sub("", text).strip()
    cuts = [(0, 0), *((cut.start(), cut.end()) for cut in _SEPARATOR.finditer(rest)), (len(rest), len(rest))]
    codes: list[str] = []
    at = 0
    while at < len(cuts) - 1:
        # The longest run of parts that is one name: "Arica y Parinacota" holds a separator.
        for end in range(len(cuts) - 1, at, -1):
            part = rest[cuts[at][1] : cuts[end][0]]
            code = default_names().codigo_region(part)
            if code is not None:
                codes.append(code)
                break
        else:
            end = at + 1
            part = rest[cuts[at][1] : cuts[end][0]].strip()
            if part:
                return [], part
        at = end
    return list(dict.fromkeys(codes)), ""


def amount(text: str, *, decimal: str) -> float | None:
    """An investment in millions of dollars, or None where there is none or it can't be one; see `sheets.number`."""
    value = number(text, decimal=decimal)
    return value if value is not None and 0 <= value <= _LARGEST_MMU else None


def day(text: str) -> date | None:
    """A date written `09/03/2021`, `9-3-2021` or `2021-03-09 00:00:00`; None for none, and for odd years."""
    for form in _DATES:
        found = form.match(text.strip())
        if found:
            try:
                read = date(int(found["y"]), int(found["m"]), int(found["d"]))
            except ValueError:
                return None
            return read if read.year in _YEARS else None
    return None


def _project(row: dict[str, str], *, decimal: str) -> list[Project] | str:
    """The project of a row, once for each region, or the reason why it is none."""
    category = CATEGORIES.get(type_code(row["tipo"]))
    codes, strange = region_codes(row["region"])
    if not row["nombre"]:
        return "It has no name."
    if row["sector"] and "ENERG" not in fold(row["sector"]):
        return f"Its sector is {row['sector']}, not Energy."
    if category is None:
        return f"Its type {row['tipo'] or '(blank)'} is neither transmission (b1), substation (b2) nor generation (c)."
    if strange:
        return f"Its region {strange!r} is not known."
    if not codes:
        return f"It names no region{': it spans several that the file does not tell' if row['region'] else ''}."
    total, submitted = amount(row["inversion"], decimal=decimal), day(row["presentacion"])
    identity = "|".join((fold(row["nombre"]), fold(row["titular"]), submitted.isoformat() if submitted else ""))
    short = {region.codigo: region.nombre for region in regiones()}
    return [
        Project(
            id_proyecto=row["expediente"] or hashlib.md5(identity.encode(), usedforsecurity=False).hexdigest(),
            codigo_region=code,
            nombre_region=short[code],
            nombre=row["nombre"],
            tipo_proyecto=row["tipo"],
            categoria=category,
            titular=row["titular"] or None,
            inversion_mmu=None if total is None else total / len(codes),
            inversion_total_mmu=total,
            n_regiones=len(codes),
            fecha_presentacion=submitted,
            fecha_calificacion=day(row["calificacion"]),
            estado=row["estado"] or None,
            sector=row["sector"] or None,
        )
        for code in codes
    ]
