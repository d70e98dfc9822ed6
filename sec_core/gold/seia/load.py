"""Takes an export of the SEIA into `proyectos_seia`; the newest file replaces what was there."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
from loguru import logger

from sec_core.db.database import Database
from sec_core.errors import InputError
from sec_core.gold.kept import write_rows
from sec_core.gold.seia.projects import Rejected, read_export, sort_rows


@dataclass(frozen=True, slots=True)
class SeiaReport:
    """What an export held: electricity projects, how many span regions or lack an amount, and rows left out."""

    projects: int
    spanning: int
    without_investment: int
    rejected: tuple[Rejected, ...]


def load_seia(database: Database, path: Path) -> SeiaReport:
    """Replace `proyectos_seia` by what an export holds, in one transaction.

    Raises:
        InputError: The file is no export, or holds no electricity project at all; the table stays as it was.
    """
    sheet = read_export(path)
    found = sort_rows(sheet)
    if not found.projects:
        raise InputError(
            f"{path.name} holds no electricity project.",
            next_step=found.rejected[0].reason if found.rejected else "Check that it is the right file.",
        )
    rows = pl.DataFrame(found.projects).cast({"n_regiones": pl.Int16})
    write_rows(rows, database, "proyectos_seia", ("id_proyecto", "codigo_region"))
    projects = rows.unique("id_proyecto")
    report = SeiaReport(
        projects=projects.height,
        spanning=projects.filter(pl.col("n_regiones") > 1).height,
        without_investment=projects["inversion_total_mmu"].null_count(),
        rejected=tuple(found.rejected),
    )
    if sheet.missing:
        logger.bind(stage="seia", code="missing_column").warning(
            "{} has no column {}: what it would say is unknown.", path.name, ", ".join(sheet.missing)
        )
    logger.bind(stage="seia").info(
        "{} holds {} electricity projects, {} of them in several regions; {} rows were left out.",
        path.name,
        report.projects,
        report.spanning,
        len(report.rejected),
    )
    return report
