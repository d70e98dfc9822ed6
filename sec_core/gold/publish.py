"""Publication to Supabase: validate, compare, one transaction, read back. A failure leaves what was published."""

import time
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime

from loguru import logger

from sec_core.blobs.place import open_blobs
from sec_core.clock import Clock
from sec_core.config import Settings
from sec_core.errors import PublicationError
from sec_core.gold import guard, recent
from sec_core.gold.local import read_payloads
from sec_core.gold.origin import in_words, others
from sec_core.gold.payloads.registry import DASHBOARD
from sec_core.gold.standing import EVENTS_FILE
from sec_core.gold.supabase import SupabaseStore

NOT_CONFIGURED = "There are no Supabase settings (SUPABASE_URL, SUPABASE_KEY): Gold is published locally only."


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
            f"Published {len(self.payloads)} payloads and {self.events} events of the last 30 days"
            f" ({self.events_written} written, {self.events_deleted} deleted)."
        )


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
    if settings.supabase_url is None or settings.supabase_key is None:
        logger.bind(stage="publish").info(NOT_CONFIGURED)
        return PublishReport(published=False)
    gold = open_blobs(settings.gold)
    payloads: guard.Payloads = read_payloads(gold)
    if (foreign := others(payloads["meta"][0]["origenes"])) and not other_source:
        raise PublicationError(
            f"Nothing was published: this data is not the SEC's ({in_words(foreign)}).",
            next_step="If it is meant for this project all the same, publish with --other-source.",
        )
    with closing(SupabaseStore(settings, sleep=sleep)) as store:
        before = store.payloads()
        events_before = store.events(recent.COLUMNS)
        newest = payloads["meta"][0]["ultima_hora"]
        payloads = guard.without_seia(before, payloads)
        lost = guard.losses(before, payloads) | recent.losses(events_before, newest)
        forbidden = guard.not_allowed(lost, force, [*payloads, recent.TABLE])
        if forbidden:
            raise PublicationError(
                f"Nothing was published: {' '.join(forbidden.values())}",
                next_step=guard.mending(forbidden, before, payloads),
            )
        _publish_payloads(store, payloads, clock)
        changes = recent.RecentPlan([], [], 0, 0)
        if newest is not None:
            changes = recent.plan(gold, EVENTS_FILE, datetime.fromisoformat(newest), events_before)
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


def _publish_payloads(store: SupabaseStore, payloads: guard.Payloads, clock: Clock) -> None:
    store.publish_payloads(
        {name: rows for name, rows in payloads.items() if name in DASHBOARD},
        {name: rows for name, rows in payloads.items() if name not in DASHBOARD},
        clock.now().isoformat(),
    )
    after = store.payloads()
    different = [name for name, rows in payloads.items() if after.get(name) != rows]
    if different:
        raise PublicationError(
            f"What Supabase holds is not what was sent: {', '.join(sorted(different))}.",
            next_step="Another publication may have come between; run `sec publish` again.",
        )


def _publish_events(store: SupabaseStore, changes: recent.RecentPlan) -> None:
    try:
        store.upsert_events(changes.write)
        store.delete_events(changes.delete)
    except PublicationError as error:
        raise type(error)(
            f"The payloads are published, the recent events are not: {error.message}", next_step=error.next_step
        ) from None
    if changes.unarchived:
        logger.bind(stage="publish").warning(
            "{} events slid out of the 30-day window but are not in the archive; they stay published.",
            changes.unarchived,
        )
