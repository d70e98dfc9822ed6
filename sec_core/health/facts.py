"""Finding out the facts that the verdict on the pipeline's health rests on: database, disk, and the source."""

import asyncio
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from sqlalchemy import text

from sec_core.blobs.place import Place, StoreUrl, open_blobs, try_out
from sec_core.bronze.ledger_table import LedgerTables
from sec_core.clock import Clock
from sec_core.config import Settings
from sec_core.db.checks import check_zones
from sec_core.db.database import Database, open_database
from sec_core.errors import ConfigError, DatabaseError, PublicationError, SecError, SourceError, StorageError
from sec_core.health.verdict import Check, DataFacts, Facts, PlaceFacts, SourceFacts, due_month
from sec_core.hours import FIRST_MONTH, Month
from sec_core.source.circuit import Circuit
from sec_core.source.client import SourceClient
from sec_core.source.throttle import Throttle

Found = TypeVar("Found")
Failure = TypeVar("Failure", bound=SecError)

_STANDS = text("""
    select
        (select min(hora) from capturas) as first_hour,
        (select min(primera_consulta) from capturas) as first_asked,
        count(*) as quarantined,
        count(*) filter (where ultima_consulta >= :now - interval '7 days') as quarantined_lately,
        (select max(updated_at) from dashboard_stats) as published_at,
        (select max(capturado_en) from cargas) as loaded_at
    from capturas where estado = 'quarantined' and codigo_error is distinct from 'dañado'
""")
_UNRESOLVED = text("""
    select case when nombre <> '' then nombre else nombre_region end, sum(n_filas)::bigint
    from nombres_no_resueltos
    where hora >= coalesce((select max(hora) from cargas), :now) - interval '30 days'
        and (nombre <> '' or nombre_region <> '')
    group by 1 order by 2 desc, 1
""")


async def find_facts(settings: Settings, clock: Clock, *, monitored: bool, services: tuple[Check, ...] = ()) -> Facts:
    """Look at everything once. Sends one request to the source, through the shared limits and the circuit.

    Args:
        settings: Where everything is.
        clock: Tells the time.
        monitored: Whether the monitor is meant to run.
        services: Checks of the services on this machine.

    Returns:
        The facts; what can't be reached is a fact too.
    """
    # What fills up on this machine.
    disk = min(_free(place) for place in (settings.state, settings.data) if not isinstance(place, StoreUrl))
    source: SourceFacts | SourceError | None = None
    data: DataFacts | DatabaseError
    try:
        with closing(open_database(settings)) as database:
            async with Throttle.open(database, settings, clock) as throttle:
                source = await _ask_source(settings, throttle, clock)
                data = _read(database, await throttle.circuit(), clock.now())
    except DatabaseError as error:
        data = error
    return Facts(
        now=clock.now(),
        disk_free=disk[0],
        disk_total=disk[1],
        source=source,
        data=data,
        monitored=monitored,
        services=services,
        place=_try_place(settings.data),
        to_supabase=settings.supabase_url is not None,
        supabase=await asyncio.to_thread(_ask_supabase, settings),
    )


def _or_error(look: Callable[[], Found], kind: type[Failure]) -> Found | Failure:
    """What a look finds, or the error of this kind that it ends with."""
    try:
        return look()
    except kind as error:
        return error


def _ask_supabase(settings: Settings) -> datetime | PublicationError | None:
    if settings.supabase_url is None:
        return None
    from sec_core.gold.supabase import SupabaseStore  # noqa: PLC0415 - costs a second, and few have a project

    with closing(SupabaseStore(settings.model_copy(update={"retries": 0}))) as store:
        return _or_error(store.published_at, PublicationError)


def _free(place: Path) -> tuple[int, int]:
    """Free and all bytes of the disk of a folder, or of what is there of it."""
    usage = shutil.disk_usage(next(folder for folder in (place, *place.parents) if folder.exists()))
    return usage.free, usage.total


def _try_place(place: Place) -> PlaceFacts:
    blobs = open_blobs(place)
    error = _or_error(lambda: try_out(blobs), StorageError)
    return PlaceFacts(str(place), isinstance(place, StoreUrl), error, blobs.has_links)


async def _ask_source(settings: Settings, throttle: Throttle, clock: Clock) -> SourceFacts | SourceError:
    began = time.monotonic()
    # One attempt says enough, and a look at the health should not take minutes.
    once = settings.model_copy(update={"retries": 0})
    try:
        async with SourceClient(once, throttle, clock) as client:
            told = await client.server_time()
    except SourceError as error:
        return error
    # The source cuts its seconds off: half a minute is the best guess.
    return SourceFacts(time.monotonic() - began, told + timedelta(seconds=30) - clock.now())


def _read(database: Database, circuit: Circuit, now: datetime) -> DataFacts:
    ledger = LedgerTables(database)
    due = ledger.month_summary([due_month(now)], now)[0]
    with database.engine.connect() as connection:
        stands = connection.execute(_STANDS, {"now": now}).mappings().one()
        unresolved = connection.execute(_UNRESOLVED, {"now": now}).all()
    return DataFacts(
        circuit=circuit,
        newest_hour=ledger.newest_hour(),
        due_expected=due.expected,
        due_missing=due.expected - due.captured - due.empty,
        damaged=tuple(ledger.damaged()),
        unresolved=tuple((name, rows) for name, rows in unresolved),
        zones=_or_error(
            lambda: check_zones(database.engine, FIRST_MONTH.start, Month.of(now).shift(1).end), ConfigError
        ),
        **stands,
    )
