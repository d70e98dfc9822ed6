"""Loading in any order, any split, any number of times gives one result: that of the plain-Python rules."""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.reference_rules import Event, History, all_events
from support.silver_world import MemoryBronze, Silver, body_of
from support.worlds import histories, rules, values_of_hour

from sec_core.hours import Month
from sec_core.silver.timeline import EventRules
from sec_core.source.shapes import Shape


def bronze_of(history: History) -> MemoryBronze:
    bronze = MemoryBronze()
    for hour in sorted(history):
        bronze.put(hour, Shape(history[hour].shape), body_of(history[hour]))
    return bronze


def events_in(silver: Silver) -> list[Event]:
    rows = silver.rows(
        """
        select forma, id_geografia, id_empresa, inicio, fin, primera_hora, ultima_hora, hora_maximo,
            clientes_afectados_crudo, cliente_horas, n_observaciones, imputaciones
        from fact_interrupciones
        """
    )
    return sorted((Event(*row) for row in rows), key=_key)


def _key(event: Event) -> tuple[object, ...]:
    return (event.shape, event.geo, event.company, event.start)


def changes(history: History) -> st.SearchStrategy[list[tuple[str, list[Any]]]]:
    """Loads of single hours and of months, in random order, that come before the history as it is."""
    hours, months = sorted(history), sorted({Month.of(hour) for hour in history})
    return st.lists(
        st.tuples(st.just("hours"), st.lists(st.sampled_from(hours), max_size=5))
        | st.tuples(st.just("months"), st.lists(st.sampled_from(months), max_size=2)),
        max_size=6,
    )


@pytest.mark.timeout(1800)  # each of the cases is a dozen loads
@settings(
    max_examples=examples(200),
    deadline=None,
    # Each example is several loads: shrinking would take minutes; the pure rules' test shrinks.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data(), history=histories(), rules=rules)
def test_any_way_of_loading_gives_the_rules_of_the_contract(
    data: st.DataObject, history: History, rules: EventRules, silver: Silver
) -> None:
    if not history:
        return
    asked = silver.settings.model_copy(
        update={
            "event_threshold": rules.threshold,
            "event_close_hours": rules.close_hours,
            "event_max_gap_hours": rules.max_gap_hours,
        }
    )
    bronze = bronze_of(history)
    # One ordered load.
    silver.clear()
    silver.bronze = bronze
    silver.load(by=asked)
    ordered = silver.export()
    assert events_in(silver) == sorted(_bits_read(history, rules), key=_key)
    # Any other way: other values first (revisions come later), other rules first, single hours, random order.
    silver.clear()
    early = bronze_of(_earlier(data, history))
    before = silver.settings.model_copy(update={"event_threshold": data.draw(st.sampled_from([1, rules.threshold]))})
    for kind, items in data.draw(changes(history)):
        silver.bronze = early if data.draw(st.booleans()) else bronze
        chosen = before if data.draw(st.booleans()) else asked
        if kind == "hours":
            silver.load_hours(items, by=chosen)
        elif items:
            silver.load(*items, by=chosen)
    silver.bronze = bronze
    silver.load(*data.draw(st.permutations(sorted({Month.of(hour) for hour in history}))), by=asked)
    assert silver.export() == ordered


def _earlier(data: st.DataObject, history: History) -> History:
    """The same hours, some with another value or another shape, some still without one."""
    early: History = {}
    for hour, value in history.items():
        fate = data.draw(st.sampled_from(["same", "same", "other", "absent"]))
        if fate == "same":
            early[hour] = value
        elif fate == "other":
            early[hour] = data.draw(values_of_hour(hour, data.draw(st.sampled_from(["detailed", "aggregated"]))))
    return early


def _bits_read(history: History, rules: EventRules) -> list[Event]:
    """Events with the bits that reading the bodies gives, of unknown places and of unknown companies."""
    for value in history.values():
        value.rows = [
            type(row)(
                row.geo,
                row.company,
                row.start,
                row.customers,
                (2 if row.geo == 0 else 0) | (4 if value.shape == "detailed" and row.company == 0 else 0),
            )
            for row in value.rows
        ]
    return all_events(history, rules)
