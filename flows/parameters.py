"""Parameters of flows as the Prefect form shows and checks them."""

from typing import Annotated, Literal

import prefect.runtime
from pydantic import Field, WithJsonSchema

from sec_core.clock import SystemClock
from sec_core.hours import Month
from sec_core.usecases.months import ALL_FAILED, month_or_last

MONTH_PATTERN = r"^20[0-9]{2}-(0?[1-9]|1[0-2])$"

MOST_MONTHS = 240

MonthText = Annotated[str, Field(pattern=MONTH_PATTERN, examples=["2024-08"], title="Month (YYYY-MM)")]

InboxFile = Annotated[
    str, Field(pattern=r"^[^/\\]+$", max_length=255, examples=["seia.xlsx"], title="File in the inbox")
]

WaitForSource = Annotated[bool, Field(title="Wait for the source")]

OtherSource = Annotated[bool, Field(title="Publish data that is not the SEC's")]

# The form leaves a constant blank, and then refuses it as missing: a list of one choice can be chosen.
AllFailed = Annotated[
    Literal["all failed"],
    WithJsonSchema({"type": "string", "enum": ["all failed"], "title": "All closed months that miss hours"}),
]


def months_run_name() -> str:
    """Name of a run: its flow and the months that it is about, as months are written."""
    chosen = prefect.runtime.flow_run.parameters
    wanted = chosen.get("months") or [chosen["first"], chosen["last"]]
    texts = [wanted] if isinstance(wanted, str) else wanted
    written = [text if text == ALL_FAILED else str(Month.parse(text)) for text in texts]
    return f"{prefect.runtime.flow_run.flow_name} {(', ' if 'months' in chosen else ' to ').join(written)}"


def month_run_name() -> str:
    """Name of a run: its flow and the month that it is about."""
    chosen = month_or_last(prefect.runtime.flow_run.parameters.get("month"), SystemClock())
    return f"{prefect.runtime.flow_run.flow_name} {chosen}"
