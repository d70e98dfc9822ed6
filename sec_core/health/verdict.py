"""The verdict on the pipeline's health: pure rules over facts. `sec_core.health.facts` finds the facts out.

Each check is `good`, `warn` (somebody should look when there is time) or `bad` (something is wrong now, and the next
step says what to do). The verdict is that of the worst check.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sec_core.errors import CircuitOpen, DatabaseError, SecError, SourceError, StorageError
from sec_core.hours import CHILE, HOUR, Month
from sec_core.source.circuit import Circuit
from sec_core.text import counted

SCHEDULE_DAY: Final = 2
# When the monthly run begins, Chile wall clock: the 2nd at 03:00 (`prefect.yaml`).
SCHEDULE_HOUR: Final = 3

# How long after it the month before may still be incomplete: a day for the run, and half a day for a person.
SCHEDULE_GRACE: Final = timedelta(hours=36)

# Age of the newest captured hour's beginning from which a running monitor is late.
MONITOR_LATE: Final = timedelta(hours=2)

DISK_BAD: Final = 2 * 1024**3
DISK_WARN: Final = 10 * 1024**3
# The source tells its time in whole minutes.
CLOCK_OFF: Final = timedelta(minutes=3)


class Level(StrEnum):
    """How a check came out."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


# How a check came out, what was found, and what to do.
Finding = tuple[Level, str, str]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at.

    Attributes:
        name: What was looked at.
        level: How it came out.
        text: What was found, in one sentence.
        next_step: What to do; empty if nothing.
    """

    name: str
    level: Level
    text: str
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks of one look.

    Attributes:
        at: When it was looked at, UTC.
        checks: The checks, in a fixed order.
    """

    at: datetime
    checks: tuple[Check, ...]

    @property
    def level(self) -> Level:
        """That of the worst check."""
        levels = [check.level for check in self.checks]
        return max(levels, key=list(Level).index, default=Level.GOOD)

    @property
    def troubles(self) -> list[Check]:
        """Checks that are bad."""
        return [check for check in self.checks if check.level is Level.BAD]


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """How the source answered when it was asked for its time.

    Attributes:
        seconds: How long the answer took.
        clock_offset: The source's clock less ours.
    """

    seconds: float
    clock_offset: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class PlaceFacts:
    """What trying out the place of Bronze and Gold showed.

    Attributes:
        name: The folder, or the object store's address.
        remote: Whether it is an object store.
        error: What is wrong with it, if anything.
        has_links: Whether the folder's file system has hard links.
    """

    name: str
    remote: bool = False
    error: StorageError | None = None
    has_links: bool = True


