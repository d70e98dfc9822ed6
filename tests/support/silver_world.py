"""A small Bronze in memory, what loads make of it, and an ordered export of Silver, for tests of loading."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from sec_core.bronze.ledger_rules import Capture, Origin
from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.hours import HOUR, Month
from sec_core.reference import tables
from sec_core.reference.tables import Names
from sec_core.silver.load import BodyReader, LoadReport, load_hours, load_month
from sec_core.simulator.country import parse_wall_hour
from sec_core.source.shapes import Shape
from support.fixtures import MakeSettings
from support.fuzz_bodies import DETAILED
from support.reference_rules import Hour, Listed, utc

# Tables of Silver that a load writes, and the order of their export.
EXPORT = {
    "cargas": "hora",
    "fact_observaciones": "hora, id_geografia, id_empresa, fecha_inicio",
    "tramos": "mes, forma, id_geografia, id_empresa, fecha_inicio, primera_hora",
    "fact_interrupciones": "hash_id",
    "calidad_imputacion": "mes, regla",
    "nombres_no_resueltos": "hora, tipo, nombre_region, nombre",
}


@dataclass
class MemoryBronze:
    """Bodies by key and the value of each hour: what loading needs of Bronze and its ledger."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    held: dict[datetime, Capture] = field(default_factory=dict)
    revision: int = 0

    def set_aside(self, damaged: Mapping[Capture, str]) -> None:
        """Forget bodies that are not what was kept."""
        for capture in damaged:
            self.held.pop(capture.hour)

    def put(self, hour: datetime, shape: Shape, body: bytes) -> Capture:
        """Make a body the value of an hour."""
        rows = orjson.loads(body)
        self.revision += 1
        sha256 = hashlib.sha256(body).hexdigest()
        at = datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=self.revision)
        capture = Capture(hour, at, Origin.SEC, sha256, sha256, len(body), len(rows), 0, shape)
        self.bodies[sha256] = body
        self.held[hour] = capture
        return capture

    def put_file(self, path: Path) -> Capture:
        """Make a captured file, named by its Chile wall-clock hour, the value of that hour."""
        return self.put(parse_wall_hour(path.name[:13]), Shape(path.parent.name), path.read_bytes())

    def values(self, first: datetime, last: datetime) -> list[Capture]:
        """The value of each hour in [first, last), as the ledger gives them."""
        return [self.held[hour] for hour in sorted(self.held) if first <= hour < last]

    def read(self, capture: Capture) -> bytes:
        """A body's bytes."""
        return self.bodies[capture.key]


def body_of(hour: Hour) -> bytes:
    """The body that shows an hour's rows, one source row each."""
    return orjson.dumps([_row(row, hour.shape) for row in hour.rows])


def _row(row: Listed, shape: str) -> dict[str, Any]:
    place = _PLACES.get(row.geo, ("", ""))
    base = {"NOMBRE_REGION": place[0], "NOMBRE_COMUNA": place[1], "CLIENTES_AFECTADOS": row.customers}
    if shape == "aggregated":
        return base
    assert row.start is not None
    day = row.start
    date_of = {"DIA_INT": day.day, "MES_INT": day.month, "ANHO_INT": day.year}
    text = {"FECHA_INT_STR": f"{day.day}/{day.month}/{day.year}"}
    return DETAILED | date_of | text | {"NOMBRE_EMPRESA": _COMPANIES[row.company] if row.company else ""} | base


_PLACES = {comuna.id_geografia: (comuna.nombre_region, comuna.nombre_oficial) for comuna in tables.comunas()}
_COMPANIES = {empresa.id_empresa: empresa.nombre for empresa in tables.empresas()}


def export(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of Silver, in a fixed order."""
    with database.engine.connect() as connection:
        return {
            table: [tuple(row) for row in connection.exec_driver_sql(f"select * from {table} order by {order}")]
            for table, order in EXPORT.items()
        }


def clear(database: Database) -> None:
    """Empty Silver, dimensions aside."""
    tables = [*EXPORT, "reglas", "clientes_regionales"]
    with database.engine.begin() as connection:
        # As alone as a truncation, which makes new files for each index and partition and takes ten times as long.
        connection.exec_driver_sql(f"lock table {', '.join(tables)} in access exclusive mode")
        for table in tables:
            connection.exec_driver_sql(f"delete from {table}")


def rows_of(database: Database, sql: str) -> list[tuple[Any, ...]]:
    with database.engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(sql)]


class Silver:
    """A database, the Bronze in memory that is loaded into it, and the settings by which that is done."""

    def __init__(self, database: Database, make_settings: MakeSettings) -> None:
        self.database, self.make_settings, self.settings = database, make_settings, make_settings()
        self.bronze = MemoryBronze()

    def load(
        self,
        *months: Month,
        by: Settings | None = None,
        read: BodyReader | None = None,
        names: Names | None = None,
        force: bool = False,
    ) -> list[LoadReport]:
        """Load months, else all that Bronze has hours of; by other settings, reader or names if they are given."""
        wanted = months or sorted({Month.of(hour) for hour in self.bronze.held})
        read, by, values = read or self.bronze.read, by or self.settings, self.bronze
        return [load_month(self.database, read, month, by, values=values, names=names, force=force) for month in wanted]

    def load_hours(self, hours: Iterable[datetime], *, by: Settings | None = None) -> list[LoadReport]:
        """Load single hours, as the monitor does."""
        return load_hours(self.database, self.bronze.read, list(hours), by or self.settings, values=self.bronze)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a question to the database."""
        return rows_of(self.database, sql)

    def export(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of Silver."""
        return export(self.database)

    def clear(self) -> None:
        """Empty Silver."""
        clear(self.database)


# --- three months of one comuna, small enough to be known by heart ---

NUNOA = 13120
MONTHS = [Month(2025, 5), Month(2025, 6), Month(2025, 7)]


def aggregated(customers: int, place: int = NUNOA) -> bytes:
    """A body that lists one place."""
    return body_of(Hour("aggregated", [Listed(place, 1, None, customers)]))


def world() -> MemoryBronze:
    """Three months of one comuna, with an event over each border and a detailed day."""
    bronze = MemoryBronze()
    hour = utc(2025, 5, 30, 4)
    while hour < utc(2025, 7, 3, 4):
        bronze.put(hour, Shape.AGGREGATED, aggregated(400 if hour.day in {30, 31, 1, 15} else 20))
        hour += HOUR
    day = Hour("detailed", [Listed(NUNOA, 15, date(2025, 6, 14), 300), Listed(NUNOA, 0, date(2025, 6, 1), 50)])
    bronze.put(utc(2025, 6, 15, 16), Shape.DETAILED, body_of(day))
    return bronze
