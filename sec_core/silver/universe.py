"""The customer universe: customers by region and month, and the cap that follows from it.

What the SEC answers is kept as it is, with the month that it says it describes (`PERIODO_STAR`). Beside it, as an
estimate named so, each region's figure is scaled such that the regions sum to the national total: for indices, never
for the cap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from sec_core.errors import UnexpectedBody
from sec_core.hours import Month
from sec_core.reference.names import default_names
from sec_core.reference.tables import COUNTRY_CODE
from sec_core.silver.cap import cap
from sec_core.silver.events import EVENT_SCHEMA
from sec_core.silver.observations import HORA
from sec_core.silver.store import SilverStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sec_core.db.database import Database
    from sec_core.reference.names import Names
    from sec_core.source.answers import RegionCustomers

FIGURE_SCHEMA: dict[str, pl.DataType] = {
    "mes": pl.Date(),
    "codigo_region": pl.String(),
    "clientes": pl.Int64(),
    "periodo_star": pl.String(),
    "capturado_en": HORA,
    "clientes_estimados": pl.Int64(),
}
"""Columns of `clientes_regionales`."""
_CAPPED = ("hash_id", "clientes_afectados", "clientes_afectados_crudo", "imputaciones", "topado", "meses_denominador")


@dataclass(frozen=True, slots=True)
class UniverseReport:
    """What was kept and what followed.

    Attributes:
        month: The month for which the figures stand.
        regions: Regions with a figure.
        customers: Their sum.
        national: The national figure, None when it was not answered.
        events_changed: Events whose cap, or whose denominator's age, changed.
    """

    month: Month
    regions: int
    customers: int
    national: int | None
    events_changed: int


def figures(
    regions: Sequence[RegionCustomers], national: int | None, captured_at: datetime, names: Names
) -> pl.DataFrame:
    """Rows of `clientes_regionales` from the answers of one month. Pure.

    Args:
        regions: Rows of `GetClientesRegional`; a region given twice counts once.
        national: `GetClientesNacional`, or None.
        captured_at: When the answers were received; their month in Chile is the month of the rows.
        names: Resolver of regions; `REGION_ID` is used where the name does not resolve.

    Returns:
        A row for each region, and one for the country where its figure is known, by `FIGURE_SCHEMA`.

    Raises:
        UnexpectedBody: A region that resolves neither by name nor by number.
    """
    month = Month.of(captured_at).first_day
    by_code: dict[str, RegionCustomers] = {}
    for region in regions:
        code = names.codigo_region(region.name) or names.codigo_region(region.region_id)
        if code is None:
            raise UnexpectedBody(
                f"GetClientesRegional names an unknown region: {region.name[:80]!r}.",
                next_step="Add the spelling to sec_core/reference/regiones.csv.",
            )
        by_code[code] = region
    total = sum(region.customers for region in by_code.values())
    # Scaled only where all regions are known: else the missing ones' customers would be spread over the others.
    complete = len(by_code) == len(names.region_codes()) and total > 0
    scale = national / total if complete and national is not None else None
    rows = [
        (
            month,
            code,
            each.customers,
            each.period,
            captured_at,
            None if scale is None else round(each.customers * scale),
        )
        for code, each in sorted(by_code.items())
    ]
    if national is not None:
        rows.append((month, COUNTRY_CODE, national, "", captured_at, national))
    frame = pl.DataFrame(rows, schema=FIGURE_SCHEMA, orient="row")
    return frame.with_columns(pl.col("periodo_star").replace("", None))


def store_universe(
    database: Database,
    regions: Sequence[RegionCustomers],
    national: int | None,
    captured_at: datetime,
    names: Names | None = None,
) -> UniverseReport:
    """Keep the answers of a month and bring the caps that depend on them up to date.

    Of several answers within a month the newest stands, in whatever order they are stored.

    Args:
        database: The database.
        regions: Rows of `GetClientesRegional`.
        national: `GetClientesNacional`, or None.
        captured_at: When the answers were received.
        names: Resolver of regions; that of the reference files unless given.

    Returns:
        What was kept and how many events changed.

    Raises:
        UnexpectedBody: A region is unknown; nothing is kept.
        DatabaseUnavailable: PostgreSQL can't be reached.
    """
    rows = figures(regions, national, captured_at, default_names() if names is None else names)
    changed = write_universe(database, rows)
    only = rows.filter(pl.col("codigo_region") != COUNTRY_CODE)
    return UniverseReport(Month.of(captured_at), only.height, int(only["clientes"].sum()), national, changed)


def write_universe(database: Database, rows: pl.DataFrame) -> int:
    """Keep rows of `figures`, of two for one month and region the newer; returns how many events changed by it.

    Raises:
        DatabaseUnavailable: PostgreSQL can't be reached.
    """
    with database.adbc() as connection:
        store = SilverStore(connection)
        store.lock_events()
        store.write_universe(rows)
        return _recap(store)


def recap(database: Database) -> int:
    """Cap all events again by the customers now known; returns how many changed.

    Raises:
        DatabaseUnavailable: PostgreSQL can't be reached.
    """
    with database.adbc() as connection:
        store = SilverStore(connection)
        store.lock_events()
        return _recap(store)


def _recap(store: SilverStore) -> int:
    columns = ("id_geografia", "hora_maximo", "inicio", *_CAPPED)
    schema = {name: EVENT_SCHEMA[name] for name in columns}
    events = store.query(f"select {', '.join(columns)} from fact_interrupciones where id_geografia <> 0", schema)
    capped = cap(events, store.universe()).select(pl.col(name).cast(kind) for name, kind in schema.items())
    changed = capped.join(events, on=list(columns), how="anti", nulls_equal=True)
    if changed.height:
        store.update_caps(changed.select(_CAPPED))
        store.refresh_caps(changed["inicio"].dt.convert_time_zone("America/Santiago").dt.date().dt.month_start())
    return changed.height
