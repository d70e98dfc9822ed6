"""A small Bronze in memory and an ordered export of Silver, for tests of loading."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from sec_core.bronze.ledger_rules import Capture, Origin
from sec_core.db.database import Database
from sec_core.reference import tables
from sec_core.simulator.country import parse_wall_hour
from sec_core.source.shapes import Shape
from support.fuzz_bodies import DETAILED
from support.reference_rules import Hour, Listed

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
