"""The catalogue of storms."""

from sec_core.db.migrations.resources import run_sql_files

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, empty: the next build of Gold fills it."""
    run_sql_files("0007")
