"""Publication to Supabase: validate, compare, one transaction, read back. A failure leaves what was published."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import polars as pl
from loguru import logger
from pydantic import TypeAdapter, ValidationError

from sec_core.blobs.place import BlobMissing, Blobs, open_blobs
from sec_core.clock import Clock
from sec_core.config import Settings
from sec_core.errors import InputError, PublicationError
from sec_core.gold.frames import in_words, others
from sec_core.gold.payloads.registry import DASHBOARD, PAYLOADS
from sec_core.gold.standing import EVENTS_FILE, PAYLOADS_FOLDER
from sec_core.gold.supabase import EVENT_COLUMNS, EVENTS, Payloads, SupabaseStore
from sec_core.text import counted

NOT_CONFIGURED = "There are no Supabase settings (SUPABASE_URL, SUPABASE_KEY): Gold is published locally only."

# Stands for every payload where losses are allowed.
ALL = "all"

# A payload may lose this share of its rows without anybody being asked.
LARGEST_LOSS = 0.2

# Payloads made from the SEIA's list of projects.
SEIA = ("eda_projects_dist", "investment_roi")

# How far the table of recent events reaches back.
WINDOW = timedelta(days=30)
INSTANT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class PublishReport:
    """What a publication did; `published` is False where there are no Supabase settings.

    Attributes:
        payloads: Rows of each payload.
        forced: What was lost against the earlier publication, by permission.
        events_unarchived: Rows that slid out of the window but stay, since the archive lacks them.
    """

    published: bool
    payloads: dict[str, int] = field(default_factory=dict)
    forced: tuple[str, ...] = ()
    events: int = 0
    events_written: int = 0
    events_deleted: int = 0
    events_unarchived: int = 0

    def line(self) -> str:
        """The report as one line for a person."""
        if not self.published:
            return NOT_CONFIGURED
        return (
            f"Published {counted(len(self.payloads), 'payload')} and {counted(self.events, 'event')} of the last 30"
            f" days ({self.events_written} written, {self.events_deleted} deleted)."
        )


@dataclass(frozen=True, slots=True)
class RecentPlan:
    """What has to change in the table of recent events.

    Attributes:
        write: Rows that are new or differ.
        delete: hash_id of rows that slid out of the window and are in the archive, or that a revision replaced.
        unarchived: Rows that slid out of the window but are not in the archive: they stay.
        rows: Rows that the window has.
    """

    write: list[dict[str, Any]]
    delete: list[str]
    unarchived: int
    rows: int


def publish(
    settings: Settings,
    clock: Clock,
    *,
    force: Collection[str] = (),
    other_source: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> PublishReport:
    """Publish what `gold/` holds; without a Supabase project nothing is sent and nothing fails.

    Args:
        settings: `gold` and the Supabase project.
        clock: Gives the time of publication.
        force: Payloads (`ALL` for every one) that may lose more than a fifth of their rows or their newest month.
        other_source: Publish although the data, or some of it, is not the SEC's.
        sleep: Waits between attempts.

    Raises:
        PublicationError: Gold is missing or invalid, is not the SEC's, would lose what is published, or Supabase
            refused it.
        PublicationUnavailable: Supabase did not answer, however often it was asked.
    """
    if settings.supabase_url is None:
        logger.bind(stage="publish").info(NOT_CONFIGURED)
        return PublishReport(published=False)
    gold = open_blobs(settings.gold)
    payloads: Payloads = read_payloads(gold)
    if (foreign := others(payloads["meta"][0]["origenes"])) and not other_source:
        raise PublicationError(
            f"Nothing was published: this data is not the SEC's ({in_words(foreign)}).",
            next_step="If it is meant for this project all the same, publish with --other-source.",
        )
    with closing(SupabaseStore(settings, sleep=sleep)) as store:
        before = store.payloads()
        events_before = store.events()
        newest = payloads["meta"][0]["ultima_hora"]
        payloads = without_seia(before, payloads)
        lost = losses(before, payloads) | lost_events(events_before, newest)
        if forbidden := not_allowed(lost, force, [*payloads, EVENTS]):
            next_step = mending(forbidden, before, payloads)
            raise PublicationError(f"Nothing was published: {' '.join(forbidden.values())}", next_step=next_step)
        _publish_payloads(store, payloads, clock)
        changes = RecentPlan([], [], 0, 0)
        if newest is not None:
            changes = plan_events(gold, datetime.fromisoformat(newest), events_before)
            _publish_events(store, changes)
    report = PublishReport(
        published=True,
        payloads={name: len(rows) for name, rows in payloads.items()},
        forced=tuple(lost.values()),
        events=changes.rows,
        events_written=len(changes.write),
        events_deleted=len(changes.delete),
        events_unarchived=changes.unarchived,
    )
    logger.bind(stage="publish").info(report.line())
    return report


def read_payloads(gold: Blobs) -> dict[str, list[dict[str, Any]]]:
    """All payloads of the registry from their files, each row validated.

    Raises:
        PublicationError: A file is missing, is no JSON, or holds what its model refuses.
        StorageUnavailable: The place did not answer.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for spec in PAYLOADS:
        name = f"{spec.id}.json"
        try:
            found[spec.id] = orjson.loads(gold.read(PAYLOADS_FOLDER + name))
            TypeAdapter(list[spec.row]).validate_python(found[spec.id])  # type: ignore[name-defined]
        except BlobMissing:
            raise PublicationError(f"There is no {name}.", next_step="Run `sec gold` first.") from None
        except (orjson.JSONDecodeError, ValidationError) as error:
            first = str(error).splitlines()[0]
            raise PublicationError(f"{name} is not valid: {first}.", next_step="Run `sec gold` again.") from error
    if len(found["meta"]) != 1:
        raise PublicationError("meta.json must hold one object.", next_step="Run `sec gold` again.")
    return found


