"""Finding out the facts that the verdict on the pipeline's health rests on: database, disk, and the source."""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import text

from sec_core.blobs.local import LocalBlobs
from sec_core.blobs.open import open_blobs, try_out
from sec_core.blobs.place import Place, StoreUrl
from sec_core.bronze.ledger import Ledger
from sec_core.db.database import Database, open_database
from sec_core.db.zones import check_zones
from sec_core.errors import CircuitOpen, ConfigError, DatabaseError, PublicationError, SourceError, StorageError
from sec_core.health.verdict import Check, DataFacts, Facts, PlaceFacts, SourceFacts, SupabaseFacts, due_month
from sec_core.hours import FIRST_MONTH, Month
from sec_core.source.client import SourceClient
from sec_core.source.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sec_core.clock import Clock
    from sec_core.config import Settings
    from sec_core.source.circuit import Circuit

_LATELY = timedelta(days=7)
_NAMES_WINDOW = timedelta(days=30)
_UNRESOLVED = text("""
    select case when nombre <> '' then nombre else nombre_region end as name, sum(n_filas)::bigint as rows
    from nombres_no_resueltos
    where hora >= :since and (nombre <> '' or nombre_region <> '')
    group by 1 order by 2 desc, 1
""")
_QUARANTINED = text("""
    select count(*) as everything, count(*) filter (where ultima_consulta >= :since) as lately
    from capturas where estado = 'quarantined' and codigo_error is distinct from 'dañado'
""")
_PUBLISHED = text("select max(updated_at) from dashboard_stats")
_LOADED = text("select max(capturado_en) from cargas")


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
    disk = min(map(shutil.disk_usage, _folders(settings)), key=lambda usage: usage.free)
    place = _try_place(settings.data)
    source: SourceFacts | None = None
    data: DataFacts | None = None
    problem = ""
    try:
        database = open_database(settings)
    except DatabaseError as error:
        problem = str(error)
    else:
        try:
            async with Throttle.open(database, settings, clock) as throttle:
                source = await _ask_source(settings, throttle, clock)
                data = _read(database, await throttle.circuit(), clock.now())
        except DatabaseError as error:
            problem = str(error)
        finally:
            database.dispose()
    return Facts(
        now=clock.now(),
        disk_free=disk.free,
        disk_total=disk.total,
        source=source,
        data=data,
        database_error=problem,
        monitored=monitored,
        services=services,
        place=place,
        supabase=await asyncio.to_thread(_ask_supabase, settings),
    )


def _ask_supabase(settings: Settings) -> SupabaseFacts | None:
    if settings.supabase_url is None:
        return None
    from sec_core.gold.supabase import SupabaseStore  # noqa: PLC0415 - costs a second, and few have a project

    try:
        with closing(SupabaseStore(settings.model_copy(update={"retries": 0}))) as store:
            return SupabaseFacts(store.published_at())
    except PublicationError as error:
        return SupabaseFacts(error=error.message, next_step=error.next_step)


def _folders(settings: Settings) -> Iterator[Path]:
    """Folders of this machine that fill up, or what is there of them."""
    for place in (settings.state, settings.data):
        if not isinstance(place, StoreUrl):
            yield next(_existing(place))


def _try_place(place: Place) -> PlaceFacts:
    blobs, remote = open_blobs(place), isinstance(place, StoreUrl)
    try:
        try_out(blobs)
    except StorageError as error:
        return PlaceFacts(str(place), remote=remote, error=error.message, next_step=error.next_step)
    return PlaceFacts(str(place), remote=remote, has_links=not isinstance(blobs, LocalBlobs) or blobs.has_links)


def _zone_problem(database: Database, now: datetime) -> tuple[str, str]:
    try:
        check_zones(database, FIRST_MONTH.start, Month.of(now).shift(1).end)
    except ConfigError as error:
        return error.message, error.next_step
    return "", ""


def _existing(folder: Path) -> Iterator[Path]:
    return (place for place in (folder, *folder.parents) if place.exists())


async def _ask_source(settings: Settings, throttle: Throttle, clock: Clock) -> SourceFacts:
    began = time.monotonic()
    # One attempt says enough, and a look at the health should not take minutes.
    once = settings.model_copy(update={"retries": 0})
    try:
        async with SourceClient(once, throttle, clock) as client:
            told = await client.server_time()
    except CircuitOpen as error:
        return SourceFacts(answered=False, at_rest=True, error=str(error))
    except SourceError as error:
        return SourceFacts(answered=False, error=error.message)
    # The source cuts its seconds off: half a minute is the best guess.
    offset = told + timedelta(seconds=30) - clock.now()
    return SourceFacts(answered=True, seconds=time.monotonic() - began, clock_offset=offset)


def _read(database: Database, circuit: Circuit, now: datetime) -> DataFacts:
    ledger = Ledger(database)
    due = ledger.month_summary([due_month(now)], now)[0]
    with database.engine.connect() as connection:
        first, asked = connection.execute(text("select min(hora), min(primera_consulta) from capturas")).one()
        newest_load = connection.execute(text("select max(hora) from cargas")).scalar() or now
        unresolved = connection.execute(_UNRESOLVED, {"since": newest_load - _NAMES_WINDOW}).all()
        quarantined = connection.execute(_QUARANTINED, {"since": now - _LATELY}).one()
        published, loaded = connection.execute(_PUBLISHED).scalar(), connection.execute(_LOADED).scalar()
    return DataFacts(
        circuit=circuit,
        newest_hour=ledger.newest_hour(),
        first_hour=first.astimezone(UTC) if first else None,
        first_asked=asked.astimezone(UTC) if asked else None,
        due_expected=due.expected,
        due_missing=due.expected - due.captured - due.empty,
        quarantined=quarantined.everything,
        quarantined_lately=quarantined.lately,
        damaged=tuple(ledger.damaged()),
        unresolved=tuple((row.name, int(row.rows)) for row in unresolved),
        published_at=published.astimezone(UTC) if published else None,
        loaded_at=loaded.astimezone(UTC) if loaded else None,
        zone_problem=_zone_problem(database, now),
    )
