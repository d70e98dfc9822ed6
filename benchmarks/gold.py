"""Gold from the whole history: all of it, each payload, and what a build costs when little changed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

from benchmarks.measuring import apart, opened, size_of
from benchmarks.results import Figure
from sec_core.blobs.open import open_blobs
from sec_core.clock import SystemClock
from sec_core.gold.build import GoldReport, build_gold, read_frames
from sec_core.gold.payloads.registry import PAYLOADS
from sec_core.hours import Month

if TYPE_CHECKING:
    from benchmarks import history
    from benchmarks.measuring import Bench
    from sec_core.config import Settings

_SIZES = """
    select (select coalesce(sum(pg_total_relation_size(inhrelid)), 0) from pg_inherits
            where inhparent = 'fact_observaciones'::regclass),
        pg_total_relation_size('fact_interrupciones'), pg_total_relation_size('tramos'),
        pg_total_relation_size('capturas') + pg_total_relation_size('revisiones') + pg_total_relation_size('cargas')
"""


@dataclass(frozen=True, slots=True)
class Built:
    """What a build of Gold came to.

    Attributes:
        seconds: Of each build without its site; the first one writes everything.
        site_seconds: Of each site.
        events: Events in it.
    """

    seconds: tuple[float, ...]
    site_seconds: tuple[float, ...]
    events: int


def measure(here: Bench, settings: Settings, size: history.Size, load_s: float) -> list[Figure]:
    """Build Gold of a loaded history.

    Args:
        here: Where.
        settings: The loaded history.
        size: How large its Bronze is.
        load_s: Seconds that loading it took.
    """
    _add_customers(settings)
    here.settle()
    first = apart(here, build, settings, 1)
    again = apart(here, build, settings, 3)
    changed = apart(here, rebuild_changed, settings, 3)
    month = sorted(changed.result.seconds)[1]
    payloads = apart(here, each_payload, settings).result
    events = first.result.events
    whole = load_s + first.result.seconds[0]
    rebuilt = sorted(again.result.seconds)[1]
    return [
        Figure("gold_first_s", f"Gold with all its files, {events:,} events", first.result.seconds[0], "s",
               target="≤ 15", met=first.result.seconds[0] <= 15),
        Figure("whole_s", "Bronze to Gold, the whole history", whole, "s", target="≤ 40", met=whole <= 40),
        Figure("gold_s", f"Gold and all payloads, {events:,} events", rebuilt, "s", target="≤ 3", met=rebuilt <= 3,
               runs=again.result.seconds),
        Figure("gold_month_s", "Gold when one month changed", month, "s", target="≤ 3", met=month <= 3,
               runs=changed.result.seconds),
        Figure("site_first_s", "The site, 346 comunas", first.result.site_seconds[0], "s", target="≤ 25",
               met=first.result.site_seconds[0] <= 25),
        Figure("site_month_s", "The site when one month changed", max(changed.result.site_seconds), "s",
               target="≤ 5", met=max(changed.result.site_seconds) <= 5, runs=changed.result.site_seconds),
        *(Figure(f"payload_{name}_s", f"  payload {name}", seconds, "s") for name, seconds in payloads.items()),
        Figure("gold_peak_mb", "Gold: peak memory", first.peak_bytes / 1e6, "MB", target="≤ 1 000",
               met=first.peak_bytes <= 1e9),
        *_bytes(settings, size),
    ]  # fmt: skip


def build(settings: Settings, times: int) -> Built:
    """Build Gold some times; seconds of each."""
    with opened(settings) as database:
        return _built([build_gold(database, settings, SystemClock()) for _ in range(times)])


def _built(reports: list[GoldReport]) -> Built:
    return Built(
        tuple(report.seconds - report.site_seconds for report in reports),
        tuple(report.site_seconds for report in reports),
        reports[-1].events,
    )


def rebuild_changed(settings: Settings, times: int) -> Built:
    """Build Gold after one month's hours were written again; seconds of each time."""
    month = Month(2021, 5)
    reports = []
    with opened(settings) as database:
        for _ in range(times):
            with database.engine.begin() as connection:
                touched = text("update cargas set clientes = clientes where hora >= :first and hora < :last")
                connection.execute(touched, {"first": month.start, "last": month.end})
            reports.append(build_gold(database, settings, SystemClock()))
    return _built(reports)


def _add_customers(settings: Settings) -> None:
    """Customers of each region: without them there are no indices to compute."""
    insert = text(
        "insert into clientes_regionales (mes, codigo_region, clientes, capturado_en)"
        " select '2021-05-01', codigo_region, 450000, now() from dim_geografia where id_geografia > 0 group by 2"
        " on conflict do nothing"
    )
    with opened(settings) as database, database.engine.begin() as connection:
        connection.execute(insert)


def each_payload(settings: Settings) -> dict[str, float]:
    """Seconds of reading Silver and of each payload."""
    clock = SystemClock()
    with opened(settings) as database:
        begun = time.perf_counter()
        collected, _, _ = read_frames(database, open_blobs(settings.gold), settings, clock)
        seconds = {"(reading)": time.perf_counter() - begun}
    for spec in PAYLOADS:
        begun = time.perf_counter()
        spec.build(collected)
        seconds[spec.id] = time.perf_counter() - begun
    return seconds


def _bytes(settings: Settings, size: history.Size) -> list[Figure]:
    with opened(settings) as database, database.engine.connect() as connection:
        row = connection.exec_driver_sql(_SIZES).one()
    bronze = size_of(settings.bronze_dir)
    share = bronze / size.raw_bytes
    named = zip(("observations", "events", "stretches", "ledger"), row, strict=True)
    return [
        Figure("raw_mb", "Bytes: the answers as received", size.raw_bytes / 1e6, "MB"),
        Figure("bronze_mb", "Bytes: Bronze", bronze / 1e6, "MB"),
        Figure("bronze_share", "Bronze over the answers", share, target="≤ 0.08", met=share <= 0.08),
        *(Figure(f"{name}_mb", f"Bytes: {name} in PostgreSQL", float(count) / 1e6, "MB") for name, count in named),
        Figure("gold_mb", "Bytes: Gold", size_of(settings.gold_dir) / 1e6, "MB"),
    ]
