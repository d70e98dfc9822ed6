"""Loading in any order, any split, any number of times gives one result: that of the plain-Python rules."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.reference_rules import Event, History, all_events
from support.silver_world import MemoryBronze, body_of, clear, export
from support.worlds import histories, rules, values_of_hour

from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.hours import Month
from sec_core.silver.load import load_hours, load_month
from sec_core.silver.timeline import EventRules
from sec_core.source.shapes import Shape


def bronze_of(history: History) -> MemoryBronze:
    bronze = MemoryBronze()
    for hour in sorted(history):
        bronze.put(hour, Shape(history[hour].shape), body_of(history[hour]))
    return bronze


def events_in(database: Database) -> list[Event]:
    with database.engine.connect() as connection:
        rows = connection.exec_driver_sql(
            """
            select forma, id_geografia, id_empresa, inicio, fin, primera_hora, ultima_hora, hora_maximo,
                clientes_afectados_crudo, cliente_horas, n_observaciones, imputaciones
            from fact_interrupciones
            """
        )
        return sorted((Event(*row) for row in rows), key=_key)


def _key(event: Event) -> tuple[object, ...]:
    return (event.shape, event.geo, event.company, event.start)


@st.composite
def changes(draw: st.DrawFn, history: History) -> list[tuple[str, list[object]]]:
    """Loads of single hours and of months, in random order, that come before the history as it is."""
    months = sorted({Month.of(hour) for hour in history})
    steps: list[tuple[str, list[object]]] = []
    for _ in range(draw(st.integers(0, 3))):
        steps.append(("hours", draw(st.lists(st.sampled_from(sorted(history)), max_size=5))))
        steps.append(("months", draw(st.lists(st.sampled_from(months), max_size=2))))
    return steps


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
    data: st.DataObject, history: History, rules: EventRules, database: Database, make_settings: Callable[..., Settings]
) -> None:
    if not history:
        return
    usual = make_settings()
    asked = usual.model_copy(
        update={
            "event_threshold": rules.threshold,
            "event_close_hours": rules.close_hours,
            "event_max_gap_hours": rules.max_gap_hours,
        }
    )
    bronze = bronze_of(history)
    # One ordered load.
    clear(database)
    for month in sorted({Month.of(hour) for hour in history}):
        load_month(database, bronze.read, month, asked, values=bronze)
    ordered = export(database)
    assert events_in(database) == sorted(_bits_read(history, rules), key=_key)
    # Any other way: other values first (revisions come later), other rules first, single hours, random order.
    clear(database)
    early = bronze_of(_earlier(data, history))
    before = usual.model_copy(update={"event_threshold": data.draw(st.sampled_from([1, rules.threshold]))})
    for kind, items in data.draw(changes(history)):
        source = early if data.draw(st.booleans()) else bronze
        chosen = before if data.draw(st.booleans()) else asked
        _load(database, source, chosen, kind, items)
    for month in data.draw(st.permutations(sorted({Month.of(hour) for hour in history}))):
        load_month(database, bronze.read, month, asked, values=bronze)
    assert export(database) == ordered


def _load(database: Database, bronze: MemoryBronze, chosen: Settings, kind: str, items: list[object]) -> None:
    if kind == "hours":
        load_hours(database, bronze.read, items, chosen, values=bronze)  # type: ignore[arg-type]
        return
    for month in items:
        load_month(database, bronze.read, month, chosen, values=bronze)  # type: ignore[arg-type]


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
