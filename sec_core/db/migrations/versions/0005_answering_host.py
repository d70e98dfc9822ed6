"""Each capture keeps who answered; of those that are there it is not known."""

from sec_core.db.migrations.resources import run_sql_files

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, null for what was captured before."""
    run_sql_files("0005")
