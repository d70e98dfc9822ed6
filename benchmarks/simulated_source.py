"""The simulated SEC as a process of its own, so that its work is not counted with the client's.

`python -m benchmarks.simulated_source '<options as JSON>'` renders all bodies, then prints its address and serves until
it is stopped.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psutil

from sec_core.errors import SourceUnavailable
from sec_core.hours import Month
from sec_core.simulator.faults import FaultOptions
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.server import Simulator
from sec_core.source.shapes import Shape


@dataclass(frozen=True, slots=True)
class Source:
    """A running simulated SEC.

    Attributes:
        url: The API's base address.
        process: Its process.
    """

    url: str
    process: psutil.Process

    def cpu_s(self) -> float:
        """Seconds of CPU that it used until now."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def simulated_source(
    months: Sequence[Month], *, now: datetime, latency_s: float, shape: Shape = Shape.DETAILED
) -> Iterator[Source]:
    """Run it for the length of a block.

    Args:
        months: Months that will be asked for; their bodies are rendered beforehand.
        now: The source's clock stands still here.
        latency_s: Wait before every answer.
        shape: Shape of its answers.

    Yields:
        The running source.
    """
    options = {"months": [str(month) for month in months], "now": now.isoformat(), "latency_s": latency_s}
    options["shape"] = shape
    process = subprocess.Popen(  # noqa: S603  (ourselves)
        [sys.executable, "-m", "benchmarks.simulated_source", json.dumps(options)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None  # noqa: S101  (a pipe was asked for)
        url = process.stdout.readline().strip()
        if not url:
            raise SourceUnavailable("The simulated SEC did not start.", next_step="See what it printed above.")
        yield Source(url, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def main(options: dict[str, Any]) -> None:
    """Render, tell the address, serve."""
    faults = FaultOptions(latency_s=options["latency_s"])
    # Without holes, so that every hour has an answer of the usual size.
    simulator = Simulator(
        world=WorldOptions(holes=()),
        now=datetime.fromisoformat(options["now"]),
        faults=faults,
        shape=options["shape"],
        kept_bodies=100_000,
    )
    for hour in (hour for month in options["months"] for hour in Month.parse(month).hours()):
        simulator.answers.por_fecha(hour, simulator.now(), 0)
    simulator.serve(on_ready=_tell)


def _tell(url: str) -> None:
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
