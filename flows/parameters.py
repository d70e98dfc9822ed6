"""Parameters of flows as the Prefect form shows and checks them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import prefect.runtime
from pydantic import Field

from sec_core.clock import SystemClock
from sec_core.hours import Month, past_or_present

if TYPE_CHECKING:
    from sec_core.clock import Clock

MONTH_PATTERN = r"^20[0-9]{2}-(0[1-9]|1[0-2])$"

MonthText = Annotated[str, Field(pattern=MONTH_PATTERN, examples=["2024-08"], title="Month (YYYY-MM)")]

WaitForSource = Annotated[bool, Field(title="Wait for the source")]


class Part(StrEnum):
    """A part of the work on a month, as the form lists it."""

    CAPTURE = "missing hours"
    LOAD = "load"
    GOLD = "gold"
    PUBLISH = "publish"


ALL_PARTS = list(Part)


class Order(StrEnum):
    """In which order months are worked through."""

    NEWEST_FIRST = "newest first"
    OLDEST_FIRST = "oldest first"


def month_or_last(month: str | None, clock: Clock) -> Month:
    """The month asked for, else the one before the present month in Chile.

    Raises:
        InputError: The source can have nothing of that month.
    """
    now = clock.now()
    return past_or_present(Month.parse(month), now) if month else Month.of(now).shift(-1)


def month_run_name() -> str:
    """Name of a run: its flow and the month that it is about."""
    chosen = month_or_last(prefect.runtime.flow_run.parameters.get("month"), SystemClock())
    return f"{prefect.runtime.flow_run.flow_name} {chosen}"