def _publish_payloads(store: SupabaseStore, payloads: Payloads, clock: Clock) -> None:
    store.publish_payloads(
        {name: rows for name, rows in payloads.items() if name in DASHBOARD},
        {name: rows for name, rows in payloads.items() if name not in DASHBOARD},
        clock.now().isoformat(),
    )
    after = store.payloads()
    if different := [name for name, rows in payloads.items() if after.get(name) != rows]:
        raise PublicationError(
            f"What Supabase holds is not what was sent: {', '.join(sorted(different))}.",
            next_step="Another publication may have come between; run `sec publish` again.",
        )


def _publish_events(store: SupabaseStore, changes: RecentPlan) -> None:
    try:
        store.upsert_events(changes.write)
        store.delete_events(changes.delete)
    except PublicationError as error:
        raise type(error)(
            f"The payloads are published, the recent events are not: {error.message}", next_step=error.next_step
        ) from None
    if changes.unarchived:
        logger.bind(stage="publish").warning(
            "Not in the archive, so still published after 30 days: {}.", counted(changes.unarchived, "event")
        )


def without_seia(published: Payloads, new: Payloads) -> Payloads:
    """The new payloads, but for those of the SEIA while no list was imported: what is published of them stays."""
    if new.get(SEIA[0]):
        return new
    return {name: rows for name, rows in new.items() if name not in SEIA or not published.get(name)}


def losses(published: Payloads, new: Payloads) -> dict[str, str]:
    """What the new payloads lack, in words by payload; empty when they may be published.

    Payloads that are only published are not touched, and so not judged.
    """
    found: dict[str, str] = {}
    for name in sorted(published.keys() & new.keys()):
        before, after = published[name], new[name]
        text = []
        if len(after) < len(before) * (1 - LARGEST_LOSS):
            text.append(f"{name} would fall from {counted(len(before), 'row')} to {len(after):,}.")
        newest_before, newest_after = newest_month(before), newest_month(after)
        if newest_before > newest_after:
            text.append(f"{name} would lose its newest month {newest_before[:7]}.")
        if text:
            found[name] = " ".join(text)
    return found


def not_allowed(lost: Mapping[str, str], force: Collection[str], known: Collection[str]) -> dict[str, str]:
    """What of the losses nobody has allowed.

    Args:
        lost: From `losses`.
        force: Names of payloads that may lose something, or `ALL`.
        known: All names that there are.

    Raises:
        InputError: A name in `force` is none of them.
    """
    if unknown := sorted({*force} - {*known, ALL}):
        raise InputError(
            f"There is no payload {', '.join(unknown)} to force.", next_step=f"There are: {', '.join(sorted(known))}."
        )
    return {name: text for name, text in lost.items() if not {name, ALL} & {*force}}


