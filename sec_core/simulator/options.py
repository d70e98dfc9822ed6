"""What a simulated world can be asked to be: the options of `sec simulate`, the demo, tests and benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sec_core.hours import Month, from_wall, is_source_hour

# What the source is known not to have: first and last hour, Chile wall clock, both included.
KNOWN_HOLES = (("2018-10-01T00", "2019-07-31T23"), ("2025-01-03T03", "2025-01-03T07"))

METROPOLITANA_STORM = {"13": 0.58, "05": 0.10, "06": 0.08, "07": 0.10, "08": 0.06, "09": 0.05, "14": 0.02, "10": 0.01}


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Outage:
    """An outage written by hand, for tests that need to know everything.

    Attributes:
        comuna: Official code (CUT), `""` for a row with blank region and comuna.
        company: Canonical company name, `""` for a blank one.
        start: First hour that lists it, UTC instant of a whole hour.
        course: Customers affected in each hour from `start` on; None in an hour that does not list it.
        started_on: Start date as published; None means the Chile date of `start`.
    """

    comuna: str
    company: str
    start: datetime
    course: tuple[int | None, ...]
    started_on: date | None = None


class Storm(_Options):
    """A storm: many outages at once, on top of the ordinary ones.

    Attributes:
        start: Hour at which the first outages begin, aware.
        customers: Customers affected at the same time at the peak, nation-wide.
        rows: Detailed rows at the peak.
        hours_to_peak: Hours from the start to the peak.
        regions: Share of the customers by two-digit region code.
    """

    start: datetime
    customers: int = Field(default=1_250_000, ge=1)
    rows: int = Field(default=8_600, ge=1)
    hours_to_peak: int = Field(default=9, ge=1, le=48)
    regions: dict[str, float] = Field(default_factory=lambda: dict(METROPOLITANA_STORM))

    @field_validator("start")
    @classmethod
    def _aware(cls, value: datetime) -> datetime:
        if value.tzinfo is None:
            raise ValueError("a storm's start needs a time zone")
        return value

    @classmethod
    def in_month(cls, month: Month, *, day: int = 1, hour: int = 18) -> Storm:
        """The usual storm in a month: more than a million customers, the Metropolitana hit hardest."""
        start = from_wall(month.first_day.replace(day=day), hour)
        assert start is not None  # noqa: S101 - the clocks change at midnight, never at 18h
        return cls(start=start)


class Dirt(_Options):
    """Shares of detailed rows that are wrong in themselves, as imputation meets them. All 0 by default.

    Attributes:
        count: `CLIENTES_AFECTADOS` null, empty, not a number or negative.
        place: A comuna that nobody knows (in both shapes).
        company: A company that nobody knows.
        date: A start date that is no date, or lies after the hour.
    """

    count: float = Field(default=0, ge=0, le=1)
    place: float = Field(default=0, ge=0, le=1)
    company: float = Field(default=0, ge=0, le=1)
    date: float = Field(default=0, ge=0, le=1)


class WorldOptions(_Options):
    """A national world of outages; the same options give the same world, byte for byte.

    Attributes:
        seed: Which world.
        rows_per_hour: Mean of detailed rows in an ordinary hour; 0 leaves only storms, stale rows and written outages.
        feeders: Mean number of rows in which an outage is listed, one a feeder; the real source gives two to four.
        regions: Two-digit codes of the regions that have outages; None means all 16.
        max_comunas: At most so many comunas, the largest of each region first; None means all.
        storms: Storms, on top of the ordinary hours.
        stale_rows: Outages that begin each year and stay listed for months or years. From 1 on there is also one that
            never ends, so that no hour lacks rows.
        blank_share: Share of hours with a row whose region and comuna are blank.
        holes: Spans without data, first and last hour `YYYY-MM-DDTHH` in Chile wall clock, both included.
        first_hour: The source has nothing before this Chile hour.
        regional_customers: Customers by two-digit region code, in place of those of May 2019.
        regional_scale: Factor on all regional customers; a small one makes events exceed them.
        periodo_star: `PERIODO_STAR`, month and year of the regional customers.
        national_customers: What `GetClientesNacional` answers.
        dirt: Shares of rows that are wrong in themselves.
        outages: Outages written by hand.
    """

    seed: int = 1
    rows_per_hour: float = Field(default=480, ge=0, le=20_000)
    feeders: int = Field(default=1, ge=1, le=20)
    regions: tuple[str, ...] | None = None
    max_comunas: int | None = Field(default=None, ge=1)
    storms: tuple[Storm, ...] = ()
    stale_rows: int = Field(default=6, ge=0, le=1000)
    blank_share: float = Field(default=0.05, ge=0, le=1)
    holes: tuple[tuple[str, str], ...] = KNOWN_HOLES
    first_hour: str = "2017-01-01T00"
    regional_customers: dict[str, int] = Field(default_factory=dict)
    regional_scale: float = Field(default=1.0, gt=0)
    periodo_star: str = "052019"
    national_customers: int = 8_156_814
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
    def storm_month(cls, month: Month, **changes: object) -> WorldOptions:
        """The demo's world: ordinary hours and one great storm on the first days of `month`."""
        return cls.model_validate({"storms": (Storm.in_month(month),), **changes})

    @classmethod
    def tiny(cls, **changes: object) -> WorldOptions:
        """A small world for tests: a dozen comunas of three regions, about 25 rows an hour, every quirk kept."""
        small: dict[str, object] = {"rows_per_hour": 25, "regions": ("13", "08", "06"), "max_comunas": 12}
        return cls.model_validate({**small, **changes})


class Revisions(_Options):
    """Hours that are corrected after they closed.

    Attributes:
        share: Share of the hours that are corrected, 0 to 1.
        after_asks: An hour is corrected whenever it was answered so many times; None: by the clock alone.
        after_hours: An hour is corrected whenever so many hours have passed since it closed; None: by asks alone.
        most: Most corrections of an hour.
        open_hour_moves: Whether the open hour changes each quarter of an hour until it closes.
    """

    share: float = Field(default=0, ge=0, le=1)
    after_asks: int | None = Field(default=None, ge=1)
    after_hours: float | None = Field(default=None, gt=0)
    most: int = Field(default=1, ge=1)
    open_hour_moves: bool = True
