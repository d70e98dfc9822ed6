"""`eda_projects_dist`: electricity projects of the SEIA by region."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sec_core.gold.model import Count, PayloadRow

if TYPE_CHECKING:
    import polars as pl


class ProjectDistributionRow(PayloadRow):
    """One region."""

    nombre_region: str
    """Region."""
    count: Count
    """Projects in it; one that spans regions counts in each."""


def eda_projects_dist(projects: pl.DataFrame) -> list[ProjectDistributionRow]:
    """All regions that have projects, descending by count, then by name.

    Args:
        projects: `proyectos_seia`: nombre_region.
    """
    table = projects.group_by("nombre_region").len("count").sort("count", "nombre_region", descending=[True, False])
    return [ProjectDistributionRow.model_validate(row) for row in table.to_dicts()]
