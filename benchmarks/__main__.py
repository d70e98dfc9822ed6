"""`python -m benchmarks`: everything that is measured, as tables and as one JSON file in `bench-results/`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import capture, gold, history, load, month, overhead, release, rest, site, storms
from benchmarks.measuring import apart, bench
from benchmarks.results import Figure, show, write


class Part(StrEnum):
    """What can be measured."""

    HISTORY = "history"
    CAPTURE = "capture"
    OVERHEAD = "overhead"
    MONTH = "month"
    REST = "rest"


def main(
    only: Annotated[list[Part] | None, typer.Option(help="Measure this alone; may be repeated.")] = None,
) -> None:
    """Measure the pipeline on this machine, on seeded data; nothing leaves the machine."""
    # The stack at rest takes a quarter of an hour or more: only when asked for.
    wanted = only or [part for part in Part if part != Part.REST]
    results: dict[str, list[Figure]] = {}
    if Part.CAPTURE in wanted:
        # First, before other parts delete thousands of files: see `wait_for_quiet_disk`.
        results["capture"] = show("Capture against the simulated SEC", capture.measure())
    if Part.HISTORY in wanted:
        results["history"] = show("Bronze to Gold, a history as large as the real one", _history())
    if Part.OVERHEAD in wanted:
        with bench() as here:
            results["overhead"] = show("Prefect, and the command's start", overhead.measure(here))
    if Part.MONTH in wanted:
        with bench() as here:
            results["month"] = show("A month, by shape and place", month.measure(here))
    if Part.REST in wanted:
        with bench() as here:
            results["rest"] = show("A day of the stack at rest", rest.measure(here))
    write(results)


def _history() -> list[Figure]:
    with bench() as here:
        source = here.settings("data", "history")
        size = apart(here, history.make, source).result
        loaded, settings = load.measure(here, source)
        load_s = next(figure.value for figure in loaded if figure.name == f"load_{load.LENGTHS[-1]}_s")
        built = gold.measure(here, settings, size, load_s)
        return [
            *loaded,
            *built,
            *site.measure(here, settings),
            *storms.measure(here, Path(str(settings.gold))),
            *release.measure(here, settings),
        ]


if __name__ == "__main__":
    typer.run(main)
