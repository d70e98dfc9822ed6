"""The fast rules against plain Python: any history, cut into months and merged again, gives the same events."""

from itertools import groupby

import polars as pl
from hypothesis import given, settings
from support.examples import examples
from support.reference_rules import Event, History, aggregated_events, detailed_events
from support.worlds import histories, loads_of, observation_frame, rules

from sec_core.hours import HOUR, Month
from sec_core.silver import stretches
from sec_core.silver.timeline import EventRules, usable_hours

DETAILED_COLUMNS = [
    "id_geografia", "id_empresa", "primera_hora", "ultima_hora", "hora_maximo", "maximo", "cliente_horas",
    "n_observaciones", "imputaciones",
]  # fmt: skip


def months_of(history: History) -> dict[Month, History]:
    return {month: {hour: history[hour] for hour in hours} for month, hours in groupby(sorted(history), key=Month.of)}


@settings(max_examples=examples(130), deadline=None)
@given(history=histories(), rules=rules)
def test_aggregated_events_equal_the_plain_walk(history: History, rules: EventRules) -> None:
    parts = [
        stretches.aggregated_stretches(
            observation_frame(hours, "aggregated"), usable_hours(loads_of(hours), rules), rules, month.first_day
        )
        for month, hours in months_of(history).items()
    ]
    if not parts:
        return
    usable = usable_hours(loads_of(history), rules)
    events = stretches.aggregated_events(pl.concat(parts), usable, rules)
    open_now = stretches.is_open(events["ultima_hora"], usable, rules, max(history))
    rest = ("ultima_hora", "hora_maximo", "maximo", "cliente_horas", "n_observaciones", "imputaciones")
    found = sorted(
        Event("aggregated", geo, company, first, None if is_open else last[0] + HOUR, first, *last)
        for (geo, company, first, *last), is_open in zip(
            events.select("id_geografia", "id_empresa", "primera_hora", *rest).iter_rows(), open_now, strict=True
        )
    )
    assert found == sorted(aggregated_events(history, rules), key=lambda event: (event.geo, event.start))


@settings(max_examples=examples(50), deadline=None)
@given(history=histories())
def test_detailed_events_equal_plain_grouping(history: History) -> None:
    parts = [
        stretches.detailed_stretches(observation_frame(hours, "detailed"), month.first_day)
        for month, hours in months_of(history).items()
    ]
    if not parts:
        return
    found = {
        tuple(row[name] for name in DETAILED_COLUMNS)
        for row in stretches.detailed_events(pl.concat(parts)).iter_rows(named=True)
    }
    assert found == {
        (e.geo, e.company, e.first, e.last, e.peak_hour, e.peak, e.customer_hours, e.listed, e.bits)
        for e in detailed_events(history)
    }
