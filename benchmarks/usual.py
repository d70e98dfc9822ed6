"""The way that one would write first: pandas sums each hour, rows go in by `insert … on conflict`, a page at a time.

It keeps what a load keeps of detailed hours: observations, and events with their high-water mark. It resolves no names,
imputes nothing, counts nothing, and takes no lock.
"""

import json
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import pandas as pd
from psycopg import Cursor

from benchmarks.history import bronze_of
from benchmarks.measuring import opened
from sec_core.config import Settings
from sec_core.hours import Month

_KEYS: Final = ["NOMBRE_REGION", "NOMBRE_COMUNA", "NOMBRE_EMPRESA", "FECHA_INT_STR"]
_PAGE: Final = 1_000
_TABLES: Final = """
    create table usual_observations (hour timestamptz, event uuid, customers bigint, primary key (hour, event));
    create table usual_events (event uuid primary key, region text, comuna text, company text, begin date,
        first timestamptz, last timestamptz, peak bigint, customer_hours bigint)
"""
_OBSERVATIONS: Final = (
    "insert into usual_observations values {} on conflict (hour, event) do update set customers = excluded.customers",
    "(%s, md5(%s)::uuid, %s)",
)
_EVENTS: Final = (
    """insert into usual_events values {} on conflict (event) do update set
        first = least(usual_events.first, excluded.first), last = greatest(usual_events.last, excluded.last),
        peak = greatest(usual_events.peak, excluded.peak),
        customer_hours = usual_events.customer_hours + excluded.customer_hours""",
    "(md5(%s)::uuid, %s, %s, %s, to_date(%s, 'DD/MM/YYYY'), %s, %s, %s, %s)",
)


def load_usual(settings: Settings, months: Sequence[Month]) -> float:
    """Load months hour by hour, a transaction an hour; seconds."""
    with opened(settings) as database:
        ledger, store = bronze_of(settings, database)
        connection = database.engine.raw_connection()
        cursor: Cursor[tuple[object, ...]] = connection.cursor()  # type: ignore[assignment]  # psycopg's own
        cursor.execute(_TABLES)
        connection.commit()
        begun = time.perf_counter()
        for month in months:
            for value in ledger.values(month.start, month.end):
                _load(cursor, value.hour, store.read_kept(value))
                connection.commit()
        seconds = time.perf_counter() - begun
        connection.close()
    return seconds


def _load(cursor: Cursor[tuple[object, ...]], hour: datetime, body: bytes) -> None:
    rows = pd.DataFrame(json.loads(body))
    sums = rows.groupby(_KEYS, as_index=False, sort=False)["CLIENTES_AFECTADOS"].sum()
    sums["event"] = sums[_KEYS[0]].str.cat(sums[_KEYS[1:]], sep="|")
    counts = sums["CLIENTES_AFECTADOS"].tolist()
    names = list(zip(sums["event"], counts, strict=True))
    _insert(cursor, _OBSERVATIONS, [(hour, event, count) for event, count in names])
    places = sums[_KEYS].itertuples(index=False, name=None)
    events = [(event, *place, hour, hour, count, count) for (event, count), place in zip(names, places, strict=True)]
    _insert(cursor, _EVENTS, events)


def _insert(cursor: Cursor[tuple[object, ...]], statement: tuple[str, str], rows: Sequence[tuple[object, ...]]) -> None:
    into, row = statement
    for first in range(0, len(rows), _PAGE):
        page = rows[first : first + _PAGE]
        cursor.execute(into.format(", ".join([row] * len(page))), [cell for cells in page for cell in cells])
