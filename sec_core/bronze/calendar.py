"""A month as a calendar of hours: a line for each day, a mark for each hour of the Chile wall clock. Pure."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Final

from sec_core.bronze.ledger_rules import HourState
from sec_core.hours import CHILE, Month

_STATES: Final = (
    HourState.CAPTURED, HourState.EMPTY, HourState.FAILED, HourState.QUARANTINED, HourState.PENDING,
)  # fmt: skip
# A mark for each state; they differ in form, so that nobody depends on colours.
MARKS: Final[Mapping[HourState, str]] = dict(zip(_STATES, "●○✕!·", strict=True))

# Marks that every font of fixed width has, for browsers: one of another font would shift what follows it.
PLAIN_MARKS: Final[Mapping[HourState, str]] = dict(zip(_STATES, "#ox!.", strict=True))


def calendar_of(month: Month, states: Mapping[datetime, HourState]) -> list[tuple[date, list[HourState | None]]]:
    """Each day of a month with the states of its 24 wall-clock hours; None for the hour that September skips."""
    by_wall = {f"{hour.astimezone(CHILE):%Y-%m-%d %H}": state for hour, state in states.items()}
    return [(day, [by_wall.get(f"{day} {hour:02d}") for hour in range(24)]) for day in month.days()]


def hours_text(hours: Iterable[datetime], most_days: int = 6) -> str:
    """Hours of the Chile wall clock by day, runs of them in short: `2025-02-10 07h-09h, 12h; 2025-02-11 03h`."""
    days: dict[date, list[list[int]]] = {}
    for wall in sorted(hour.astimezone(CHILE) for hour in hours):
        stretches = days.setdefault(wall.date(), [])
        if stretches and stretches[-1][-1] == wall.hour - 1:
            stretches[-1].append(wall.hour)
        else:
            stretches.append([wall.hour])
    told = [
        f"{day} " + ", ".join("-".join(f"{hour:02d}h" for hour in sorted({each[0], each[-1]})) for each in stretches)
        for day, stretches in days.items()
    ]
    return "; ".join([*told[:most_days], *([f"and {len(told) - most_days} more days"] * (len(told) > most_days))])


def legend(marks: Mapping[HourState, str] = MARKS) -> str:
    """What each mark means, in a line."""
    return "   ".join(f"{mark} {state.value}" for state, mark in marks.items())


def calendar_text(month: Month, states: Mapping[datetime, HourState], marks: Mapping[HourState, str] = MARKS) -> str:
    """The calendar as plain text of fixed width, with a head line and a legend."""
    head = "day  " + " ".join(f"{hour:02d}" for hour in range(24))
    lines = [
        f"{day:%d}   " + " ".join(f"{marks[state] if state else ' '} " for state in line)
        for day, line in calendar_of(month, states)
    ]
    return "\n".join([head, *(line.rstrip() for line in lines), "", legend(marks)])
