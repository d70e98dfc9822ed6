"""What a simulated SEC can be asked to be: the options of `sec simulate`, the demo, tests and benchmarks."""

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, field_validator

from sec_core.hours import Month, from_wall, is_source_hour
from sec_core.simulator.faults import FaultOptions, Strict
from sec_core.source.shapes import Shape

# What the source is known not to have: first and last hour, Chile wall clock, both included.
KNOWN_HOLES = (("2018-10-01T00", "2019-07-31T23"), ("2025-01-03T03", "2025-01-03T07"))

METROPOLITANA_STORM = {"13": 0.58, "05": 0.10, "06": 0.08, "07": 0.10, "08": 0.06, "09": 0.05, "14": 0.02, "10": 0.01}


Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class Outage:
    """An outage written by hand, for tests that need to know everything."""

    comuna: str  # official code (CUT), "" for a row with blank region and comuna
    company: str  # canonical name, "" for a blank one
    start: datetime  # first hour that lists it, UTC
    course: tuple[int | None, ...]  # customers in each hour from then on; None where an hour does not list it
    started_on: date | None = None  # start date as published; None means the Chile date of `start`


class Storm(Strict):
    """A storm: many outages at once, on top of the ordinary ones."""

    start: AwareDatetime  # hour at which the first outages begin
    customers: int = Field(default=1_250_000, ge=1)  # at the same time at the peak, in the whole country
    rows: int = Field(default=8_600, ge=1)  # detailed ones at the peak
    hours_to_peak: int = Field(default=9, ge=1, le=48)
    regions: dict[str, float] = Field(default_factory=lambda: dict(METROPOLITANA_STORM))  # shares of the customers

    @classmethod
    def in_month(cls, month: Month) -> Self:
        """The usual storm in a month: more than a million customers, the Metropolitana hit hardest."""
        start = from_wall(month.first_day, 18)
        assert start is not None  # noqa: S101 - the clocks change at midnight, never at 18h
        return cls(start=start)


class Dirt(Strict):
    """Shares of detailed rows that are wrong in themselves, as imputation meets them."""

    count: Share = 0  # CLIENTES_AFECTADOS null, empty, not a number or negative
    place: Share = 0  # a comuna that nobody knows (in both shapes)
    company: Share = 0  # a company that nobody knows
    date: Share = 0  # a start date that is no date or follows the hour


class WorldOptions(Strict):
    """A national world of outages; the same options give the same world, byte for byte.

    From one stale row a year on there is also an outage that never ends, so that no hour lacks rows.
    """

    seed: int = 1
    rows_per_hour: float = Field(default=480, ge=0, le=20_000)  # detailed, in the mean of ordinary hours
    feeders: int = Field(default=1, ge=1, le=20)  # mean of rows that list an outage; two to four at the real source
    regions: tuple[str, ...] | None = None  # two-digit codes of those that have outages; None means all
    max_comunas: int | None = Field(default=None, ge=1)  # the largest of each region first
    storms: tuple[Storm, ...] = ()
    stale_rows: int = Field(default=6, ge=0, le=1000)  # outages that begin each year and stay listed for very long
    blank_share: Share = 0.05  # of hours with a row whose region and comuna are blank
    holes: tuple[tuple[str, str], ...] = KNOWN_HOLES  # first and last hour without data, Chile wall clock
    first_hour: str = "2017-01-01T00"  # the source has nothing before
    dirt: Dirt = Dirt()
    outages: tuple[Outage, ...] = ()

    @field_validator("outages")
    @classmethod
    def _whole_hours(cls, value: tuple[Outage, ...]) -> tuple[Outage, ...]:
        for outage in value:
            if not is_source_hour(outage.start):
                raise ValueError(f"{outage.start} is not an hour of the source")
        return value

    @classmethod
    def storm_month(cls, month: Month, **changes: object) -> Self:
        """The demo's world: ordinary hours and one great storm on the first days of `month`."""
        return cls.model_validate({"storms": (Storm.in_month(month),), **changes})

    @classmethod
    def tiny(cls, **changes: object) -> Self:
        """A small world for tests: a dozen comunas of three regions, about 25 rows an hour, every quirk kept."""
        small: dict[str, object] = {"rows_per_hour": 25, "regions": ("13", "08", "06"), "max_comunas": 12}
        return cls.model_validate({**small, **changes})


class Revisions(Strict):
    """Hours that are corrected after they closed."""

    share: Share = 0
    after_asks: int | None = Field(default=None, ge=1)  # a correction whenever the hour was answered so many times
    most: int = Field(default=1, ge=1)  # corrections of an hour


class SimulatorOptions(Strict):
    """Everything about a simulated SEC."""

    world: WorldOptions = WorldOptions()  # left aside when `captures` is given
    captures: Path | None = None  # folder of captured files to replay
    shape: Shape = Shape.DETAILED
    switch_hour: AwareDatetime | None = None  # hours asked for from this one on are aggregated
    revisions: Revisions = Revisions()
    faults: FaultOptions = FaultOptions()
    now: AwareDatetime | None = None  # the source's clock stands still here; None lets it run with the machine's
    log_path: Path | None = None  # file that gets a line of JSON for each request
    kept_bodies: int = Field(default=1_000, ge=0)  # rendered ones in memory
