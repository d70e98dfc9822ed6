"""SQL in files beside the code that runs it, and the one statement that is made of columns' names."""

import re
from collections.abc import Iterable
from importlib.resources import files
from typing import LiteralString, cast


def read_queries(package: str, name: str) -> dict[str, LiteralString]:
    """The statements of a `.sql` file of a package, each under a line `-- name: ...`."""
    text = files(package).joinpath(name).read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return cast("dict[str, LiteralString]", dict(zip(parts[::2], parts[1::2], strict=True)))


def upsert(table: str, keys: int, columns: Iterable[str]) -> str:
    """Insert a row, or bring the one there up to date whose first `keys` columns are the same."""
    names = list(columns)
    marks, changes = ", ".join(["%s"] * len(names)), ", ".join(f"{name} = excluded.{name}" for name in names[keys:])
    key = ", ".join(names[:keys])
    return f"insert into {table} ({', '.join(names)}) values ({marks}) on conflict ({key}) do update set {changes}"
