"""Runs the SQL files of a migration."""

from pathlib import Path

from alembic import op

SQL_DIR = Path(__file__).parent / "sql"


def run_sql_files(version: str) -> None:
    """Run all files of `sql/<version>` in the order of their names, inside the migration's transaction.

    Args:
        version: The folder's name, for example `0001`.
    """
    # Straight to the driver: SQLAlchemy would look for parameters in what is plain SQL.
    connection = op.get_bind().connection.driver_connection
    if connection is None:
        raise RuntimeError("A migration needs an open connection.")
    with connection.cursor() as cursor:
        for path in sorted((SQL_DIR / version).glob("*.sql")):
            cursor.execute(path.read_text(encoding="utf-8"))
