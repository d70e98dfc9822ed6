"""Asking for hours and keeping what comes: concurrent within the shared limits, recorded as answers come in."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import partial
from typing import Any, Final, Self

from loguru import logger

from sec_core.bronze.ledger import Finding, Ledger, Recorded
from sec_core.bronze.ledger_rules import SUSPECT_REACH, HourState, Result, looks_corrupt
from sec_core.clock import Clock
from sec_core.errors import CircuitOpen, SourceError, SourceRefused, SourceUnavailable, UnexpectedBody
from sec_core.hours import HOUR, Month, open_hour
from sec_core.source.client import Answer, OddBody, SourceClient
from sec_core.source.shapes import BodyKind, Classified
from sec_core.text import counted

# How long answers are gathered before they are written down together.
_GATHER_S: Final = 0.02

# Answers that may wait to be written down, for each request that may be in flight; more are not asked for.
#
# It bounds the memory when the disk or the database is slow, and what a kill makes the next run ask for again.
_MOST_UNWRITTEN: Final = 2


@dataclass(frozen=True, slots=True)
class CaptureReport:
    """Counts of hours after asking for some; reports of parts add up with `+`.

    `captured` hours were kept (first or new `revisions`), `unchanged` ones were held already; `suspect` ones look like
    a corrupt cycle. `requests` counts repetitions too. `missed` are the hours that failed or went into quarantine.
    """

    asked: int = 0
    captured: int = 0
    unchanged: int = 0
    empty: int = 0
    failed: int = 0
    quarantined: int = 0
    revisions: int = 0
    suspect: int = 0
    requests: int = 0
    missed: tuple[datetime, ...] = ()

    def __add__(self, other: Self) -> Self:
        """Both reports together."""
        return type(self)(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    @classmethod
    def of(cls, entries: Sequence[Recorded], requests: int) -> Self:
        """Count what was recorded."""
        results = Counter(entry.outcome.result for entry in entries)
        kept = [entry for entry in entries if entry.outcome.result is Result.CAPTURED and entry.kept]
        missed = [each.outcome.hour for each in entries if each.outcome.result in {Result.FAILED, Result.QUARANTINED}]
        return cls(
            asked=len({entry.outcome.hour for entry in entries}),
            captured=len(kept),
            unchanged=results[Result.CAPTURED] - len(kept),
            empty=results[Result.EMPTY],
            failed=results[Result.FAILED],
            quarantined=results[Result.QUARANTINED],
            revisions=sum(entry.before.value is not None for entry in kept),
            suspect=sum(entry.outcome.suspect for entry in entries),
            requests=requests,
            missed=tuple(sorted(missed)),
        )


async def capture_hours(
    hours: Iterable[datetime],
    *,
    client: SourceClient,
    ledger: Ledger,
    clock: Clock,
    on_hour: Callable[[datetime, HourState], None] | None = None,
) -> CaptureReport:
    """Ask for hours, in this order, and keep what comes.

    An hour without a usable answer after all attempts is `failed`, and the others go on. An answer that fits no known
    shape and was not seen before ends the work fast. Answers that look like a corrupt cycle are asked for once more.

    Raises:
        CircuitOpen: The source is left alone; hours answered before are kept.
        UnexpectedBody: The source's answers have changed; the body is in quarantine.
        SourceError: The source refuses these requests for good (a wrong address).
        StorageError: Bronze can't be written.
        DatabaseUnavailable: The ledger can't be written.
    """
    wanted = list(dict.fromkeys(hours))
    for month in sorted({Month.of(hour) for hour in wanted}):
        await asyncio.to_thread(ledger.repair, month)
    sent_before = client.requests
    entries = await _Round(client, ledger, clock, on_hour).run(wanted)
    around, cut_short = await asyncio.to_thread(_cut_short, ledger, entries)
    if cut_short:
        logger.bind(stage="capture", code="corrupt_cycle").warning(
            "{} under a tenth of their neighbours' rows; requesting them again",
            counted(len(cut_short), "hour has", "hours have"),
        )
        entries += await _Round(client, ledger, clock, around=around).run(cut_short)
    return CaptureReport.of(entries, client.requests - sent_before)


def _cut_short(ledger: Ledger, entries: Sequence[Recorded]) -> tuple[dict[datetime, int], list[datetime]]:
    """Row counts around what was captured, and those captured hours that look like a corrupt cycle."""
    captured = {entry.outcome.hour: entry.after for entry in entries if entry.outcome.result is Result.CAPTURED}
    reach = int(SUSPECT_REACH / HOUR)
    near = {hour + HOUR * step for hour in captured for step in range(-reach, reach + 1)}
    counts = ledger.row_counts(sorted(near))
    return counts, sorted(hour for hour in captured if looks_corrupt(hour, counts))


@dataclass(eq=False, slots=True)
class _Round:
    """One pass over some hours: workers that ask, and a writer that records what they bring in batches.

    With `around`, row counts of other hours, it is a second look: one that fails leaves the doubt.
    """

    client: SourceClient
    ledger: Ledger
    clock: Clock
    on_hour: Callable[[datetime, HourState], None] | None = None
    around: dict[datetime, int] = field(default_factory=dict)
    findings: asyncio.Queue[Finding | None] = field(default_factory=asyncio.Queue)
    unwritten: int = 0
    room: asyncio.Event = field(default_factory=asyncio.Event)
    attempted: dict[datetime, SourceError] = field(default_factory=dict)
    changed: asyncio.Future[UnexpectedBody] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    async def run(self, hours: Sequence[datetime]) -> list[Recorded]:
        """Ask for all hours; what was answered is written down before anything that ended the work is raised."""
        waiting = iter(hours)
        writer = asyncio.create_task(self._write())
        # Some more than may be in flight: those that wait between attempts leave no place idle.
        count = min(2 * self.client.max_concurrency, len(hours))
        workers = [asyncio.create_task(self._ask(waiting)) for _ in range(count)]
        asking = asyncio.gather(*workers)
        ended: BaseException | None = None
        try:
            # The writer can only end before the workers by an error: awaiting it says which.
            first: set[asyncio.Future[Any]] = {asking, writer, self.changed}
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            ended = asking.exception() if asking.done() else None
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(asking, *workers, return_exceptions=True)
            for hour, error in self.attempted.items():
                self._put(self._interrupted(hour, error))
            self.findings.put_nowait(None)
            recorded = await writer
        # Where nothing but odd bodies opened the circuit, the change of the source is what a person must hear of.
        if self.changed.done() and (not isinstance(ended, CircuitOpen) or all(map(_is_odd, self.attempted.values()))):
            raise self.changed.result()
        if ended is not None:
            raise ended
        return recorded

    async def _ask(self, waiting: Iterator[datetime]) -> None:
        for hour in waiting:
            await self.room.wait()
            try:
                found = await self.client.hour(hour, on_failure=partial(self.attempted.__setitem__, hour))
            except CircuitOpen:
                raise
            except SourceError as error:
                self.attempted.pop(hour, None)
                self._put(self._failed(hour, error))
                if not isinstance(error, SourceUnavailable | SourceRefused | UnexpectedBody):
                    raise
            else:
                self.attempted.pop(hour, None)
                suspect = looks_corrupt(hour, self.around | {hour: found.value.rows})
                self._put(_found(hour, found, suspect=suspect))

    def _put(self, finding: Finding) -> None:
        self.findings.put_nowait(finding)
        self.unwritten += 1
        if self.unwritten >= _MOST_UNWRITTEN * self.client.max_concurrency:
            self.room.clear()

    def _failed(self, hour: datetime, error: SourceError) -> Finding:
        return Finding(hour, self.clock.now(), code=error.code, error=error.message, suspect=bool(self.around))

    def _interrupted(self, hour: datetime, error: SourceError) -> Finding:
        """What is known of an hour whose attempts were cut off by the end of the work."""
        if isinstance(error, OddBody) and _is_odd(error):
            return _found(hour, error.answer)
        return self._failed(hour, error)

    async def _write(self) -> list[Recorded]:
        recorded: list[Recorded] = []
        self.room.set()
        more = True
        while more:
            batch = [await self.findings.get()]
            if None not in batch:
                # Writing down twenty hours takes little longer than one.
                await asyncio.sleep(_GATHER_S)
            while not self.findings.empty():
                batch.append(self.findings.get_nowait())
            more = None not in batch
            findings = [finding for finding in batch if finding is not None]
            if findings:
                # In a thread: neither the disk nor the database keeps the requests waiting.
                entries = await asyncio.to_thread(self.ledger.record, findings)
                recorded += entries
                self._tell(entries)
                self.unwritten -= len(findings)
                self.room.set()
        return recorded

    def _tell(self, entries: Sequence[Recorded]) -> None:
        for entry in entries:
            outcome = entry.outcome
            if self.on_hour is not None:
                self.on_hour(outcome.hour, entry.after.state)
            log = logger.bind(stage="capture", code=outcome.code, hour=outcome.hour.isoformat())
            if outcome.result is Result.FAILED:
                log.warning("hour failed: {reason}", reason=outcome.error)
            elif outcome.result is Result.QUARANTINED:
                log.error("answer in quarantine: {reason}", reason=outcome.error)
                # One that was seen before is known trouble of this hour alone, and keeps nobody from the others.
                if entry.kept and not self.changed.done():
                    self.changed.set_result(UnexpectedBody(f"The source's answers have changed: {outcome.error}."))


def _found(hour: datetime, answer: Answer[Classified], *, suspect: bool = False) -> Finding:
    by = answer.answered_by
    return Finding(hour, answer.received_at, answer.body, answer.value, suspect=suspect, answered_by=by)


def _is_odd(error: SourceError) -> bool:
    """Whether the source gave JSON of another shape (a page in HTML is an outage, not a change)."""
    return isinstance(error, OddBody) and error.answer.value.kind is BodyKind.UNKNOWN_SHAPE


def compare(series: Answer[dict[datetime, int]], ledger: Ledger, now: datetime) -> dict[datetime, int]:
    """Write the national series' totals of closed hours into the ledger; gives hours whose rows sum to something else.

    The open hour is left out: it moves.
    """
    totals = {hour: total for hour, total in series.value.items() if hour < open_hour(now)}
    return ledger.record_national(totals, series.received_at)
