"""The customers of regions (the denominators): kept as answered, made again from Bronze, and the caps that follow.

What the SEC answers is kept as it is, with the month that it says it describes (`PERIODO_STAR`). Beside it, as an
estimate named so, each region's figure is scaled such that the regions sum to the national total: for indices, never
for the cap.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

import polars as pl
from loguru import logger
from sqlalchemy import text

from sec_core.bronze.store import AnswerName, BodyDamaged, BronzeStore
from sec_core.db.database import Database
from sec_core.errors import UnexpectedBody
from sec_core.hours import Month
from sec_core.reference.tables import COUNTRY_CODE, default_names, regiones
from sec_core.silver.columns import conform, typed
from sec_core.silver.events import CAPPED, cap
from sec_core.silver.stretches import rows_only_in
from sec_core.silver.tables import SilverTables
from sec_core.silver.timeline import chile_date
from sec_core.source.answers import RegionCustomers, read_country, read_regions
from sec_core.text import counted

T = TypeVar("T")

# Columns of `clientes_regionales`.
FIGURE_SCHEMA = typed("mes codigo_region clientes periodo_star capturado_en clientes_estimados")
_KNOWN = text("select codigo_region, clientes from clientes_regionales where mes = :month")


@dataclass(frozen=True, slots=True)
class UniverseReport:
    """Regions with a figure in a month, their sum, the national one if any, events whose cap or its age changed."""

    month: Month
    regions: int
    customers: int
    national: int | None
    events_changed: int


def figures(regions: Sequence[RegionCustomers], national: int | None, captured_at: datetime) -> pl.DataFrame:
    """Rows of `clientes_regionales` by `FIGURE_SCHEMA`, from the answers of one month (of receipt, in Chile).

    A region given twice counts once; `REGION_ID` is used where the name does not resolve.

    Raises:
        UnexpectedBody: A region that resolves neither by name nor by number.
    """
    month, names = Month.of(captured_at).first_day, default_names()
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
        (month, code, each.customers, each.period, captured_at, scale and round(each.customers * scale))
        for code, each in sorted(by_code.items())
    ]
    if national is not None:
        rows.append((month, COUNTRY_CODE, national, "", captured_at, national))
    frame = pl.DataFrame(rows, schema=FIGURE_SCHEMA, orient="row")
    return frame.with_columns(pl.col("periodo_star").replace("", None))


def store_universe(
    database: Database, regions: Sequence[RegionCustomers], national: int | None, captured_at: datetime
) -> UniverseReport:
    """Keep the answers of a month and bring the caps that depend on them up to date.

    Of several answers within a month the newest stands, in whatever order they are stored.

    Raises:
        UnexpectedBody: A region is unknown; nothing is kept.
    """
    rows = figures(regions, national, captured_at)
    changed = write_universe(database, rows)
    only = rows.filter(pl.col("codigo_region") != COUNTRY_CODE)
    return UniverseReport(Month.of(captured_at), only.height, int(only["clientes"].sum()), national, changed)


def known_universe(database: Database, month: Month) -> UniverseReport | None:
    """What is kept of a month, if that is every region; `events_changed` is 0."""
    with database.engine.connect() as connection:
        known = {code: int(count) for code, count in connection.execute(_KNOWN, {"month": month.first_day})}
    national = known.pop(COUNTRY_CODE, None)
    if len(known) < len(default_names().region_codes()):
        return None
    return UniverseReport(month, len(known), sum(known.values()), national, events_changed=0)


def write_universe(database: Database, rows: pl.DataFrame) -> int:
    """Keep rows of `figures`, of two for one month and region the newer; returns how many events changed by it."""
    with database.adbc() as connection:
        tables = SilverTables(connection)
        tables.lock_events()
        tables.write_universe(rows)
        schema = typed("id_geografia hora_maximo inicio hash_id clientes_afectados_crudo", *CAPPED)
        events = tables.query("select {columns} from fact_interrupciones where id_geografia <> 0", schema)
        changed = rows_only_in(conform(cap(events, tables.universe()), schema), events)
        tables.update_events(changed.select("hash_id", *CAPPED))
        tables.refresh_caps(changed.select(chile_date(pl.col("inicio")).dt.month_start()).to_series())
        return changed.height


# Answers that came within it belong together: a whole asking takes minutes, with repetitions after failures.
ASKING_LASTS: Final = timedelta(days=1)


def newest_askings(
    regional: Collection[AnswerName], national: Collection[AnswerName], codes: Collection[str]
) -> dict[Month, list[AnswerName]]:
    """The newest whole asking of each month: of each region by code, then of the country, which dates it. Pure.

    The month is that in Chile in which it ended: the country is asked for last. The subjects of `regional` are codes of
    regions, of which all `codes` are asked for. One asking that broke off before its end is left out, as it was then.
    """
    found: dict[Month, list[AnswerName]] = {}
    for country in sorted(national):
        ended = country.received_at
        newest = {
            answer.subject: answer
            for answer in sorted(regional)
            if ended - ASKING_LASTS < answer.received_at <= ended and answer.subject in codes
        }
        if len(newest) == len(codes):
            found[Month.of(ended)] = [*(newest[code] for code in sorted(codes)), country]
    return found


def rebuild_universe(database: Database, store: BronzeStore) -> int:
    """Make `clientes_regionales` again from Bronze, and bring the caps that depend on it up to date.

    Gives for how many months Bronze holds figures; newer figures in the table stay.

    Raises:
        UnexpectedBody: A region is unknown; nothing is written.
    """
    codes = {region.codigo for region in regiones()}
    regional = _readable(store, "GetClientesRegional", read_regions)
    national = _readable(store, "GetClientesNacional", read_country)
    askings = newest_askings(regional, national, codes)
    if not askings:
        return 0
    rows = [
        figures([region for each in answers for region in regional[each]], national[country], country.received_at)
        for *answers, country in askings.values()
    ]
    changed = write_universe(database, pl.concat(rows))
    counts = counted(len(askings), "month"), counted(changed, "event")
    logger.bind(stage="universe").info("Customers of {} from Bronze; {} changed", *counts)
    return len(askings)


def _readable(store: BronzeStore, endpoint: str, read: Callable[[bytes], T]) -> dict[AnswerName, T]:
    """What the kept answers say; one with a value that can't be, as older versions kept them, is passed over."""
    found: dict[AnswerName, T] = {}
    for answer in store.answers(endpoint):
        try:
            found[answer] = read(store.read(answer.key))
        except (ValueError, BodyDamaged) as error:
            logger.bind(stage="universe", code="odd_value").warning("{} is passed over: {}", answer.key, error)
    return found
