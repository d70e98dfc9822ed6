"""One hour that always fails no longer opens the circuit: the request that failed is noted."""

from sec_core.db.migrations.resources import run_sql_files

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Note which request had all failures in a row."""
    run_sql_files("0003")
