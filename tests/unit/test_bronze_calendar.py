from sec_core.bronze.calendar import PLAIN_MARKS, calendar_of, calendar_text, hours_text, legend
from sec_core.bronze.ledger_rules import HourState
from sec_core.hours import Month


def test_the_skipped_hour_of_september_is_a_gap_and_april_has_24_hours_a_day() -> None:
    september = Month(2024, 9)
    lines = dict(calendar_of(september, dict.fromkeys(september.hours(), HourState.EMPTY)))
    gaps = [(day.day, hour) for day, line in lines.items() for hour, state in enumerate(line) if state is None]
    assert gaps == [(8, 0)]
    april = Month(2024, 4)
    assert all(None not in line for _, line in calendar_of(april, dict.fromkeys(april.hours(), HourState.EMPTY)))


def test_the_text_shows_each_state_with_a_mark_of_its_own() -> None:
    month = Month(2025, 2)
    states = dict.fromkeys(month.hours(), HourState.CAPTURED)
    for hour, state in zip(month.hours()[24:28], list(HourState)[:4], strict=True):
        states[hour] = state
    text = calendar_text(month, states).splitlines()
    assert text[0].startswith("day  00 01 02")
    assert text[1].split() == ["01", *"●" * 24]
    assert text[2].split()[:6] == ["02", "·", "●", "○", "✕", "●"]
    assert len(text) == 1 + 28 + 2
    assert text[-1] == legend()
    plain = calendar_text(month, states, PLAIN_MARKS)
    assert plain.isascii()
    assert plain.splitlines()[2].split()[:6] == ["02", ".", "#", "o", "x", "#"]


def test_hours_are_named_by_day_with_runs_of_them_in_short() -> None:
    hours = Month(2025, 2).hours()
    assert hours_text([*hours[36:38], *reversed(hours[7:10])]) == "2025-02-01 07h-09h; 2025-02-02 12h-13h"
    assert hours_text([hours[12], hours[14]]) == "2025-02-01 12h, 14h"
    assert hours_text(hours[::24], most_days=1) == "2025-02-01 00h; and 27 more days"
