"""A month as a calendar of hours: a line for each day, a mark for each hour of the Chile wall clock. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Final

from sec_core.bronze.ledger_rules import HourState
from sec_core.hours import CHILE, Month, hours_of_day

MARKS: Final[Mapping[HourState, str]] = {
    HourState.CAPTURED: "●",
    HourState.EMPTY: "○",
    HourState.FAILED: "✕",
    HourState.QUARANTINED: "!",
    HourState.PENDING: "·",
}
"""A mark for each state; they differ in form, so that nobody depends on colours."""

PLAIN_MARKS: Final[Mapping[HourState, str]] = {
    HourState.CAPTURED: "#",
    HourState.EMPTY: "o",
    HourState.FAILED: "x",
    HourState.QUARANTINED: "!",
    HourState.PENDING: ".",
}
"""Marks that every font of fixed width has, for browsers: one of another font would shift what follows it."""


def calendar_of(month: Month, states: Mapping[datetime, HourState]) -> list[tuple[date, list[HourState | None]]]:
    """Each day of a month with the states of its 24 wall-clock hours; None for the hour that September skips."""
    lines: list[tuple[date, list[HourState | None]]] = []
    for day in month.days():
        line: list[HourState | None] = [None] * 24
        for instant in hours_of_day(day):
            line[instant.astimezone(CHILE).hour] = states[instant]
        lines.append((day, line))
    return lines


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