@dataclass(frozen=True, slots=True)
class DataFacts:
    """What the database tells.

    Attributes:
        circuit: The shared circuit.
        newest_hour: The newest captured hour; None if nothing is captured.
        first_hour: The oldest hour that was ever asked for or imported.
        first_asked: When the source was asked for the first time.
        due_expected: Hours of the month that must be complete by now, see `due_month`.
        due_missing: Hours of it that are neither captured nor known to be empty.
        quarantined: Hours whose only answers fit no known shape.
        quarantined_lately: Those of them asked for in the last week.
        damaged: Hours whose kept body turned out to be damaged, and that were not answered since.
        unresolved: Spellings of the last 30 days that resolve to nothing, with their rows, most frequent first.
        published_at: When Gold was published last; None if never.
        loaded_at: When the newest of the loaded bodies was received; None if nothing is loaded.
        zones: How the three time zone databases differ, if they do.
    """

    circuit: Circuit
    newest_hour: datetime | None = None
    first_hour: datetime | None = None
    first_asked: datetime | None = None
    due_expected: int = 0
    due_missing: int = 0
    quarantined: int = 0
    quarantined_lately: int = 0
    damaged: tuple[datetime, ...] = ()
    unresolved: tuple[tuple[str, int], ...] = ()
    published_at: datetime | None = None
    loaded_at: datetime | None = None
    zones: SecError | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a verdict rests on.

    Attributes:
        now: The present instant, UTC.
        disk_free: Free bytes on the disk of the state folder, or of the data folder where that has less.
        disk_total: All bytes of it.
        source: What the source said, or why it did not answer; None if it could not be asked.
        data: What the database told, or why it can't be reached.
        monitored: Whether the monitor is meant to run, so that the newest hour must be young.
        services: Checks of the services on this machine, made elsewhere.
        place: What trying out the place of Bronze and Gold showed; None if it was not tried.
        to_supabase: Whether there are settings for Supabase.
        supabase: When it was published to last, None for never; or why that can't be found out.
    """

    now: datetime
    disk_free: int
    disk_total: int
    source: SourceFacts | SourceError | None
    data: DataFacts | DatabaseError
    monitored: bool = False
    services: tuple[Check, ...] = ()
    place: PlaceFacts | None = None
    to_supabase: bool = False
    supabase: datetime | SecError | None = None


def due_month(now: datetime) -> Month:
    """The newest month that must be complete by now: the one before, once its scheduled run had time enough."""
    present = Month.of(now)
    return present.shift(-1) if now >= _scheduled(present) + SCHEDULE_GRACE else present.shift(-2)


def _scheduled(month: Month) -> datetime:
    """When the monthly run begins in a month."""
    return datetime(month.first_day.year, month.first_day.month, SCHEDULE_DAY, SCHEDULE_HOUR, tzinfo=CHILE)


def judge(facts: Facts) -> Verdict:
    """The verdict on some facts."""
    looks: dict[str, Finding] = {"database": _database(facts), "disk": _disk(facts)}
    if (place := facts.place) is not None:
        looks["object store" if place.remote else "data folder"] = _place(place)
    looks["source"] = _source(facts.source)
    if isinstance(data := facts.data, DataFacts):
        looks |= {name: look(data, facts) for name, look in _DATA_CHECKS.items()}
    return Verdict(facts.now, (*(Check(name, *found) for name, found in looks.items()), *facts.services))


def _good(text: str) -> Finding:
    return Level.GOOD, text, ""


def _warn(text: str, next_step: str = "") -> Finding:
    return Level.WARN, text, next_step


def _bad(text: str, next_step: str) -> Finding:
    return Level.BAD, text, next_step


def _failed(error: SecError) -> Finding:
    return Level.BAD, error.message, error.next_step


def _database(facts: Facts) -> Finding:
    if isinstance(facts.data, DatabaseError):
        return _bad(str(facts.data), "Check SEC_DATABASE_URL, or run `sec up`.")
    return _good("PostgreSQL answers and its schema is the newest.")


def _disk(facts: Facts) -> Finding:
    free = f"{facts.disk_free / 1024**3:.1f} GB of {facts.disk_total / 1024**3:.0f} GB are free."
    if facts.disk_free >= DISK_WARN:
        return _good(free)
    step = "Run `sec retention` and `sec seal`, or make room on the disk of SEC_DATA_DIR and SEC_STATE_DIR."
    return _bad(free, step) if facts.disk_free < DISK_BAD else _warn(free, step)


def _place(place: PlaceFacts) -> Finding:
    if place.error:
        return _failed(place.error)
    text = f"{place.name if place.remote else 'It'} takes, lists, gives back and keeps what is written."
    if not place.has_links:
        text += " Its file system has no hard links, so a lock guards new names: use one machine at a time."
    return _good(text)


def _source(source: SourceFacts | SourceError | None) -> Finding:
    if source is None:
        return _warn("The source was not asked: its shared limits are in the database.")
    if isinstance(source, CircuitOpen):
        return _warn(f"The source was not asked. {source}")
    if isinstance(source, SourceError):
        step = "Check this machine's network: the SEC drops addresses that are not residential Chilean ones."
        return _bad(source.message, step)
    text = f"The source answered in {source.seconds:.1f} s."
    if abs(source.clock_offset) <= CLOCK_OFF:
        return _good(text)
    minutes = source.clock_offset.total_seconds() / 60
    return _warn(f"{text} Its clock is {minutes:+.0f} minutes off ours.", "Set this machine's clock.")


def _zones(data: DataFacts, _: Facts) -> Finding:
    if data.zones:
        return _failed(data.zones)
    return _good("Python, Polars and PostgreSQL agree about Chile's wall clock since 2017.")


def _circuit(data: DataFacts, facts: Facts) -> Finding:
    circuit = data.circuit
    failures, error = counted(circuit.failures, "failure"), (circuit.error or "").rstrip(".")
    if circuit.status == "closed":
        return _good("The circuit is closed." + (f" {failures} in a row so far: {error}." if circuit.failures else ""))
    since = f" since {circuit.opened_at.astimezone(CHILE):%Y-%m-%d %H:%M}" if circuit.opened_at else ""
    text = f"The circuit is {circuit.status.replace('_', '-')}{since} after {failures}: {error}."
    if circuit.reopens_at is None or circuit.reopens_at <= facts.now:
        return _warn(text, "The next request is the probe: run `sec doctor` again.")
    at = f"{circuit.reopens_at.astimezone(CHILE):%H:%M} in Chile"
    return _bad(text, f"A probe may leave at {at}; runs that wait then go on.")


def _schedule(data: DataFacts, facts: Facts) -> Finding:
    month = due_month(facts.now)
    step = f"Run `sec sync --month {month}`"
    if data.newest_hour is None:
        return _warn("Nothing is captured yet.", f"{step}.")
    if data.first_hour is not None and data.first_hour >= month.end:
        return _warn(f"The history begins after {month}.", f"{step}.")
    if data.first_asked is not None and data.first_asked >= _scheduled(month.shift(1)):
        return _warn(f"The run of {month} was due before this installation began.", f"{step}.")
    if data.due_missing:
        are = "is" if data.due_missing == 1 else "are"
        text = f"{month} should be complete; {data.due_missing} of its {data.due_expected} hours {are} missing."
        return _bad(text, f"{step}, or rerun-month in the UI.")
    return _good(f"{month}, the newest month that is due, is complete.")


def _newest(data: DataFacts, facts: Facts) -> Finding:
    if data.newest_hour is None:
        return _warn("There is none yet.")
    age = facts.now - data.newest_hour
    text = f"The newest captured hour is {data.newest_hour.astimezone(CHILE):%Y-%m-%d %Hh}, {_age(age)} ago."
    if facts.monitored and age > MONITOR_LATE:
        return _bad(f"{text} The monitor is late.", "See the last runs of `monitor` in the UI.")
    return _good(text)


def _quarantine(data: DataFacts, _: Facts) -> Finding:
    if not data.quarantined:
        return _good("No hour is in quarantine.")
    lately, hours = data.quarantined_lately, counted(data.quarantined, "hour has", "hours have")
    text = f"{hours} only answers of an unknown shape, {lately} of the last week."
    return (_bad if lately else _warn)(text, "The source may have changed: see docs/runbook.md, “A changed API”.")


def _bodies(data: DataFacts, _: Facts) -> Finding:
    if not data.damaged:
        return _good("No kept body is known to be damaged.")
    hours = ", ".join(f"{hour.astimezone(CHILE):%Y-%m-%d %Hh}" for hour in data.damaged[:5])
    months = sorted({str(Month.of(hour)) for hour in data.damaged})
    more = " and others" if len(data.damaged) > 5 else ""
    lost = counted(len(data.damaged), "hour has lost its body", "hours have lost their body")
    text = f"{lost} to damage (Chile time): {hours}{more}."
    step = f"Run `sec sync --month {months[0]}`" + (f" and so on for {', '.join(months[1:4])}" if months[1:] else "")
    return _bad(text, f"{step}; or restore the files from a backup and run `sec reprocess`.")


def _names(data: DataFacts, _: Facts) -> Finding:
    if not data.unresolved:
        return _good("All names of the last 30 days are known.")
    shown = ", ".join(f"{name} ({rows})" for name, rows in data.unresolved[:5])
    more = f" and {len(data.unresolved) - 5} more" if len(data.unresolved) > 5 else ""
    text = f"Unknown spellings in the last 30 days, with their rows: {shown}{more}."
    return _warn(text, "Add aliases under sec_core/reference, then `sec reprocess`.")


def _publication(data: DataFacts, facts: Facts) -> Finding:
    if isinstance(facts.supabase, SecError):
        return _failed(facts.supabase)
    if data.loaded_at is None:
        return _good("There is nothing to publish yet.")
    place, command, published_at = "on this machine alone", "sec gold", data.published_at
    if facts.to_supabase:
        place, command, published_at = "in Supabase", "sec publish", facts.supabase
    if published_at is None:
        return _warn(f"Gold was never published {place}.", f"Run `{command}`.")
    age = facts.now - published_at
    text = f"Gold was published {place} {_age(age)} ago."
    if age > timedelta(days=31) + SCHEDULE_GRACE and data.loaded_at > published_at:
        return _bad(f"{text} There is newer data.", "Run `sec gold` and `sec publish`.")
    return _good(text)


# What is looked at in the database, in the order of showing.
_DATA_CHECKS: Final[dict[str, Callable[[DataFacts, Facts], Finding]]] = {
    "time zones": _zones,
    "circuit": _circuit,
    "schedule": _schedule,
    "newest capture": _newest,
    "quarantine": _quarantine,
    "kept bodies": _bodies,
    "names": _names,
    "publication": _publication,
}


def _age(age: timedelta) -> str:
    if age >= timedelta(days=2):
        return f"{age.days} days"
    if age >= 2 * HOUR:
        return f"{age // HOUR} hours"
    return counted(max(age, timedelta(0)) // timedelta(minutes=1), "minute")
