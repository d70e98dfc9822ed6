"""The data dictionary: a page made from the comments in the database and of the files, so that it says nothing else.

`python -m scripts.dictionary` writes `docs/data-dictionary.md` anew, from an empty database of its own.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import Connection

from sec_core.db import embedded
from sec_core.db.database import Database
from sec_core.db.schema import migrate
from sec_core.gold.release.contents import dictionary as files

PAGE = Path(__file__).resolve().parents[1] / "docs" / "data-dictionary.md"
_HEAD = """# Data dictionary

Made by `python -m scripts.dictionary`: tables of PostgreSQL from the comments in `sec_core/db/migrations/sql`, and the
[published files](#tables-of-a-release) from `sec_core/gold/columns.csv`. Edit these, not this page.

- Instants are `timestamp with time zone` and name the beginning of an hour unless said otherwise. Days,
  months and `id_tiempo` are those of the wall clock of America/Santiago.
- Counts of customers are customers without supply, not people. A missing row is not a zero: see `capturas`.
"""
# A partition is its table again.
_RELATIONS = """
    select c.relname, c.relkind = 'v', obj_description(c.oid, 'pg_class')
    from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v') and not c.relispartition
        and c.relname <> 'alembic_version'
    order by c.relkind = 'v', c.relname collate "C"
"""
_COLUMNS = """
    select c.relname, a.attname, format_type(a.atttypid, a.atttypmod), not a.attnotnull and c.relkind <> 'v',
        coalesce(a.attnum = any (k.conkey), false), col_description(c.oid, a.attnum)
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_constraint k on k.conrelid = c.oid and k.contype = 'p'
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v') and not c.relispartition
    order by c.relname collate "C", a.attnum
"""
_FUNCTIONS = """
    select p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', obj_description(p.oid, 'pg_proc')
    from pg_proc p
    where p.pronamespace = 'public'::regnamespace
        and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
    order by 1
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table or view; `comment` is None where it has none."""

    name: str
    type: str
    nullable: bool
    in_key: bool
    comment: str | None


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view with its columns in order."""

    name: str
    is_view: bool
    comment: str | None
    columns: tuple[Column, ...]


def relations(connection: Connection) -> list[Relation]:
    """All tables (partitions apart) and then all views, by name."""
    columns: dict[str, list[Column]] = {}
    for table, *rest in connection.exec_driver_sql(_COLUMNS):
        columns.setdefault(table, []).append(Column(*rest))
    return [
        Relation(name, is_view, comment, tuple(columns[name]))
        for name, is_view, comment in connection.exec_driver_sql(_RELATIONS)
    ]


def functions(connection: Connection) -> list[tuple[str, str | None]]:
    """Signature and comment of each function of the schema."""
    return [(signature, comment) for signature, comment in connection.exec_driver_sql(_FUNCTIONS)]


def missing_comments(database: Database) -> list[str]:
    """Tables, columns, views and functions that nobody explained."""
    with database.engine.connect() as connection:
        found = relations(connection)
        unexplained = [signature for signature, comment in functions(connection) if not comment]
    unexplained += [relation.name for relation in found if not relation.comment]
    return unexplained + [
        f"{relation.name}.{column.name}" for relation in found for column in relation.columns if not column.comment
    ]


def render(database: Database) -> str:
    """The page, as Markdown.

    Args:
        database: A migrated database; what it holds does not matter.
    """
    with database.engine.connect() as connection:
        parts = [_HEAD, *(_section(relation) for relation in relations(connection)), "## Functions\n"]
        parts += [f"- `{signature}`: {comment}" for signature, comment in functions(connection)]
    return "\n".join(parts) + "\n\n" + files()


def _section(relation: Relation) -> str:
    kind = "view" if relation.is_view else "table"
    lines = [
        f"## {relation.name}\n",
        f"({kind}) {relation.comment}\n",
        "| column | type | | meaning |",
        "|---|---|---|---|",
    ]
    for column in relation.columns:
        notes = "key" if column.in_key else ("may be null" if column.nullable else "")
        meaning = (column.comment or "").replace("|", "\\|")
        lines.append(f"| `{column.name}` | {column.type} | {notes} | {meaning} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page from an empty database in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="sec-dictionary-") as folder:
        postgres_dir = Path(folder) / "postgres"
        database = Database(embedded.ensure_running(postgres_dir))
        try:
            migrate(database.engine)
            PAGE.write_text(render(database), encoding="utf-8")
        finally:
            database.close()
            embedded.stop(postgres_dir)
    return 0


if __name__ == "__main__":
    sys.exit(main())
