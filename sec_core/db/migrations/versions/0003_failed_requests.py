"""The circuit counts different requests: one hour that always fails opens it for nobody."""

from __future__ import annotations

from sec_core.db.migrations.resources import run_sql_files

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Note which requests failed in a row."""
    run_sql_files("0003")
