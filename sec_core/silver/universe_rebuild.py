"""The customer universe again from Bronze: what the source answered over the years, asking it nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar

import polars as pl
from loguru import logger

from sec_core.hours import Month
from sec_core.reference.names import default_names
from sec_core.reference.tables import regiones
from sec_core.silver.universe import figures, write_universe
from sec_core.source.answers import read_country, read_regions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sec_core.bronze.store import AnswerName, BronzeStore
    from sec_core.db.database import Database
    from sec_core.reference.names import Names

T = TypeVar("T")

ASKING_LASTS: Final = timedelta(days=1)
"""Answers that came within it belong together: a whole asking takes minutes, with repetitions after failures."""


@dataclass(frozen=True, slots=True)
class Asking:
    """The answers of one asking: of each region, and of the country, which is asked for last.

    Attributes:
        regions: An answer for each region.
        country: The answer for the country; when it was received dates the asking.
    """

    regions: tuple[AnswerName, ...]
    country: AnswerName


def newest_askings(
    regional: Sequence[AnswerName], national: Sequence[AnswerName], codes: Collection[str]
) -> dict[Month, Asking]:
    """The newest whole asking of each month. Pure.

    Args:
        regional: Answers of `GetClientesRegional`, their subjects being codes of regions.
        national: Answers of `GetClientesNacional`.
        codes: Codes of all regions that are asked for.

    Returns:
        By the month in Chile in which the asking ended. One that broke off before its end is left out, as it was then.
    """
    found: dict[Month, Asking] = {}
    for country in sorted(national):
        ended = country.received_at
        newest = {
            answer.subject: answer
            for answer in sorted(regional)
            if ended - ASKING_LASTS < answer.received_at <= ended and answer.subject in codes
        }
        if len(newest) == len(codes):
            found[Month.of(ended)] = Asking(tuple(newest[code] for code in sorted(codes)), country)
    return found


def rebuild_universe(database: Database, store: BronzeStore, names: Names | None = None) -> int:
    """Make `clientes_regionales` again from Bronze, and bring the caps that depend on it up to date.

    Args:
        database: The database.
        store: Bronze.
        names: Resolver of regions; that of the reference files unless given.

    Returns:
        For how many months Bronze holds figures. Newer figures in the table stay.

    Raises:
        StorageError: An answer is missing or damaged.
        UnexpectedBody: A region is unknown; nothing is written.
        DatabaseUnavailable: PostgreSQL can't be reached.
    """
    resolver = default_names() if names is None else names
    codes = {region.codigo for region in regiones()}
    regional = _readable(store, "GetClientesRegional", read_regions)
    national = _readable(store, "GetClientesNacional", read_country)
    askings = newest_askings(list(regional), list(national), codes)
    if not askings:
        return 0
    rows = [
        figures(
            [region for answer in asking.regions for region in regional[answer]],
            national[asking.country],
            asking.country.received_at,
            resolver,
        )
        for asking in askings.values()
    ]
    changed = write_universe(database, pl.concat(rows))
    logger.bind(stage="universe").info("{} months of customers from Bronze; {} events changed", len(askings), changed)
    return len(askings)


def _readable(store: BronzeStore, endpoint: str, read: Callable[[bytes], T]) -> dict[AnswerName, T]:
    """What the kept answers say; one with a value that can't be, as older versions kept them, is passed over."""
    found: dict[AnswerName, T] = {}
    for answer in store.answers(endpoint):
        try:
            found[answer] = read(store.read(answer.key))
        except ValueError as error:
            logger.bind(stage="universe", code="odd_value").warning("{} is passed over: {}", answer.key, error)
    return found
