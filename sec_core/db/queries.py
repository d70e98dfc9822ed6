"""SQL in files beside the code that runs it."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import LiteralString, cast


def read_queries(package: str, name: str) -> dict[str, LiteralString]:
    """The statements of a `.sql` file of a package, each under a line `-- name: ...`."""
    text = files(package).joinpath(name).read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return cast("dict[str, LiteralString]", dict(zip(parts[::2], parts[1::2], strict=True)))
