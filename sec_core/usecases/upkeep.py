"""What keeps itself in order: the monitor of the newest hours, cold storage and old files, the circuit for people."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from loguru import logger
from pydantic import BaseModel

from sec_core.bronze.ledger_rules import candidates, hours_to_watch
from sec_core.clock import in_chile
from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.db.locks import Lock, turn
from sec_core.errors import CircuitOpen, ConfigError, InputError
from sec_core.hours import Month, open_hour
from sec_core.source.circuit import Circuit
from sec_core.text import counted
from sec_core.usecases.adapters import Adapters

if TYPE_CHECKING:
    from sec_core.bronze.capture import CaptureReport
    from sec_core.bronze.seal import SealReport
    from sec_core.silver.load import LoadReport

# How long logs, and results that Prefect keeps for its cache, stay.
KEPT = timedelta(days=90)
# The live views look back this far, so no shorter retention makes sense.
SHORTEST_DAYS = 30


class MonitorReport(BaseModel):
    """What a look at the newest hours found, in hours.

    Attributes:
        open_hour: The hour under way at the source, UTC; None if the circuit is open.
        unchanged: Hours whose answer was held already.
        empty: Hours for which the source says that it has no data.
        events_changed: Events that this made, changed or removed.
        differing: Closed hours whose sum differs from the national series.
        storms: A line for each storm under way, with its identity in brackets.
    """

    open_hour: datetime | None = None
    asked: int = 0
    captured: int = 0
    unchanged: int = 0
    empty: int = 0
    failed: int = 0
    loaded: int = 0
    events_changed: int = 0
    differing: int = 0
    storms: list[str] = []
    note: str = ""


@dataclass(frozen=True, slots=True)
class Watched:
    """Hours that were requested, the open one first, what became of them, and how many closed ones differ."""

    open_hour: datetime
    hours: list[datetime]
    report: CaptureReport
    differing: int


async def ask_newest(adapters: Adapters, closed: int) -> Watched:
    """Ask for the open hour, and for those of the `closed` hours before it that may have changed.

    Raises:
        CircuitOpen: The circuit is open.
        SourceUnavailable: The source does not answer.
        UnexpectedBody: The source's answers have changed.
    """
    from sec_core.bronze.capture import capture_hours, compare

    ledger = adapters.ledger
    async with adapters.source() as client:
        now = await client.server_time()
        hours = candidates(now, closed)
        due = hours_to_watch(hours, await asyncio.to_thread(ledger.rows, hours), now)
        report = await capture_hours(due, client=client, ledger=ledger, clock=adapters.clock)
        differing = await asyncio.to_thread(compare, await client.national_series(), ledger, now)
    return Watched(open_hour(now), due, report, len(differing))


async def load_newest(adapters: Adapters, hours: list[datetime]) -> list[LoadReport]:
    """Bring Silver, and with it the views of the last 30 days, up to what was captured of some hours."""
    from sec_core.silver.load import load_hours

    return await asyncio.to_thread(
        load_hours, adapters.database, adapters.store.read_kept, hours, adapters.settings, values=adapters.ledger
    )


async def watch(adapters: Adapters, closed_hours: int) -> MonitorReport:
    """Ask for the newest hours, as many closed ones as said, and load what is new; an open circuit is no failure."""
    from sec_core.gold.storms import under_way

    try:
        watched = await adapters.steps.ask_newest(closed_hours)
    except CircuitOpen as error:
        return MonitorReport(note=str(error))
    loads = await adapters.steps.load_newest(watched.hours)
    return MonitorReport(
        **{name: value for name, value in asdict(watched.report).items() if name in MonitorReport.model_fields},
        open_hour=watched.open_hour,
        loaded=sum(load.hours_loaded for load in loads),
        events_changed=sum(load.events_new + load.events_changed + load.events_removed for load in loads),
        differing=watched.differing,
        storms=await asyncio.to_thread(under_way, adapters.database, adapters.settings),
    )


class UpkeepReport(BaseModel):
    """Months that were sealed, months that were archived, and how many old log files went."""

    sealed: list[str]
    archived: list[str]
    logs_removed: int


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """Months whose observations this run left in the archive only; `kept_days` is None when all are kept."""

    months: tuple[Month, ...]
    rows: int
    kept_days: int | None


def seal_ready(adapters: Adapters, month: str | None = None) -> dict[Month, SealReport | None]:
    """Pack a month (`YYYY-MM`), or all that are closed, complete and settled, into one verified file each.

    Returns:
        What was packed, by month; None for a month that had nothing new to pack.

    Raises:
        IncompleteError: The month named is not closed, or has hours to be asked for.
        StorageError: A packed file was not what it should be; nothing was removed then.
    """
    from sec_core.bronze.seal import may_seal, seal_month

    ledger, now = adapters.ledger, adapters.clock.now()
    with turn(adapters.database, Lock.SEALING):
        named = [Month.parse(month)] if month else None
        months = named or [each for each in ledger.months() if may_seal(each, ledger, now) is None]
        return {each: seal_month(each, store=adapters.store, ledger=ledger, now=now) for each in months}


def apply_retention(database: Database, settings: Settings, *, keep_days: int | None = None) -> RetentionReport:
    """Move months that ended more than `keep_days` (else the setting) before the newest loaded hour to the archive.

    Each month in a transaction of its own: written, read back, compared, and only then dropped. A failed check drops
    nothing, and months moved before it stay moved.

    Raises:
        ConfigError: Fewer than 30 days.
        StorageError: A file could not be written or verified.
    """
    from sec_core.silver.tables import Archive, SilverTables

    days = settings.retention_days if keep_days is None else keep_days
    if days is None:
        return RetentionReport((), 0, None)
    if days < SHORTEST_DAYS:
        raise ConfigError(f"Retention of {counted(days, 'day')} is too short.", next_step="Keep 30 days or more.")
    moved: dict[Month, int] = {}
    with turn(database, Lock.RETENTION), database.adbc() as connection:
        tables = SilverTables(connection, Archive(settings.archive))
        newest = tables.newest()
        old = [month for month in tables.partitions() if newest and month.end <= newest - timedelta(days=days)]
        connection.rollback()
        for month in old:
            # A partition that leaves needs the whole table for itself.
            tables.lock_month(month, alone=True)
            moved[month] = tables.archive_month(month)
            connection.commit()
    return RetentionReport(tuple(moved), sum(moved.values()), days)


def keep_up(adapters: Adapters) -> UpkeepReport:
    """Seal what is ready, archive what the retention setting says, remove what is older than ninety days.

    Raises:
        StorageError: A packed or archived file was not what it should be; nothing was removed then.
    """
    sealed = [str(month) for month, packed in seal_ready(adapters).items() if packed is not None]
    archived = [str(month) for month in apply_retention(adapters.database, adapters.settings).months]
    removed = _remove_old_files(adapters)
    told = "Sealed {}, archived {}, removed {}"
    counts = counted(len(sealed), "month"), len(archived), counted(removed, "log file")
    logger.bind(stage="upkeep").info(told, *counts)
    return UpkeepReport(sealed=sealed, archived=archived, logs_removed=removed)


def _remove_old_files(adapters: Adapters) -> int:
    oldest, settings = adapters.clock.now() - KEPT, adapters.settings
    logs = [path for path in settings.logs_dir.glob("sec-*.jsonl") if path.name < f"sec-{oldest:%Y-%m-%d}.jsonl"]
    results = [path for path in settings.results_dir.glob("*") if path.stat().st_mtime < oldest.timestamp()]
    for path in (*logs, *results):
        path.unlink()
    return len(logs)


async def describe_circuit(adapters: Adapters) -> str:
    """The present state: failures in a row, when it reopens (Chile time), and the last failure."""
    async with adapters.throttle() as throttle:
        return in_words(await throttle.circuit())


async def close_circuit(adapters: Adapters, who: str, why: str) -> str:
    """Close it before its time, logged with who did it and why; says what it was before.

    Raises:
        InputError: No reason is given, or nobody who gives it.
    """
    if not who.strip() or not why.strip():
        raise InputError("The log must say who closes the circuit, and why.", next_step="Give both.")
    async with adapters.throttle() as throttle:
        before = await throttle.close_circuit(who, why)
    return f"The circuit is closed. Before: {in_words(before)}"


def in_words(circuit: Circuit) -> str:
    """A state in a line or two, with times of Chile."""
    failures = f"{counted(circuit.failures, 'failure')} in a row"
    words = f"{circuit.status.value.replace('_', '-')}, {failures}"
    if circuit.reopens_at is not None:
        words += f", reopens at {in_chile(circuit.reopens_at)}"
    return f"{words}. The last one: {circuit.error}" if circuit.error else f"{words}."
