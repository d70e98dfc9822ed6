"""Customers by comuna: counts of billing files, and the estimate made from them."""

from sec_core.db.migrations.resources import run_sql_files

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the two tables, empty."""
    run_sql_files("0006")
