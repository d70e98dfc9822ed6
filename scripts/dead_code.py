"""Names the functions, classes, methods and properties that no product code uses: `python -m scripts.dead_code`.

Fields are left out: those of payloads and records are read by their names elsewhere; ruff sees to imports. Tests don't
count as use, since a test that keeps dead code alive is dead itself. `[tool.vulture]` in pyproject.toml lists what only
seems unused.
"""

import sys
import tomllib
from pathlib import Path

from vulture.core import Vulture

ROOT = Path(__file__).resolve().parents[1]
_OTHERS = {"variable", "attribute", "import"}


def dead_code() -> list[str]:
    """Where each unused name is, and what it is."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["vulture"]
    found = Vulture(ignore_names=options["ignore_names"], ignore_decorators=options["ignore_decorators"])
    found.scavenge([ROOT / path for path in options["paths"]])
    return [
        f"{item.filename.relative_to(ROOT)}:{item.first_lineno}: nothing uses {item.typ} {item.name}"
        for item in found.get_unused_code()
        if item.typ not in _OTHERS
    ]


if __name__ == "__main__":
    problems = dead_code()
    sys.stdout.write("".join(f"{problem}\n" for problem in problems))
    sys.exit(1 if problems else 0)
