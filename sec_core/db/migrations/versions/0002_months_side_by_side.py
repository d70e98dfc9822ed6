"""Partitions are prepared month by month: loads of different months no longer wait for each other to do so."""

from sec_core.db.migrations.resources import run_sql_files

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace the functions that make partitions."""
    run_sql_files("0002")