def mending(lost: Collection[str], published: Payloads, new: Payloads) -> str:
    """What to do about payloads that would lose something."""
    steps = []
    if set(lost) & set(SEIA):
        steps.append("Import the whole list of projects with `sec seia FILE`, then `sec gold`.")
    if set(lost) - set(SEIA):
        steps.append("See with `sec status` which months are missing; `sec backfill` and `sec gold` bring them back.")
    before, after = ((rows.get("meta") or [{}])[0].get("version_metodo", "1") for rows in (published, new))
    if before != after:
        steps.append(f"The method changed from version {before} to {after}: see docs/definitions.md.")
    return " ".join([*steps, f"If this is meant: `sec publish --force {' '.join(sorted(lost))}`."])


def newest_month(rows: Sequence[Any]) -> str:
    """The newest `mes` of a payload's rows; empty where they have none.

    `meta` has it one level deeper, in `formas`.
    """
    months = [str(row["mes"]) for row in rows if isinstance(row, dict) and "mes" in row]
    nested = [
        newest_month(row["formas"]) for row in rows if isinstance(row, dict) and isinstance(row.get("formas"), list)
    ]
    return max([*months, *nested], default="")


def plan_events(gold: Blobs, newest: datetime, published: Sequence[dict[str, Any]]) -> RecentPlan:
    """Compare the window of recent events with what is published.

    Args:
        gold: Gold's place; an event is archived if its file of events has it, with the same last hour or a later one.
        newest: Newest loaded hour; the window ends with it.
        published: All rows of the table, with `EVENT_COLUMNS`.

    Raises:
        PublicationError: The archive can't be read.
        StorageUnavailable: The place did not answer.
    """
    try:
        events = pl.read_parquet(gold.source(EVENTS_FILE), columns=list(EVENT_COLUMNS))
    except (BlobMissing, OSError, pl.exceptions.PolarsError):
        raise PublicationError(
            f"{EVENTS_FILE} can't be read.", next_step="Run `sec gold`, then `sec publish`."
        ) from None
    start = newest - WINDOW + timedelta(hours=1)
    window = events.filter(pl.col("fin").is_null() | (pl.col("fin") > start))
    held = _held_events(published, events.schema)
    gone = held.join(window, on="hash_id", how="anti").join(
        events.select("hash_id", archivada="ultima_hora"), on="hash_id", how="left"
    )
    archived = pl.col("archivada") >= pl.col("ultima_hora")
    replaced = pl.col("archivada").is_null() & (pl.col("ultima_hora") >= start)
    doomed = gone.filter((archived | replaced).fill_null(value=False))
    differing = window.join(held, on=window.columns, how="anti", nulls_equal=True)
    return RecentPlan(
        write=differing.with_columns(pl.col(pl.Datetime).dt.strftime(INSTANT)).to_dicts(),
        delete=sorted(doomed["hash_id"]),
        unarchived=gone.height - doomed.height,
        rows=window.height,
    )


def lost_events(published: Sequence[dict[str, Any]], newest: str | None) -> dict[str, str]:
    """What of the published events comes after the newest loaded hour, in words by table; empty if nothing does."""
    last = max((datetime.fromisoformat(row["ultima_hora"]) for row in published), default=None)
    if last is None or (newest and last <= datetime.fromisoformat(newest)):
        return {}
    reaches = last.astimezone(UTC).strftime(INSTANT)
    return {EVENTS: f"{EVENTS} reaches {reaches}, but the newest loaded hour is {newest or 'none'}."}


def _held_events(published: Sequence[dict[str, Any]], schema: pl.Schema) -> pl.DataFrame:
    """Rows as the REST API gives them, with the archive's types."""
    instants = [name for name, kind in schema.items() if isinstance(kind, pl.Datetime)]
    rows = pl.DataFrame(published, schema | dict.fromkeys(instants, pl.String))
    return rows.with_columns(pl.col(instants).str.to_datetime("%Y-%m-%dT%H:%M:%S%z", time_unit="us"))
