"""A small simulated world in Silver, with its truth, for tests of Gold."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial

from sqlalchemy import text

from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.hours import Month, hours_of_day
from sec_core.reference.tables import regiones
from sec_core.silver.load import load_month
from sec_core.simulator.answers import hour_body
from sec_core.source.shapes import Shape
from support.fixtures import StandingClock
from support.silver_world import MemoryBronze
from support.truth import Truth, stormy

FIRST = date(2025, 8, 24)
DAYS = 12
NOW = datetime(2025, 9, 5, 12, tzinfo=UTC)
# Customers of each region: so many that nothing is capped.
CUSTOMERS = {region.codigo: 400_000 + 1000 * int(region.codigo) for region in regiones()}


@dataclass(frozen=True)
class GoldWorld:
    """What was loaded.

    Attributes:
        truth: The world's truth.
        captured: Hours in Silver.
        shape: Their shape.
    """

    truth: Truth
    captured: list[datetime]
    shape: Shape


FixedClock = partial(StandingClock, NOW)


def load_world(
    database: Database,
    settings: Settings,
    shape: Shape = Shape.DETAILED,
    until: Month | None = None,
    revised: datetime | None = None,
) -> GoldWorld:
    """Load twelve stormy days with a hole, wrong values and years-old outages, of one shape.

    Args:
        database: Where to; what it holds of the same world is brought up to date.
        settings: The settings.
        shape: Of all hours.
        until: The last month that is loaded.
        revised: An hour of which the source has since said a hundred times as much.
    """
    hours = [hour for step in range(DAYS) for hour in hours_of_day(FIRST + timedelta(days=step))]
    hours = [hour for hour in hours if until is None or Month.of(hour) <= until]
    hole = (f"{FIRST + timedelta(days=2)}T03", f"{FIRST + timedelta(days=2)}T12")
    world = stormy(hours, 7, hole)
    truth = Truth(world, shape_of=lambda _hour: shape)
    captured = truth.hours_with_data(hours)
    bronze = MemoryBronze()
    for hour in captured:
        bronze.put(hour, shape, hour_body(world, hour, shape))
    if revised is not None:
        body = bronze.read(bronze.held[revised])
        bronze.put(revised, shape, re.sub(rb'("CLIENTES_AFECTADOS":[1-9]\d*)', rb"\g<1>00", body))
    bring_in(database, settings, bronze)
    with database.engine.begin() as connection:
        if revised is not None:
            connection.execute(text("UPDATE capturas SET n_revisiones = 2 WHERE hora = :hour"), {"hour": revised})
        missing = [{"hour": hour} for hour in sorted(set(hours) - set(captured))]
        if missing:
            insert = "INSERT INTO capturas (hora, estado) VALUES (:hour, 'empty') ON CONFLICT DO NOTHING"
            connection.execute(text(insert), missing)
    give_customers(database, "2025-08-01")
    return GoldWorld(truth, captured, shape)


def bring_in(database: Database, settings: Settings, bronze: MemoryBronze) -> None:
    """Load what a Bronze holds, and note it in the ledger."""
    for month in sorted({Month.of(hour) for hour in bronze.held}):
        load_month(database, bronze.read, month, settings, values=bronze)
    with database.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO capturas (hora, estado, forma, n_filas)"
                " SELECT hora, 'captured', forma, n_filas FROM cargas ON CONFLICT DO NOTHING"
            )
        )


def give_customers(database: Database, month: str) -> None:
    """Give each region its customers in a month."""
    insert = (
        "INSERT INTO clientes_regionales (mes, codigo_region, clientes, capturado_en)"
        " VALUES (:month, :code, :customers, now()) ON CONFLICT DO NOTHING"
    )
    rows = [{"month": month, "code": code, "customers": customers} for code, customers in CUSTOMERS.items()]
    with database.engine.begin() as connection:
        connection.execute(text(insert), rows)
