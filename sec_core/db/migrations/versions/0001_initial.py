"""The whole schema: dimensions, ledger, Silver, what Gold reads and writes, shared limits, views."""

from sec_core.db.migrations.resources import run_sql_files

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make all tables, functions and views, with their comments."""
    run_sql_files("0001")
