"""What a benchmark gives out: a table on the terminal and a JSON file beside it."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson
from rich.console import Console
from rich.table import Table

FOLDER: Final = Path("bench-results")


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a benchmark.

    Attributes:
        name: Stable name, the key in the JSON file.
        label: The same for people.
        value: The median of the runs.
        unit: Unit of `value`; empty for a ratio.
        target: What it should be, in words; empty without a target.
        met: Whether it is; None without a target.
        runs: The value of each run.
    """

    name: str
    label: str
    value: float
    unit: str = ""
    target: str = ""
    met: bool | None = None
    runs: tuple[float, ...] = ()


def show(title: str, figures: Sequence[Figure]) -> list[Figure]:
    """Print figures as a table.

    Args:
        title: Headline of the table.
        figures: In the order of showing.

    Returns:
        The figures.
    """
    table = Table(title=title, title_justify="left")
    for column in ("figure", "median", "target", "runs"):
        table.add_column(column, justify="left" if column == "figure" else "right", overflow="fold")
    for figure in figures:
        mark = "" if figure.met is None else ("[green]met[/]" if figure.met else "[red]missed[/]")
        table.add_row(
            figure.label,
            f"{_digits(figure.value)} {figure.unit}".strip(),
            f"{figure.target} {mark}".strip(),
            " ".join(_digits(value) for value in figure.runs),
        )
    Console().print(table)
    return list(figures)


def write(results: Mapping[str, Sequence[Figure]], *, folder: Path = FOLDER) -> Path:
    """Write figures to `<folder>/bench.json`; parts that were not measured now stay as they were.

    Args:
        results: Figures of each part.
        folder: Where the file goes; made if needed.

    Returns:
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "bench.json"
    parts = orjson.loads(path.read_bytes()) if path.exists() else {}
    for name, figures in results.items():
        parts[name] = {
            "at": datetime.now(UTC),
            "machine": {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count()},
            "python": platform.python_version(),
            "figures": {figure.name: figure for figure in figures},
        }
    path.write_bytes(orjson.dumps(parts, option=orjson.OPT_INDENT_2))
    return path


def _digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
