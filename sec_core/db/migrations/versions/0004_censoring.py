"""Events say which of their ends gaps may hide, and how many hours without data lie inside."""

from sec_core.db.migrations.resources import run_sql_files

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, and fill them for the events that are there."""
    run_sql_files("0004")
