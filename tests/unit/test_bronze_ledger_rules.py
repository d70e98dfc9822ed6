"""How an hour's state follows from its outcomes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from sec_core.bronze.journal import decode, encode
from sec_core.bronze.ledger_rules import (
    Book,
    Capture,
    HourState,
    LedgerRow,
    Origin,
    Outcome,
    Result,
    fold,
    looks_corrupt,
)
from sec_core.bronze.store import BodyName
from sec_core.source.shapes import Shape

HOUR = datetime(2024, 8, 2, 16, tzinfo=UTC)
STEP = timedelta(minutes=1)


def capture(at: datetime, shape: Shape | None, *, origin: Origin = Origin.SEC, customers: int = 5) -> Capture:
    key = BodyName(HOUR, at, origin).key
    return Capture(HOUR, at, origin, key, "ab" * 32, 100, 3 if shape else 0, customers, shape)


def captured(minute: int, shape: Shape = Shape.AGGREGATED, customers: int = 5) -> Outcome:
    at = HOUR + STEP * minute
    return Outcome(HOUR, at, Result.CAPTURED, capture(at, shape, customers=customers))


def failed(minute: int) -> Outcome:
    return Outcome(HOUR, HOUR + STEP * minute, Result.FAILED, code="source_unavailable", error="503")


def empty(minute: int, *, kept: bool = False) -> Outcome:
    at = HOUR + STEP * minute
    return Outcome(HOUR, at, Result.EMPTY, capture(at, None, customers=0) if kept else None)


def quarantined(minute: int) -> Outcome:
    at = HOUR + STEP * minute
    return Outcome(
        HOUR, at, Result.QUARANTINED, capture(at, None, customers=0), code="unexpected_body", error="new keys X"
    )


def row_after(*outcomes: Outcome) -> LedgerRow:
    return Book.of(outcomes).rows[HOUR]


def test_states() -> None:
    assert row_after(failed(1)).state is HourState.FAILED
    assert row_after(failed(1), empty(2, kept=True)).state is HourState.EMPTY
    assert row_after(quarantined(1)).state is HourState.QUARANTINED
    assert row_after(quarantined(1), failed(2)).state is HourState.QUARANTINED
    assert row_after(captured(1), empty(2, kept=True), quarantined(3), failed(4)).state is HourState.CAPTURED


def test_value_is_the_newest_detailed_else_the_newest_aggregated() -> None:
    row = row_after(captured(1, customers=1), captured(2, customers=2), empty(3, kept=True))
    assert row.value is not None
    assert row.value.customers == 2
    row = row_after(captured(1, Shape.DETAILED, 1), captured(2, customers=2), captured(0, Shape.DETAILED, 9))
    assert row.value is not None
    assert (row.value.shape, row.value.customers) == (Shape.DETAILED, 1)


def test_failures_are_counted_until_an_answer_comes() -> None:
    row = row_after(captured(1), failed(2), failed(3))
    assert (row.failures, row.code, row.error, row.asked) == (2, "source_unavailable", "503", 3)
    row = fold(row, Outcome(HOUR, HOUR + STEP * 4, Result.CAPTURED))
    assert (row.failures, row.code, row.error, row.revisions, row.asked) == (0, None, None, 1, 4)
    assert (row.first_asked, row.last_asked) == (HOUR + STEP, HOUR + STEP * 4)


def test_empty_since_outlives_failures_but_no_other_answer() -> None:
    assert row_after(empty(1, kept=True), failed(2), empty(3)).empty_since == HOUR + STEP
    assert row_after(empty(1, kept=True), quarantined(2), empty(3)).empty_since == HOUR + STEP * 3
    assert row_after(empty(1, kept=True), captured(2), empty(3)).empty_since is None


def test_national_difference_follows_the_value() -> None:
    row = row_after(captured(1, customers=10), Outcome(HOUR, HOUR, Result.NATIONAL, asked=False, national_total=12))
    assert (row.national_difference, row.asked) == (2, 1)
    assert fold(row, captured(2, customers=12)).national_difference == 0


def test_relearned_bodies_become_values_without_being_revisions() -> None:
    odd = quarantined(1)
    assert odd.capture is not None
    known = replace(odd.capture, rows=4, customers=44, shape=Shape.AGGREGATED)
    row = row_after(odd, Outcome(HOUR, odd.at, Result.CAPTURED, known, asked=False, relearned=True))
    assert (row.state, row.revisions, row.asked, row.error) == (HourState.CAPTURED, 1, 1, None)
    assert row.value == known


outcomes = st.lists(
    st.builds(
        lambda make, minute: make(minute),
        st.sampled_from(
            [captured, lambda m: captured(m, Shape.DETAILED), failed, empty, quarantined, lambda m: empty(m, kept=True)]
        ),
        st.integers(0, 10_000),
    ),
    min_size=1,
    max_size=30,
    # The store never keeps two bodies of an hour under one instant.
    unique_by=lambda outcome: outcome.at,
)


@given(outcomes)
def test_journal_lines_say_everything(items: list[Outcome]) -> None:
    assert [decode(encode(item)) for item in items] == [(item, HOUR) for item in items]


@given(outcomes, st.data())
def test_lines_written_twice_and_any_split_give_the_same_row(items: list[Outcome], data: st.DataObject) -> None:
    whole = Book.of(items).rows
    with_bodies = [item for item in items if item.capture is not None]
    repeated = data.draw(st.lists(st.sampled_from(with_bodies), max_size=5)) if with_bodies else []
    assert Book.of([*items, *repeated]).rows == whole
    row = whole[HOUR]
    assert row.asked == len(fold_all_kept(items))
    assert row.revisions == len({item.capture.key for item in with_bodies if item.capture})
    assert (row.value is not None) == (row.state is HourState.CAPTURED)
    if row.value is not None and any(item.capture and item.capture.shape is Shape.DETAILED for item in items):
        assert row.value.shape is Shape.DETAILED


def fold_all_kept(items: list[Outcome]) -> list[Outcome]:
    """Items without those that name a body named before."""
    seen: set[str] = set()
    kept = []
    for item in items:
        if item.capture is None or item.capture.key not in seen:
            kept.append(item)
        if item.capture is not None:
            seen.add(item.capture.key)
    return kept


def test_corrupt_cycles() -> None:
    def hours(*counts: int | None) -> dict[datetime, int]:
        return {HOUR + timedelta(hours=i): count for i, count in enumerate(counts) if count is not None}

    def middle(before: int | None, count: int, after: int | None) -> bool:
        return looks_corrupt(HOUR + timedelta(hours=1), hours(before, count, after))

    assert middle(300, 2, 290)
    assert middle(300, 29, 300)
    assert not middle(300, 30, 300)
    assert not middle(19, 1, 19)
    assert not middle(300, 2, 5)
    assert middle(None, 2, 300)
    assert not middle(None, 2, None)
    assert not looks_corrupt(HOUR, {HOUR: 2, HOUR + timedelta(hours=4): 300})
    assert not looks_corrupt(HOUR, hours(None, 300))
